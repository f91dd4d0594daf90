"""Scopes and callers."""

from uuid import UUID

import pytest

from gateway.domain.entities.api_key import (
    Caller,
    Scope,
    ScopeMissing,
    UnknownScope,
    checked_scopes,
)
from shared.kernel.ids import TenantId

TENANT = TenantId(UUID(int=7))


def a_caller(*scopes: str, tenant: TenantId | None = TENANT) -> Caller:
    return Caller(
        key_id=UUID(int=1),
        name="kasir",
        tenant_id=tenant,
        tenant_slug="kopi" if tenant else None,
        scopes=frozenset(map(Scope, scopes)),
    )


def test_writing_includes_reading_and_not_the_other_way() -> None:
    assert a_caller("products:write").may(Scope.PRODUCTS_READ)
    assert not a_caller("products:read").may(Scope.PRODUCTS_WRITE)
    assert not a_caller("products:write").may(Scope.CUSTOMERS_READ)


def test_everything_of_a_tenant_is_not_the_platform() -> None:
    everything = a_caller("*")
    assert all(everything.may(scope) for scope in Scope if scope is not Scope.PLATFORM)
    with pytest.raises(ScopeMissing):
        everything.require(Scope.PLATFORM)
    operator = a_caller("platform", tenant=None)
    assert operator.is_operator
    assert not any(operator.may(scope) for scope in Scope if scope is not Scope.PLATFORM)


def test_a_caller_speaks_for_its_own_tenant_by_id_or_slug() -> None:
    caller = a_caller("*")
    assert caller.speaks_for(str(TENANT))
    assert caller.speaks_for("kopi")
    assert not caller.speaks_for("teh")
    assert not caller.speaks_for("")
    assert not a_caller("platform", tenant=None).speaks_for("None")


def test_scopes_of_a_new_key_are_known_and_fit() -> None:
    assert checked_scopes(["products:read", "*", "products:read"], operator=False) == [
        Scope.ALL,
        Scope.PRODUCTS_READ,
    ]
    assert checked_scopes(["platform"], operator=True) == [Scope.PLATFORM]
    for bad, operator in (
        ([], False),
        (["platform"], False),
        (["products"], False),
        ([], True),
        (["*"], True),
        (["platform", "*"], True),
    ):
        with pytest.raises(UnknownScope):
            checked_scopes(bad, operator=operator)
