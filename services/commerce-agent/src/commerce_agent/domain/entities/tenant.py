"""The tenant: one shop, its language and money, and what its agent may say of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from commerce_agent.domain.events.tenant_events import (
    TenantCreated,
    TenantResumed,
    TenantSuspended,
    TenantUpdated,
)
from commerce_agent.domain.value_objects.currency import currency as read_currency
from commerce_agent.domain.value_objects.language import Language
from commerce_agent.domain.value_objects.text import line, lines, paragraph
from shared.kernel.errors import Conflict, Invalid, NotFound
from shared.kernel.events import Aggregate
from shared.kernel.ids import TenantId


class TenantNotFound(NotFound):
    """There is no such tenant."""

    code = "tenant_not_found"


class SlugTaken(Conflict):
    """Another tenant has this slug."""

    code = "slug_taken"


class BadSlug(Invalid):
    """A slug is 1 to 63 lower-case letters, digits and hyphens, not beginning with a hyphen."""

    code = "bad_slug"


class UnknownTimezone(Invalid):
    """This is no time zone of the IANA database, such as ``Asia/Jakarta``."""

    code = "unknown_timezone"


class BadLink(Invalid):
    """A link is an ``https://`` or ``http://`` address with a host, and no blank or backslash."""

    code = "bad_link"


class TenantStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopProfile:
    """What prompts and templates may say of the shop; checked when it is made.

    Raises:
        BadText: something is too long or cannot be read.
        BadLink: a link is none.
    """

    about: str = ""
    address: str = ""
    hours: str = ""
    """Opening hours in the shop's own words."""
    persona: str = ""
    """How the agent should sound."""
    policies: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """Addresses the agent may send."""

    def __post_init__(self) -> None:
        checked = {
            "about": paragraph(self.about, field="about", longest=2000),
            "address": paragraph(self.address, field="address", longest=500),
            "hours": paragraph(self.hours, field="hours", longest=500),
            "persona": paragraph(self.persona, field="persona", longest=1000),
            "policies": lines(self.policies, field="policies", most=30, longest=500),
            "links": _links(self.links),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)


@dataclass(eq=False, kw_only=True)
class Tenant(Aggregate):
    """A shop. Everything else of the platform belongs to exactly one."""

    id: TenantId
    slug: str
    name: str
    wrapped_key: bytes = field(repr=False)
    """The shop's own key for its secrets, wrapped by the master key."""
    currency: str = "IDR"
    timezone: str = "Asia/Jakarta"
    language: Language = Language.INDONESIAN
    profile: ShopProfile = field(default_factory=ShopProfile)
    llm_config_name: str = "offline"
    status: TenantStatus = TenantStatus.ACTIVE
    version: int = 1

    @classmethod
    def create(
        cls,
        *,
        tenant_id: TenantId,
        slug: str,
        name: str,
        wrapped_key: bytes,
        at: datetime,
        currency: str = "IDR",
        timezone: str = "Asia/Jakarta",
        language: str = "id",
        profile: ShopProfile | None = None,
        llm_config_name: str = "offline",
    ) -> "Tenant":
        """Open a shop. The id is made before, because the key is wrapped for it.

        Raises:
            BadSlug, BadText, UnknownCurrency, UnknownTimezone, UnknownLanguage: as they say.
        """
        tenant = cls(
            id=tenant_id,
            slug=_slug(slug),
            name=line(name, field="name"),
            wrapped_key=wrapped_key,
            currency=read_currency(currency),
            timezone=_timezone(timezone),
            language=Language.of(language),
            profile=profile or ShopProfile(),
            llm_config_name=line(llm_config_name, field="llm_config_name", longest=100),
        )
        tenant._record(TenantCreated(tenant_id=tenant.id, occurred_at=at, slug=tenant.slug))
        return tenant

    @property
    def is_active(self) -> bool:
        return self.status is TenantStatus.ACTIVE

    def update(
        self,
        *,
        at: datetime,
        name: str | None = None,
        timezone: str | None = None,
        language: str | None = None,
        profile: ShopProfile | None = None,
        llm_config_name: str | None = None,
    ) -> None:
        """Change what is given; ``None`` leaves a field as it is.

        The currency stays: prices and ledgers are written in it.
        """
        before = (self.name, self.timezone, self.language, self.profile, self.llm_config_name)
        after = (
            self.name if name is None else line(name, field="name"),
            self.timezone if timezone is None else _timezone(timezone),
            self.language if language is None else Language.of(language),
            self.profile if profile is None else profile,
            self.llm_config_name
            if llm_config_name is None
            else line(llm_config_name, field="llm_config_name", longest=100),
        )
        self.name, self.timezone, self.language, self.profile, self.llm_config_name = after
        names = ("name", "timezone", "language", "profile", "llm_config_name")
        fields = tuple(n for n, old, new in zip(names, before, after, strict=True) if old != new)
        if fields:
            self._record(TenantUpdated(tenant_id=self.id, occurred_at=at, fields=fields))

    def suspend(self, *, at: datetime) -> None:
        """Stop serving this shop; nothing is deleted. A second time changes nothing."""
        if self.is_active:
            self.status = TenantStatus.SUSPENDED
            self._record(TenantSuspended(tenant_id=self.id, occurred_at=at))

    def resume(self, *, at: datetime) -> None:
        """Serve it again. A second time changes nothing."""
        if not self.is_active:
            self.status = TenantStatus.ACTIVE
            self._record(TenantResumed(tenant_id=self.id, occurred_at=at))


_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise BadSlug
    return text


def _timezone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownTimezone from error


def _links(addresses: Iterable[str]) -> tuple[str, ...]:
    kept = lines(addresses, field="links", most=20, longest=500)
    for address in kept:
        try:
            parts = urlsplit(address)
        except ValueError as error:
            raise BadLink from error
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or re.search(r"[ \\]", address)
        ):
            raise BadLink
    return kept
