"""Every refusal has one form, every answer an id and safe headers."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from structlog.testing import capture_logs

from tests.integration.gateway.conftest import (
    Shop,
    a_key,
    is_problem,
    running,
    settings_for,
)
from tests.support.postgres import TestDatabase


async def test_no_such_route(http: httpx2.AsyncClient) -> None:
    is_problem(await http.get("/v1/nothing"), 404, "not_found")
    is_problem(await http.get("/v1/crm/tenants/"), 404, "not_found")


async def test_wrong_method(http: httpx2.AsyncClient) -> None:
    answer = await http.delete("/health")
    is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


async def test_wrong_fields_are_named_by_json_pointer_and_not_repeated(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    key = await a_key(gateway_db, shop)
    answer = await http.post(
        f"/v1/crm/tenants/{shop.id}/products",
        headers=key,
        json={
            "name": "Kopi",
            "colour/tone": "rahasia sekali",
            "variants": [{"sku": "K-1", "price": {"amount": "25000", "currency": "IDR"}}],
        },
    )
    problem = is_problem(answer, 422, "validation_failed")
    pointers = {error["pointer"] for error in problem["errors"]}
    assert pointers == {"#/variants/0/price/amount", "#/colour~1tone"}
    assert "rahasia sekali" not in answer.text


async def test_what_is_not_json_is_said_to_be_none(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    headers = {**await a_key(gateway_db, shop), "content-type": "application/json"}
    answer = await http.post(
        f"/v1/crm/tenants/{shop.id}/products", headers=headers, content=b'{"name":'
    )
    problem = is_problem(answer, 422, "validation_failed")
    assert problem["errors"] == [{"pointer": "#", "detail": "this is not JSON"}]


HOSTILE = {
    "deep nesting": b"[" * 200_000,
    "NUL": b'{"name":"a\\u0000b","variants":[{"sku":"A","price":{"amount":1,"currency":"IDR"}}]}',
    "NUL in a key": b'{"na\\u0000me":"a"}',
    "lone surrogate": b'{"name":"\\ud800","variants":[]}',
    "NaN": b'{"name":"a","variants":[{"sku":"A","price":{"amount":NaN,"currency":"IDR"}}]}',
    "1e999": b'{"name":"a","variants":[{"sku":"A","price":{"amount":1e999,"currency":"IDR"}}]}',
    "beyond bigint": b'{"name":"a","variants":[{"sku":"A","price":{"amount":99999999999999999999,'
    b'"currency":"IDR"}}]}',
    "negative": b'{"name":"a","variants":[{"sku":"A","price":{"amount":-1,"currency":"IDR"}}]}',
    "bool for number": b'{"name":"a","variants":[{"sku":"A","price":{"amount":true,'
    b'"currency":"IDR"}}]}',
    "list for object": b"[]",
    "null everywhere": b'{"name":null,"variants":null}',
    "mass assignment": b'{"name":"a","tenant_id":"x","variants":[{"sku":"A","reserved":5,'
    b'"price":{"amount":1,"currency":"IDR"}}]}',
    "not UTF-8": b'{"name":"\xff\xfe"}',
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_json_is_refused_and_changes_nothing(
    kind: str, http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    headers = {**await a_key(gateway_db, shop), "content-type": "application/json"}
    answer = await http.post(
        f"/v1/crm/tenants/{shop.id}/products", headers=headers, content=HOSTILE[kind]
    )
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (
        await gateway_db.fetchval("SELECT count(*) FROM products WHERE tenant_id = $1", shop.id)
        == 0
    )


@pytest.mark.parametrize("path", ["/v1/crm/tenants?cursor=%00", "/v1/crm/tenants/a%00b"])
async def test_an_address_with_nul_is_refused(path: str, http: httpx2.AsyncClient) -> None:
    is_problem(await http.get(path), 400, "bad_request")


async def test_a_large_body_is_refused_announced_or_not(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    key = await a_key(gateway_db, shop)
    url = f"/v1/crm/tenants/{shop.id}/products"

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100_000

    is_problem(
        await http.post(url, headers=key, content=b"x" * 1_000_001), 413, "content_too_large"
    )
    is_problem(await http.post(url, headers=key, content=chunks()), 413, "content_too_large")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("req-12345678", True),
        ("a" * 64, True),
        ("short", False),
        ("a" * 65, False),
        ("line\tbreak-12345", False),
        ("<script>alert(1)</script>", False),
    ],
)
async def test_a_sane_request_id_is_echoed_another_is_replaced(
    given: str, kept: bool, http: httpx2.AsyncClient
) -> None:
    answer = await http.get("/health", headers={"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) is kept
    assert len(answer.headers["x-request-id"]) >= 8


async def test_every_answer_has_safe_headers(http: httpx2.AsyncClient) -> None:
    for path in ("/health", "/v1/crm/tenants", "/nothing", "/openapi.json"):
        headers = (await http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_pages_run_only_what_this_server_has(http: httpx2.AsyncClient) -> None:
    for path in ("/", "/console", "/docs"):
        answer = await http.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "<script>" not in answer.text
        assert "http://" not in answer.text.replace("http://www.w3.org", "")
    for path in ("/favicon.ico", "/static/vendor/swagger-ui/swagger-ui-bundle.js"):
        assert (await http.get(path)).status_code == 200
    is_problem(await http.get("/static/../main.py"), 404, "not_found")
    is_problem(await http.get("/static/%2e%2e/main.py"), 404, "not_found")


async def test_the_openapi_document_speaks_of_problems_and_keys(http: httpx2.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    create = document["paths"]["/v1/crm/tenants/{tenant_id}/products"]["post"]
    assert set(create["responses"]) >= {"201", "401", "403", "404", "409", "422"}
    assert "application/problem+json" in create["responses"]["422"]["content"]
    assert "Idempotency-Key" in {parameter["name"] for parameter in create["parameters"]}
    assert create["security"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_metrics_count_by_template_and_never_by_address(
    http: httpx2.AsyncClient, shop: Shop
) -> None:
    await http.get(f"/v1/crm/tenants/{shop.slug}/customers")
    text = (await http.get("/metrics")).text
    assert 'route="/v1/crm/tenants/{tenant_id}/customers"' in text
    assert shop.slug not in text


async def test_an_unexpected_failure_is_a_problem_without_its_story(
    gateway_db: TestDatabase,
) -> None:
    async with running(settings_for(gateway_db)) as http:
        await gateway_db.execute("ALTER TABLE tenants RENAME TO tenants_hidden")
        try:
            with capture_logs() as logs:
                answer = await http.get("/simulator/api/info")
        finally:
            await gateway_db.execute("ALTER TABLE tenants_hidden RENAME TO tenants")
    problem = is_problem(answer, 500, "internal_error")
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert "tenants_hidden" not in answer.text
    (line,) = [line for line in logs if line["event"] == "http_request_failed"]
    assert line["route"] == "/simulator/api/info"
