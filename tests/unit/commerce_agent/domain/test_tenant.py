"""What a tenant promises."""

from datetime import UTC, datetime
from typing import Any

import pytest

from commerce_agent.domain.entities.tenant import (
    BadLink,
    BadSlug,
    ShopProfile,
    Tenant,
    TenantStatus,
    UnknownTimezone,
)
from commerce_agent.domain.events.tenant_events import (
    TenantCreated,
    TenantResumed,
    TenantSuspended,
    TenantUpdated,
)
from commerce_agent.domain.value_objects.currency import UnknownCurrency
from commerce_agent.domain.value_objects.language import Language, UnknownLanguage
from commerce_agent.domain.value_objects.text import BadText
from shared.kernel.errors import DomainError
from shared.kernel.ids import TenantId, new_id

AT = datetime(2026, 3, 1, tzinfo=UTC)


def a_tenant(**fields: Any) -> Tenant:
    return Tenant.create(
        **(
            {
                "tenant_id": TenantId(new_id()),
                "slug": "kopi-senja",
                "name": "Kopi Senja",
                "wrapped_key": b"wrapped",
                "at": AT,
            }
            | fields
        )
    )


def test_a_new_tenant_is_indonesian_unless_told_otherwise() -> None:
    tenant = a_tenant()

    assert (tenant.currency, tenant.timezone, tenant.language) == (
        "IDR",
        "Asia/Jakarta",
        Language.INDONESIAN,
    )
    assert (tenant.status, tenant.llm_config_name) == (TenantStatus.ACTIVE, "offline")
    assert tenant.pull_events() == [
        TenantCreated(tenant_id=tenant.id, occurred_at=AT, slug="kopi-senja")
    ]
    assert "wrapped" not in repr(tenant)


@pytest.mark.parametrize("slug", ["a", "1kopi", "kopi-senja-2", "a" * 63])
def test_a_slug_may_be(slug: str) -> None:
    assert a_tenant(slug=slug).slug == slug


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"slug": ""}, BadSlug),
        ({"slug": "Kopi"}, BadSlug),
        ({"slug": "-kopi"}, BadSlug),
        ({"slug": "kopi senja"}, BadSlug),
        ({"slug": "kopi\n"}, BadSlug),
        ({"slug": "a" * 64}, BadSlug),
        ({"name": ""}, BadText),
        ({"name": "x" * 201}, BadText),
        ({"currency": "IDRX"}, UnknownCurrency),
        ({"currency": "ZZZ"}, UnknownCurrency),
        ({"currency": "ıdr"}, UnknownCurrency),
        ({"currency": ""}, UnknownCurrency),
        ({"timezone": "Jakarta"}, UnknownTimezone),
        ({"timezone": ""}, UnknownTimezone),
        ({"timezone": "../../etc/passwd"}, UnknownTimezone),
        ({"timezone": "/etc/localtime"}, UnknownTimezone),
        ({"language": "fr"}, UnknownLanguage),
        ({"language": ""}, UnknownLanguage),
        ({"llm_config_name": ""}, BadText),
    ],
)
def test_a_tenant_out_of_bounds_is_refused(
    fields: dict[str, Any], error: type[DomainError]
) -> None:
    with pytest.raises(error):
        a_tenant(**fields)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"about": "x" * 2001}, BadText),
        ({"persona": "\x1b[31m"}, BadText),
        ({"policies": ("",)}, BadText),
        ({"policies": ("x",) * 31}, BadText),
        ({"links": ("javascript:alert(1)",)}, BadLink),
        ({"links": ("https://",)}, BadLink),
        ({"links": ("https://[x",)}, BadLink),
        ({"links": ("https://x y",)}, BadLink),
        ({"links": ("https://x",) * 21}, BadText),
    ],
)
def test_a_profile_out_of_bounds_is_refused(
    fields: dict[str, Any], error: type[DomainError]
) -> None:
    with pytest.raises(error):
        ShopProfile(**fields)


def test_an_update_tells_the_fields_that_changed() -> None:
    tenant = a_tenant()
    tenant.pull_events()

    tenant.update(name="Kopi Pagi", language="en", timezone="Asia/Jakarta", at=AT)
    tenant.update(name="Kopi Pagi", at=AT)

    assert (tenant.name, tenant.language) == ("Kopi Pagi", Language.ENGLISH)
    assert tenant.pull_events() == [
        TenantUpdated(tenant_id=tenant.id, occurred_at=AT, fields=("name", "language"))
    ]


def test_a_refused_update_changes_nothing() -> None:
    tenant = a_tenant()
    tenant.pull_events()

    with pytest.raises(UnknownTimezone):
        tenant.update(name="Lain", timezone="Mars/Olympus", at=AT)

    assert tenant.name == "Kopi Senja"
    assert tenant.pull_events() == []


def test_suspending_and_resuming_twice_is_told_once() -> None:
    tenant = a_tenant()
    tenant.pull_events()

    for _ in range(2):
        tenant.suspend(at=AT)
    assert not tenant.is_active
    for _ in range(2):
        tenant.resume(at=AT)

    assert tenant.is_active
    assert tenant.pull_events() == [
        TenantSuspended(tenant_id=tenant.id, occurred_at=AT),
        TenantResumed(tenant_id=tenant.id, occurred_at=AT),
    ]
