"""The channel: one WhatsApp number of a shop, or its simulation."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

from commerce_agent.domain.events.tenant_events import (
    ChannelAdded,
    ChannelSecretRotated,
    ChannelStateChanged,
    ChannelUpdated,
)
from commerce_agent.domain.value_objects.phone import Phone
from commerce_agent.domain.value_objects.text import line
from shared.kernel.errors import Conflict, Invalid, NotFound
from shared.kernel.events import Aggregate
from shared.kernel.ids import ChannelId, TenantId


class ChannelNotFound(NotFound):
    """There is no such channel."""

    code = "channel_not_found"


class ChannelNameTaken(Conflict):
    """Another channel of this shop has this name."""

    code = "channel_name_taken"


class BadChannel(Invalid):
    """These settings do not make a channel."""

    code = "bad_channel"


class ChannelKind(StrEnum):
    WAHA = "waha"
    SIMULATOR = "simulator"


class ChannelState(StrEnum):
    """A session's status in WAHA's own words, lower case; what we do not know is ``unknown``."""

    UNKNOWN = "unknown"
    STARTING = "starting"
    SCAN_QR_CODE = "scan_qr_code"
    WORKING = "working"
    FAILED = "failed"
    STOPPED = "stopped"

    @classmethod
    def _missing_(cls, value: object) -> "ChannelState":
        lowered = str(value).lower()
        return next((state for state in cls if state.value == lowered), cls.UNKNOWN)


@dataclass(eq=False, kw_only=True)
class Channel(Aggregate):
    """A number that customers write to. Its secrets are here only sealed."""

    id: ChannelId
    tenant_id: TenantId
    kind: ChannelKind
    name: str
    session: str
    """WAHA's name of the session."""
    webhook_secret_ciphertext: bytes = field(repr=False)
    previous_webhook_secret_ciphertext: bytes | None = field(default=None, repr=False)
    """Accepted beside the present one until the rotation is ended."""
    api_key_ciphertext: bytes | None = field(default=None, repr=False)
    base_url: str | None = None
    state: ChannelState = ChannelState.UNKNOWN
    phone: Phone | None = None
    active: bool = True
    version: int = 1

    @classmethod
    def create(
        cls,
        *,
        channel_id: ChannelId,
        tenant_id: TenantId,
        kind: ChannelKind,
        name: str,
        session: str,
        webhook_secret_ciphertext: bytes,
        at: datetime,
        base_url: str | None = None,
        api_key_ciphertext: bytes | None = None,
    ) -> "Channel":
        """Connect a number. The id is made before, because the secrets are sealed to it.

        Raises:
            BadChannel: a WAHA channel without a server, or a session name WAHA does not take.
            BadText: the name.
        """
        if kind is ChannelKind.WAHA and not base_url:
            raise BadChannel("a WAHA channel needs the address of its server")
        channel = cls(
            id=channel_id,
            tenant_id=tenant_id,
            kind=kind,
            name=line(name, field="name", longest=100),
            session=_session(session),
            webhook_secret_ciphertext=webhook_secret_ciphertext,
            api_key_ciphertext=api_key_ciphertext,
            base_url=_server(base_url) if base_url else None,
            # nothing to pair: a simulated number works from the start
            state=ChannelState.WORKING if kind is ChannelKind.SIMULATOR else ChannelState.UNKNOWN,
        )
        channel._record(
            ChannelAdded(
                tenant_id=tenant_id, occurred_at=at, channel_id=channel_id, kind=kind.value
            )
        )
        return channel

    def update(
        self,
        *,
        at: datetime,
        name: str | None = None,
        session: str | None = None,
        base_url: str | None = None,
        api_key_ciphertext: bytes | None = None,
        active: bool | None = None,
    ) -> None:
        """Change what is given; ``None`` leaves a field as it is."""
        wanted = {
            "name": None if name is None else line(name, field="name", longest=100),
            "session": None if session is None else _session(session),
            "base_url": None if base_url is None else _server(base_url),
            "api_key_ciphertext": api_key_ciphertext,
            "active": active,
        }
        changes = {
            field: value
            for field, value in wanted.items()
            if value is not None and value != getattr(self, field)
        }
        for changed, value in changes.items():
            setattr(self, changed, value)
        if changes:
            fields = tuple(name.removesuffix("_ciphertext") for name in changes)
            self._record(
                ChannelUpdated(
                    tenant_id=self.tenant_id, occurred_at=at, channel_id=self.id, fields=fields
                )
            )

    def rotate_secret(self, *, new: bytes, previous: bytes, at: datetime) -> None:
        """Sign with ``new`` from now on and accept ``previous`` until `end_rotation`.

        Both are sealed, each to its own column: the old secret comes sealed anew.
        """
        self.webhook_secret_ciphertext = new
        self.previous_webhook_secret_ciphertext = previous
        self._record(
            ChannelSecretRotated(tenant_id=self.tenant_id, occurred_at=at, channel_id=self.id)
        )

    def end_rotation(self) -> None:
        """Accept the present secret only."""
        self.previous_webhook_secret_ciphertext = None

    def report_state(
        self, state: ChannelState, *, at: datetime, phone: Phone | None = None
    ) -> None:
        """Keep what the server says of the session; ``phone`` is the paired number, if told."""
        if phone is not None:
            self.phone = phone
        if state is not self.state:
            self.state = state
            self._record(
                ChannelStateChanged(
                    tenant_id=self.tenant_id,
                    occurred_at=at,
                    channel_id=self.id,
                    state=state.value,
                )
            )


_SESSION = re.compile(r"[A-Za-z0-9_-]{1,54}")


def _session(name: str) -> str:
    if not _SESSION.fullmatch(name):
        raise BadChannel("a session name is 1 to 54 letters, digits, hyphens and underscores")
    return name


_PLAIN_ADDRESS = re.compile(r"[!-~]{1,500}")
_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_-]{1,63})*\.?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def _server(address: str) -> str:
    """Only what every reader of addresses understands alike."""
    if not _PLAIN_ADDRESS.fullmatch(address):
        raise BadChannel("base_url holds 1 to 500 printable ASCII characters and no space")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadChannel("base_url is not an address") from error
    if parts.scheme not in ("http", "https") or not host:
        raise BadChannel("base_url must start with http:// or https:// and name a host")
    if parts.username is not None or parts.query or parts.fragment:
        raise BadChannel("base_url holds no user, query or fragment")
    if not (_is_host_name(host) or _is_ip_address(host)):
        raise BadChannel("base_url names no host that can be reached")
    return address.rstrip("/")


def _is_host_name(host: str) -> bool:
    last = host.rstrip(".").rpartition(".")[2]
    return _HOST_NAME.fullmatch(host) is not None and not _NUMBER.fullmatch(last)


def _is_ip_address(host: str) -> bool:
    """Written as everybody writes it: 2130706433 and 0177.0.0.1 are 127.0.0.1 to some."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host
