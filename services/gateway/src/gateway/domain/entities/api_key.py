"""API keys: who may ask, and for what."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from shared.kernel.errors import Forbidden, Invalid
from shared.kernel.ids import TenantId


class Scope(StrEnum):
    """What a key may do. ``…:write`` includes ``…:read`` of the same thing."""

    PLATFORM = "platform"
    """Operators only: make and list tenants. Opens no tenant's data."""
    ALL = "*"
    """Everything within the key's tenant."""
    TENANT_READ = "tenant:read"
    TENANT_WRITE = "tenant:write"
    CHANNELS_READ = "channels:read"
    CHANNELS_WRITE = "channels:write"
    PRODUCTS_READ = "products:read"
    PRODUCTS_WRITE = "products:write"
    CUSTOMERS_READ = "customers:read"
    CUSTOMERS_WRITE = "customers:write"
    CONVERSATIONS_READ = "conversations:read"
    CONVERSATIONS_WRITE = "conversations:write"
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    WORK_READ = "work:read"
    WORK_WRITE = "work:write"
    SIMULATOR = "simulator"


class UnknownScope(Invalid):
    """There is no such scope."""

    code = "unknown_scope"


class ScopeMissing(Forbidden):
    """This key may not do that."""

    code = "scope_missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a key stands for. ``tenant_id`` is ``None`` for an operator."""

    key_id: UUID
    name: str
    """What the key was made for; stands as the author of what is done with it."""
    tenant_id: TenantId | None
    tenant_slug: str | None
    scopes: frozenset[Scope]

    @property
    def is_operator(self) -> bool:
        return Scope.PLATFORM in self.scopes

    def may(self, scope: Scope) -> bool:
        """Whether the key's scopes cover this one."""
        if scope in self.scopes:
            return True
        if scope is Scope.PLATFORM:
            return False
        return Scope.ALL in self.scopes or _writing(scope) in self.scopes

    def require(self, scope: Scope) -> None:
        """Raises ScopeMissing unless `may`."""
        if not self.may(scope):
            raise ScopeMissing(f"this needs the scope {scope}", scope=str(scope))

    def speaks_for(self, tenant: str) -> bool:
        """Whether the id or slug of an address is this caller's own tenant."""
        return self.tenant_id is not None and tenant in (str(self.tenant_id), self.tenant_slug)


def checked_scopes(wanted: Iterable[str], *, operator: bool) -> Collection[Scope]:
    """The scopes of a new key, sorted.

    Raises:
        UnknownScope: a name is not in the list, none is given, or ``platform`` is mixed up with a
            tenant's scopes.
    """
    try:
        scopes = sorted({Scope(name) for name in wanted})
    except ValueError as error:
        raise UnknownScope(f"{error}; known are {', '.join(Scope)}") from error
    if operator and scopes != [Scope.PLATFORM]:
        raise UnknownScope("an operator's key has the scope platform and no other")
    if not operator and (not scopes or Scope.PLATFORM in scopes):
        raise UnknownScope("a tenant's key needs scopes, and platform is not one of them")
    return scopes


def _writing(scope: Scope) -> str:
    subject, _, verb = scope.partition(":")
    return f"{subject}:write" if verb == "read" else scope
