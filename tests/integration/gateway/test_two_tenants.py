"""Whatever the API offers, another tenant's things do not exist: generated from its own list."""

from typing import Any
from uuid import UUID

import httpx2
import pytest_asyncio

from shared.kernel.ids import new_id
from tests.integration.gateway.conftest import Shop, a_key, a_shop
from tests.support.postgres import TestDatabase

BODIES: dict[str, Any] = {
    "/products/{product_id}/variants": {
        "sku": "X-1",
        "price": {"amount": 1, "currency": "IDR"},
    },
    "/products": {
        "name": "X",
        "variants": [{"sku": "X-2", "price": {"amount": 1, "currency": "IDR"}}],
    },
    "/channels": {"kind": "simulator", "name": "X"},
    "/messages": {"text": "X"},
    "/customers": {"name": "X"},
}
"""What a valid request carries, by the end of its path; others may be empty."""

TABLES = (
    "tenants", "channels", "products", "variants", "customers", "conversations", "sends",
    "messages", "dead_letters", "queue_messages", "turns", "simulator_messages",
    "simulator_customers", "jobs", "job_batches", "llm_configs", "prompt_templates",
    "agent_configs", "webhook_deliveries", "webhook_attempts", "webhook_secrets",
)  # fmt: skip


@pytest_asyncio.fixture(loop_scope="session")
async def theirs(gateway_db: TestDatabase) -> tuple[Shop, dict[str, str]]:
    """Another tenant with one of everything."""
    shop = await a_shop(gateway_db)
    ids = {
        name: str(new_id())
        for name in (
            *("product", "variant", "customer", "conversation", "send", "letter", "turn"),
            *("job", "batch", "delivery"),
        )
    }
    await gateway_db.execute(
        "INSERT INTO products (tenant_id, id, name) VALUES ($1, $2, 'P')", shop.id, ids["product"]
    )
    await gateway_db.execute(
        "INSERT INTO variants (tenant_id, id, product_id, sku, price) VALUES ($1, $2, $3, 'S', 1)",
        shop.id,
        ids["variant"],
        ids["product"],
    )
    await gateway_db.execute(
        "INSERT INTO customers (tenant_id, id, name) VALUES ($1, $2, 'C')",
        shop.id,
        ids["customer"],
    )
    await gateway_db.execute(
        "INSERT INTO conversations (tenant_id, id, channel_id, customer_id, address)"
        " VALUES ($1, $2, $3, $4, '62811@c.us')",
        shop.id,
        ids["conversation"],
        shop.channel_id,
        ids["customer"],
    )
    await gateway_db.execute(
        "INSERT INTO turns (tenant_id, id, conversation_id, state, reply_id)"
        " VALUES ($1, $2, $3, 'ended', $2)",
        shop.id,
        ids["turn"],
        ids["conversation"],
    )
    await gateway_db.execute(
        "INSERT INTO sends (tenant_id, id, channel_id, conversation_id, seq, kind, reply_id, body,"
        " owner_epoch, state) VALUES ($1, $2, $3, $4, 1, 'ai', $5, 'rahasia', 1, 'sent')",
        shop.id,
        ids["send"],
        shop.channel_id,
        ids["conversation"],
        ids["turn"],
    )
    await gateway_db.execute(
        "INSERT INTO dead_letters (id, tenant_id, queue, kind, key, payload, attempts, code)"
        " VALUES ($2, $1, 'crm_tasks', 'x', 'x', '{}', 1, 'x')",
        shop.id,
        ids["letter"],
    )
    await gateway_db.execute(
        "INSERT INTO simulator_customers (tenant_id, channel_id, address, name)"
        " VALUES ($1, $2, '62811@c.us', 'C')",
        shop.id,
        shop.channel_id,
    )
    await gateway_db.execute(
        "INSERT INTO job_batches (tenant_id, id, total) VALUES ($1, $2, 1)", shop.id, ids["batch"]
    )
    await gateway_db.execute(
        "INSERT INTO jobs (tenant_id, id, prompt, config_name, template_name, batch_id,"
        " deadline_at) VALUES ($1, $2, 'rahasia', 'offline', 'rahasia', $3,"
        " platform_now() + interval '1 hour')",
        shop.id,
        ids["job"],
        ids["batch"],
    )
    await gateway_db.execute(
        "INSERT INTO webhook_deliveries (tenant_id, id, job_id, type, url)"
        " VALUES ($1, $2, $3, 'job.completed', 'https://rahasia.example')",
        shop.id,
        ids["delivery"],
        ids["job"],
    )
    await gateway_db.execute(
        "INSERT INTO llm_configs (id, tenant_id, name, provider, model)"
        " VALUES (gen_random_uuid(), $1, 'rahasia', 'offline', 'offline-demo')",
        shop.id,
    )
    await gateway_db.execute(
        "INSERT INTO prompt_templates (id, tenant_id, name, body)"
        " VALUES (gen_random_uuid(), $1, 'rahasia', 'P')",
        shop.id,
    )
    await gateway_db.execute(
        "INSERT INTO agent_configs (id, tenant_id, name, type, template_name)"
        " VALUES (gen_random_uuid(), $1, 'rahasia', 'main', 'rahasia')",
        shop.id,
    )
    return shop, {
        "job_id": ids["job"],
        "batch_id": ids["batch"],
        "delivery_id": ids["delivery"],
        "name": "rahasia",
        "type": "main",
        "product_id": ids["product"],
        "variant_id": ids["variant"],
        "customer_id": ids["customer"],
        "conversation_id": ids["conversation"],
        "message_id": ids["send"],
        "dead_letter_id": ids["letter"],
        "channel_id": str(shop.channel_id),
        "address": "62811@c.us",
        "native_id": "3EB0",
    }


