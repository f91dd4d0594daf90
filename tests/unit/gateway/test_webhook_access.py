"""How webhook signatures are judged, and how often the database is asked about them."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from gateway.application.ports.webhook_endpoints import Endpoint
from gateway.application.services.webhook_access import (
    BadSignature,
    UnknownEndpoint,
    WebhookAccess,
)
from shared.kernel.ids import ChannelId, TenantId
from shared.security.signatures import hmac_sha512

TENANT = TenantId(UUID(int=1))
FIRST, SECOND = ChannelId(UUID(int=10)), ChannelId(UUID(int=20))
BODY = b'{"event":"message"}'


class Source:
    def __init__(self, endpoints: Sequence[Endpoint] | None) -> None:
        self.endpoints = endpoints
        self.asked = 0
        self.now = 0.0

    async def of_tenant(self, tenant_id: TenantId) -> Sequence[Endpoint] | None:
        self.asked += 1
        return None if self.endpoints is None else list(self.endpoints)


def access(source: Source) -> WebhookAccess:
    return WebhookAccess(source, now=lambda: source.now)


async def test_present_and_previous_secrets_count() -> None:
    known = access(Source([Endpoint(FIRST, ("new", "old")), Endpoint(SECOND, ("other",))]))
    for secret, channel in (("new", FIRST), ("old", FIRST), ("other", SECOND)):
        signature = hmac_sha512(secret, BODY)
        assert await known.verify(TENANT, None, BODY, signature) == channel
        assert await known.verify(TENANT, channel, BODY, signature) == channel


async def test_a_channel_in_the_address_must_have_signed_itself() -> None:
    known = access(Source([Endpoint(FIRST, ("one",)), Endpoint(SECOND, ("two",))]))
    with pytest.raises(BadSignature):
        await known.verify(TENANT, FIRST, BODY, hmac_sha512("two", BODY))


async def test_of_channels_that_share_a_secret_the_first_is_meant() -> None:
    known = access(Source([Endpoint(FIRST, ("same",)), Endpoint(SECOND, ("same",))]))
    assert await known.verify(TENANT, None, BODY, hmac_sha512("same", BODY)) == FIRST


async def test_a_flood_of_bad_signatures_asks_once_a_second() -> None:
    source = Source([Endpoint(FIRST, ("one",))])
    known = access(source)
    for moment, asked in ((0.0, 1), (0.5, 1), (1.0, 2), (1.9, 2), (2.0, 3)):
        source.now = moment
        for _ in range(20):
            with pytest.raises(BadSignature):
                await known.verify(TENANT, None, BODY, hmac_sha512("wrong", BODY))
        assert source.asked == asked


async def test_good_signatures_ask_once_in_ten_seconds() -> None:
    source = Source([Endpoint(FIRST, ("one",))])
    known = access(source)
    for moment, asked in ((0.0, 1), (9.9, 1), (10.0, 2)):
        source.now = moment
        await known.verify(TENANT, None, BODY, hmac_sha512("one", BODY))
        assert source.asked == asked


async def test_a_rotated_secret_is_found_by_the_second_look() -> None:
    source = Source([Endpoint(FIRST, ("one",))])
    known = access(source)
    await known.verify(TENANT, None, BODY, hmac_sha512("one", BODY))
    source.endpoints = [Endpoint(FIRST, ("two", "one"))]
    source.now = 1.0
    assert await known.verify(TENANT, None, BODY, hmac_sha512("two", BODY)) == FIRST


@pytest.mark.parametrize("endpoints", [None, []])
async def test_nothing_there_is_404_before_any_body(endpoints: list[Endpoint] | None) -> None:
    source = Source(endpoints)
    known = access(source)
    for _ in range(10):
        with pytest.raises(UnknownEndpoint):
            await known.admit(TENANT, None, "0" * 128)
    assert source.asked == 1


@pytest.mark.parametrize("signature", [None, "", "abc", "0" * 127, "0" * 129])
async def test_what_cannot_be_a_signature_is_refused_before_the_body(
    signature: str | None,
) -> None:
    known = access(Source([Endpoint(FIRST, ("one",))]))
    with pytest.raises(BadSignature):
        await known.admit(TENANT, FIRST, signature)


async def test_secrets_are_not_shown() -> None:
    assert "one" not in repr(Endpoint(FIRST, ("one",)))
