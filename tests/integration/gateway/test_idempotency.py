"""A POST that is sent twice is done once, and both senders get the same answer."""

import asyncio

import httpx2
import pytest
import pytest_asyncio

from tests.integration.gateway.conftest import Shop, a_key, a_shop, is_problem
from tests.support.postgres import TestDatabase

DRAFT = {
    "name": "Roti",
    "variants": [{"sku": "ROTI-1", "price": {"amount": 9000, "currency": "IDR"}}],
}


@pytest_asyncio.fixture(loop_scope="session")
async def key(gateway_db: TestDatabase, shop: Shop) -> dict[str, str]:
    return await a_key(gateway_db, shop)


def products(shop: Shop) -> str:
    return f"/v1/crm/tenants/{shop.id}/products"


async def count(database: TestDatabase, shop: Shop) -> object:
    return await database.fetchval("SELECT count(*) FROM products WHERE tenant_id = $1", shop.id)


async def test_the_same_request_again_gets_the_same_answer(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    # the draft's quoted form and the bare one are the same key
    first = await http.post(
        products(shop), json=DRAFT, headers={**key, "idempotency-key": "pesanan-1"}
    )
    again = await http.post(
        products(shop), json=DRAFT, headers={**key, "idempotency-key": '"pesanan-1"'}
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    for name in ("etag", "location", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await count(gateway_db, shop) == 1


async def test_another_payload_under_the_key_is_refused(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    headers = {**key, "idempotency-key": "k"}
    await http.post(products(shop), json=DRAFT, headers=headers)
    other = await http.post(products(shop), json=DRAFT | {"name": "Lain"}, headers=headers)
    is_problem(other, 422, "idempotency_key_reused")
    assert await count(gateway_db, shop) == 1


async def test_a_refusal_is_an_answer_too(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    await http.post(products(shop), json=DRAFT, headers=key)
    headers = {**key, "idempotency-key": "k"}
    refused = await http.post(products(shop), json=DRAFT, headers=headers)
    is_problem(refused, 409, "sku_taken")
    await gateway_db.execute("DELETE FROM variants WHERE tenant_id = $1", shop.id)
    again = await http.post(products(shop), json=DRAFT, headers=headers)
    assert (again.status_code, again.content) == (409, refused.content)
    assert again.headers["content-type"] == "application/problem+json"


async def test_while_the_first_runs_the_second_is_409(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    headers = {**key, "idempotency-key": "bersamaan"}
    answers = await asyncio.gather(
        *(http.post(products(shop), json=DRAFT, headers=headers) for _ in range(8))
    )
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {201, 409}
    assert 201 in statuses
    for answer in answers:
        if answer.status_code == 409:
            is_problem(answer, 409, "request_in_progress")
    assert await count(gateway_db, shop) == 1


async def test_a_first_request_that_broke_off_is_not_done_again(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    headers = {**key, "idempotency-key": "putus"}
    await http.post(products(shop), json=DRAFT, headers=headers)
    await gateway_db.execute(
        "UPDATE idempotency_keys SET status = NULL, body = NULL,"
        " created_at = created_at - interval '2 minutes' WHERE tenant_id = $1",
        shop.id,
    )
    is_problem(await http.post(products(shop), json=DRAFT, headers=headers), 409, "outcome_unknown")
    assert await count(gateway_db, shop) == 1


async def test_a_key_is_free_again_after_a_day(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    headers = {**key, "idempotency-key": "kemarin"}
    await http.post(products(shop), json=DRAFT, headers=headers)
    await gateway_db.execute(
        "UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'"
        " WHERE tenant_id = $1",
        shop.id,
    )
    again = await http.post(products(shop), json=DRAFT, headers=headers)
    is_problem(again, 409, "sku_taken")


async def test_two_tenants_keys_are_strangers(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    other = await a_shop(gateway_db)
    for whose, headers in ((shop, key), (other, await a_key(gateway_db, other))):
        answer = await http.post(
            products(whose), json=DRAFT, headers={**headers, "idempotency-key": "sama"}
        )
        assert answer.status_code == 201
        assert await count(gateway_db, whose) == 1


async def test_an_operators_key_works_without_a_tenant(
    http: httpx2.AsyncClient, gateway_db: TestDatabase
) -> None:
    headers = {**await a_key(gateway_db, None), "idempotency-key": "toko-baru"}
    body = {"slug": "toko-idempoten", "name": "Toko"}
    first = await http.post("/v1/crm/tenants", json=body, headers=headers)
    again = await http.post("/v1/crm/tenants", json=body, headers=headers)
    assert first.status_code == 201
    assert again.json() == first.json()


async def test_a_secret_in_a_kept_answer_is_not_readable_in_the_database(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    url = f"/v1/crm/tenants/{shop.id}/channels"
    headers = {**key, "idempotency-key": "kanal"}
    body = {"kind": "simulator", "name": "Kedua"}
    first = await http.post(url, json=body, headers=headers)
    secret = first.json()["webhook_secret"]
    kept = await gateway_db.fetchval(
        "SELECT body FROM idempotency_keys WHERE tenant_id = $1", shop.id
    )
    assert isinstance(kept, bytes)
    assert secret.encode() not in kept
    again = await http.post(url, json=body, headers=headers)
    assert again.json()["webhook_secret"] == secret


@pytest.mark.parametrize("bad", ["", '""', "x" * 201, "kopi☕".encode(), "a\tb"])
async def test_a_bad_key_is_refused(
    bad: str, http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    answer = await http.post(products(shop), json=DRAFT, headers={**key, "idempotency-key": bad})
    is_problem(answer, 400, "bad_request")
    assert await count(gateway_db, shop) == 0


async def test_a_stranger_takes_no_key(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    answer = await http.post(products(shop), json=DRAFT, headers={"idempotency-key": "k"})
    is_problem(answer, 401, "unauthorized")
    assert (
        await gateway_db.fetchval(
            "SELECT count(*) FROM idempotency_keys WHERE tenant_id = $1", shop.id
        )
        == 0
    )