async def digest(database: TestDatabase, shop: Shop) -> list[Any]:
    found = []
    for table in TABLES:
        column = "id" if table == "tenants" else "tenant_id"
        rows = await database.fetch(
            f"SELECT {table}::text AS row FROM {table} WHERE {column} = $1 ORDER BY 1", shop.id
        )
        found.append((table, [row["row"] for row in rows]))
    return found


async def operations(http: httpx2.AsyncClient) -> list[tuple[str, str, dict[str, Any]]]:
    document = (await http.get("/openapi.json")).json()
    return [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "{" in path
    ]


def body_for(path: str) -> Any:
    for ending, body in BODIES.items():
        if path.endswith(ending):
            return body
    return {}


async def test_another_tenants_things_do_not_exist(
    http: httpx2.AsyncClient,
    shop: Shop,
    theirs: tuple[Shop, dict[str, str]],
    gateway_db: TestDatabase,
) -> None:
    other, ids = theirs
    key = await a_key(gateway_db, shop)
    before = await digest(gateway_db, other)
    seen = 0
    for method, path, _ in await operations(http):
        if path.startswith("/simulator"):
            continue  # open on this machine; the next test asks from elsewhere
        if "{name}" in path and method != "GET":
            continue  # each tenant has names of its own: what is written under one is ours
        # their things under their tenant, and their things as if they were ours
        for tenant in (other.id, other.slug, shop.id):
            if tenant == shop.id and not any(f"{{{name}}}" in path for name in ids):
                continue
            url = path.format(tenant_id=tenant, **ids)
            answer = await http.request(
                method,
                url,
                headers=key,
                json=None if method == "GET" else body_for(path),
            )
            assert answer.status_code == 404, (method, url, answer.status_code, answer.text)
            assert "rahasia" not in answer.text.replace("named rahasia", "")
            seen += 1
    assert seen > 40
    assert await digest(gateway_db, other) == before


async def test_their_conversation_cannot_be_written_to_by_its_id(
    http: httpx2.AsyncClient,
    shop: Shop,
    theirs: tuple[Shop, dict[str, str]],
    gateway_db: TestDatabase,
) -> None:
    other, ids = theirs
    key = await a_key(gateway_db, shop)
    before = await digest(gateway_db, other)
    body = {"text": "x", "conversation_id": ids["conversation_id"]}
    answer = await http.post("/v1/whatsapp/send", json=body, headers=key)
    assert answer.status_code == 404, answer.text
    assert await digest(gateway_db, other) == before


async def test_a_name_of_theirs_is_no_name_of_ours(
    http: httpx2.AsyncClient,
    shop: Shop,
    theirs: tuple[Shop, dict[str, str]],
    gateway_db: TestDatabase,
) -> None:
    """What is written under a name that both use is written in our own rows."""
    other, ids = theirs
    key = await a_key(gateway_db, shop)
    before = await digest(gateway_db, other)
    for method, path, body, status in (
        ("POST", "llm-configs/{name}/test", None, 404),
        ("DELETE", "llm-configs/{name}", None, 404),
        ("PUT", "llm-configs/{name}", {"provider": "offline", "model": "demo"}, 200),
        ("DELETE", "llm-configs/{name}", None, 204),
        ("POST", "prompt-templates/{name}/publish", {"version": 1}, 404),
        ("POST", "prompt-templates/{name}/rollback", None, 404),
        ("POST", "prompt-templates/{name}/render", {}, 404),
        ("DELETE", "prompt-templates/{name}", None, 404),
        ("PUT", "prompt-templates/{name}", {"body": "Q"}, 200),
        ("DELETE", "prompt-templates/{name}", None, 204),
        ("POST", "agent-configs/{name}/{type}/publish", {"version": 1}, 404),
        ("POST", "agent-configs/{name}/{type}/rollback", None, 404),
        ("DELETE", "agent-configs/{name}/{type}", None, 404),
        ("PUT", "agent-configs/{name}/{type}", {"template_name": "Q"}, 200),
        ("DELETE", "agent-configs/{name}/{type}", None, 204),
    ):
        url = f"/v1/{path}".format(**ids)
        answer = await http.request(method, url, headers=key, json=body)
        assert answer.status_code == status, (method, url, answer.text)
        assert await digest(gateway_db, other) == before, (method, url)


async def test_lists_hold_only_ones_own(
    http: httpx2.AsyncClient,
    shop: Shop,
    theirs: tuple[Shop, dict[str, str]],
    gateway_db: TestDatabase,
) -> None:
    key = await a_key(gateway_db, shop)
    for name in ("products", "customers", "conversations", "dead-letters"):
        answer = await http.get(f"/v1/crm/tenants/{shop.id}/{name}", headers=key)
        assert answer.json() == {"data": [], "next_cursor": None}
    (channel,) = (await http.get(f"/v1/crm/tenants/{shop.id}/channels", headers=key)).json()["data"]
    assert UUID(channel["id"]) == shop.channel_id
    for path in ("/v1/whatsapp/sessions", "/v1/jobs"):
        assert (await http.get(path, headers=key)).json()["data"] == []
    for path in ("llm-configs?inactive=true", "prompt-templates", "agent-configs"):
        listed = (await http.get(f"/v1/{path}", headers=key)).json()["data"]
        assert listed
        assert all(each["platform"] for each in listed)
