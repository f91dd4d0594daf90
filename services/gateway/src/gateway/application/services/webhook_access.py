"""Whether a webhook is what it says it is."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from time import monotonic

from gateway.application.ports.webhook_endpoints import Endpoint, EndpointSource
from gateway.application.recent import Recent
from shared.kernel.errors import NotFound, Unauthorized
from shared.kernel.ids import ChannelId, TenantId
from shared.security.signatures import hmac_sha512_matches

SECRETS_STAY = timedelta(seconds=10)
SECRETS_REREAD = timedelta(seconds=1)
"""A signature that fits nothing makes us look again, but no more often than this per tenant."""

SIGNATURE_LENGTH = 128
"""Hexadecimal digits of an HMAC-SHA512."""


class UnknownEndpoint(NotFound):
    """There is no webhook at this address."""

    code = "unknown_webhook"


class BadSignature(Unauthorized):
    """The signature fits none of this address's secrets."""

    code = "bad_signature"


class WebhookAccess:
    """Holds every tenant's webhook secrets for ten seconds and judges signatures by them."""

    def __init__(self, source: EndpointSource, *, now: Callable[[], float] = monotonic) -> None:
        self._endpoints: Recent[TenantId, Sequence[Endpoint] | None] = Recent(
            source.of_tenant, ttl=SECRETS_STAY, now=now
        )

    async def admit(
        self, tenant_id: TenantId, channel_id: ChannelId | None, signature: str | None
    ) -> None:
        """Refuse what cannot be right, before anybody reads a body of a megabyte.

        Raises:
            UnknownEndpoint: no such tenant, or no such channel of it.
            BadSignature: there is nothing that could be a signature.
        """
        known = self._endpoints.peek(tenant_id) or await self._endpoints.get(tenant_id)
        chosen = _choose(known, channel_id)
        if not chosen:  # it may have been made a moment ago
            chosen = _choose(await self._reread(tenant_id), channel_id)
        if not chosen:
            raise UnknownEndpoint
        if signature is None or len(signature.strip()) != SIGNATURE_LENGTH:
            raise BadSignature

    async def verify(
        self, tenant_id: TenantId, channel_id: ChannelId | None, body: bytes, signature: str | None
    ) -> ChannelId:
        """The channel whose secret signed this body; the lowest id if several share the secret.

        Raises:
            BadSignature: no secret fits, also after a look at the present ones.
        """
        known = self._endpoints.peek(tenant_id) or await self._endpoints.get(tenant_id)
        signed_by = _signed_by(_choose(known, channel_id), body, signature)
        if signed_by is None:
            present = await self._reread(tenant_id)
            if present is not known:
                signed_by = _signed_by(_choose(present, channel_id), body, signature)
        if signed_by is None:
            raise BadSignature
        return signed_by

    async def endpoint(self, tenant_id: TenantId, channel_id: ChannelId) -> Endpoint:
        """A channel's webhook, for one who signs in its name (the simulator).

        Raises:
            UnknownEndpoint: it has none.
        """
        found = _choose(await self._endpoints.get(tenant_id), channel_id)
        if not found:
            raise UnknownEndpoint
        return found[0]

    async def _reread(self, tenant_id: TenantId) -> Sequence[Endpoint] | None:
        return await self._endpoints.get_newer(tenant_id, SECRETS_REREAD)


def _choose(
    endpoints: Sequence[Endpoint] | None, channel_id: ChannelId | None
) -> Sequence[Endpoint]:
    if channel_id is None:
        return endpoints or ()
    return [endpoint for endpoint in endpoints or () if endpoint.channel_id == channel_id]


def _signed_by(
    endpoints: Sequence[Endpoint], body: bytes, signature: str | None
) -> ChannelId | None:
    for endpoint in endpoints:
        for secret in endpoint.secrets:
            if hmac_sha512_matches(secret, body, signature):
                return endpoint.channel_id
    return None
