"""Who may do what: keys, scopes, tenants."""

from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from gateway.application.services.api_key_service import ApiKeyService
from gateway.domain.entities.api_key import UnknownScope
from gateway.infrastructure.persistence.api_keys import SqlApiKeyStore
from shared.kernel.errors import NotFound
from shared.kernel.ids import TenantId, new_id
from shared.persistence.database import open_database
from tests.integration.gateway.conftest import (
    PEPPER,
    Shop,
    a_key,
    a_shop,
    is_problem,
    running,
    settings_for,
)
from tests.support.postgres import TestDatabase

NO_KEY = [
    {},
    {"authorization": ""},
    {"authorization": "Bearer"},
    {"authorization": "Basic YTpi"},
    {"authorization": "Bearer aip_abcdefghijkl_" + "x" * 43},
    {"authorization": "Bearer ' OR 1=1 --"},
    {"authorization": "Bearer " + "x" * 10_000},
    {"x-api-key": "aip_abcdefghijkl_" + "x" * 43},
]


@pytest.mark.parametrize("headers", NO_KEY)
async def test_without_a_key_in_force_everything_is_401(
    headers: dict[str, str], http: httpx2.AsyncClient, shop: Shop
) -> None:
    for method, path in (
        ("GET", f"/v1/crm/tenants/{shop.id}/products"),
        ("POST", f"/v1/crm/tenants/{shop.id}/products"),
        ("GET", "/v1/crm/tenants"),
        ("POST", "/v1/whatsapp/send"),
    ):
        answer = await http.request(method, path, headers=headers)
        is_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_key_is_judged_before_the_body(http: httpx2.AsyncClient, shop: Shop) -> None:
    answer = await http.post(
        f"/v1/crm/tenants/{shop.id}/products",
        content=b"{",
        headers={"content-type": "application/json"},
    )
    is_problem(answer, 401, "unauthorized")


async def test_one_character_off_is_no_key(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    key = (await a_key(gateway_db, shop))["authorization"]
    url = f"/v1/crm/tenants/{shop.id}/products"
    assert (await http.get(url, headers={"authorization": key})).status_code == 200
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    is_problem(await http.get(url, headers={"authorization": wrong}), 401, "unauthorized")


async def test_a_tenant_is_named_by_id_or_slug_and_another_does_not_exist(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    other = await a_shop(gateway_db)
    key = await a_key(gateway_db, shop)
    for tenant in (shop.id, shop.slug):
        assert (
            await http.get(f"/v1/crm/tenants/{tenant}/products", headers=key)
        ).status_code == 200
    for tenant in (other.id, other.slug, new_id(), "tidak-ada", str(shop.id).upper() + "x"):
        answer = await http.get(f"/v1/crm/tenants/{tenant}/products", headers=key)
        is_problem(answer, 404, "tenant_not_found")


SCOPES = {
    "tenant:read": [("GET", "/v1/crm/tenants/{t}")],
    "tenant:write": [("PATCH", "/v1/crm/tenants/{t}")],
    "channels:read": [("GET", "/v1/crm/tenants/{t}/channels"), ("GET", "/v1/whatsapp/sessions")],
    "channels:write": [("POST", "/v1/crm/tenants/{t}/channels")],
    "products:read": [("GET", "/v1/crm/tenants/{t}/products")],
    "products:write": [("POST", "/v1/crm/tenants/{t}/products")],
    "customers:read": [("GET", "/v1/crm/tenants/{t}/customers")],
    "customers:write": [("PATCH", "/v1/crm/tenants/{t}/customers/{id}")],
    "conversations:read": [("GET", "/v1/crm/tenants/{t}/conversations")],
    "conversations:write": [
        ("POST", "/v1/crm/tenants/{t}/conversations/{id}/messages"),
        ("POST", "/v1/whatsapp/send"),
    ],
    "work:read": [("GET", "/v1/crm/tenants/{t}/dead-letters")],
    "work:write": [("POST", "/v1/crm/tenants/{t}/dead-letters/{id}/redrive")],
}
OPERATOR_ONLY = [("GET", "/v1/crm/tenants"), ("POST", "/v1/crm/tenants")]


def covers(held: str, needed: str) -> bool:
    return held in ("*", needed) or held == needed.replace(":read", ":write")


@pytest.mark.parametrize("held", [*SCOPES, "*", "simulator"])
async def test_a_scope_opens_its_routes_and_no_other(
    held: str, http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    key = await a_key(gateway_db, shop, held)
    for needed, routes in SCOPES.items():
        for method, path in routes:
            url = path.format(t=shop.id, id=new_id())
            answer = await http.request(
                method, url, headers=key, json={} if method != "GET" else None
            )
            if covers(held, needed):
                assert answer.status_code in (200, 404, 422), (held, url, answer.text)
            else:
                is_problem(answer, 403, "scope_missing")
    for method, path in OPERATOR_ONLY:
        answer = await http.request(method, path, headers=key, json={})
        is_problem(answer, 403, "scope_missing")


async def test_an_operators_key_opens_no_tenants_data(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    key = await a_key(gateway_db, None)
    assert (await http.get("/v1/crm/tenants", headers=key)).status_code == 200
    assert (await http.get(f"/v1/crm/tenants/{shop.slug}", headers=key)).status_code == 200
    for routes in list(SCOPES.values())[1:]:
        for method, path in routes:
            url = path.format(t=shop.id, id=new_id())
            answer = await http.request(method, url, headers=key, json={})
            assert answer.status_code in (403, 404), (url, answer.text)


async def test_a_suspended_tenants_key_is_refused(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    await gateway_db.execute("UPDATE tenants SET status = 'suspended' WHERE id = $1", shop.id)
    key = await a_key(gateway_db, shop)
    answer = await http.get(f"/v1/crm/tenants/{shop.id}/products", headers=key)
    is_problem(answer, 403, "tenant_suspended")


async def test_keys_are_made_used_expired_and_revoked(shop: Shop, gateway_db: TestDatabase) -> None:
    async with open_database(gateway_db.settings) as database:
        keys = ApiKeyService(SqlApiKeyStore(database), PEPPER)
        fresh = await keys.create(shop.id, "kasir", ["products:read"])
        over = await keys.create(
            shop.id, "lama", ["*"], expires_at=datetime.now(UTC) - timedelta(seconds=1)
        )
        gone = await keys.create(shop.id, "hilang", ["*"])
        await keys.revoke(shop.id, gone.split("_")[1])
        operator = await keys.create(None, "operator", ["platform"])
        for bad in ([], ["platform"], ["products:delete"], ["*", "platform"]):
            with pytest.raises(UnknownScope):
                await keys.create(shop.id, "salah", bad)
        with pytest.raises(UnknownScope):
            await keys.create(None, "salah", ["*"])
        with pytest.raises(NotFound):
            await keys.create(TenantId(new_id()), "salah", ["*"])
        with pytest.raises(NotFound):
            await keys.revoke(shop.id, gone.split("_")[1])
        with pytest.raises(NotFound):
            await keys.revoke(shop.id, operator.split("_")[1])

    rows = await gateway_db.fetch("SELECT * FROM api_keys WHERE tenant_id = $1", shop.id)
    assert {row["name"] for row in rows} == {"kasir", "lama", "hilang"}
    for row in rows:
        assert fresh.encode() not in bytes(row["digest"])
        assert row["last_used_at"] is None
    async with running(settings_for(gateway_db)) as http:
        url = f"/v1/crm/tenants/{shop.id}/products"
        for plaintext, status in ((fresh, 200), (over, 401), (gone, 401)):
            headers = {"authorization": f"Bearer {plaintext}"}
            assert (await http.get(url, headers=headers)).status_code == status
    assert await gateway_db.fetchval(
        "SELECT last_used_at IS NOT NULL FROM api_keys WHERE name = 'kasir' AND tenant_id = $1",
        shop.id,
    )
