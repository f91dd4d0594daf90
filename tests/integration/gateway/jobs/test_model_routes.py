"""Models, templates and agents over HTTP: versions, who sees what, and that keys never come out."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest
import pytest_asyncio

from gateway.application.services import llm_configs
from llm_worker.interface.handlers import probe_handler
from shared.cache.open import open_cache
from shared.config.settings import CacheSettings
from tests.integration.gateway.conftest import (
    Shop,
    a_key,
    a_shop,
    is_problem,
    running,
    settings_for,
)
from tests.support.postgres import TestDatabase
from tests.support.redis import RedisForTests

SECRET = "sk-sangat-rahasia"
MINE = {
    "provider": "openai_compatible",
    "model": "qwen3:8b",
    "base_url": "https://models.example/v1",
    "api_key": SECRET,
}


@pytest_asyncio.fixture(loop_scope="session")
async def key(gateway_db: TestDatabase, shop: Shop) -> dict[str, str]:
    return await a_key(gateway_db, shop)


async def belongings(db: TestDatabase, shop: Shop) -> list[Any]:
    tables = ("llm_configs", "prompt_templates", "agent_configs", "queue_messages")
    return [
        await db.fetch(f"SELECT * FROM {table} WHERE tenant_id = $1 ORDER BY id", shop.id)
        for table in tables
    ]


# models


async def test_a_model_reads_as_it_was_written_but_for_its_key(
    http: httpx2.AsyncClient, key: dict[str, str], gateway_db: TestDatabase, shop: Shop
) -> None:
    wanted = {
        "name": "kasir",
        "temperature": 0.7,
        "max_tokens": 200,
        "timeout_seconds": 12.5,
        "min_answer_length": 2,
        "price_in_per_million": "0.25",
        "price_out_per_million": 2,
        "fallbacks": ["default-fast"],
        "structured_output": "tool",
        "context_tokens": 8192,
    }
    made = await http.post("/v1/llm-configs", json=MINE | wanted, headers=key)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == "/v1/llm-configs/kasir"
    assert made.headers["etag"] == '"1"'
    assert made.json() == {
        **{name: value for name, value in MINE.items() if name != "api_key"},
        **wanted,
        "price_out_per_million": "2",
        "version": 1,
        "platform": False,
        "has_key": True,
        "active": True,
    }
    assert (await http.get("/v1/llm-configs/kasir", headers=key)).json() == made.json()
    (row,) = await gateway_db.fetch("SELECT * FROM llm_configs WHERE tenant_id = $1", shop.id)
    assert SECRET.encode() not in bytes(row["api_key_ciphertext"])


async def test_no_answer_ever_holds_a_key(
    http: httpx2.AsyncClient, key: dict[str, str], gateway_db: TestDatabase, shop: Shop
) -> None:
    headers = key | {"idempotency-key": "once"}
    answers = [
        await http.post("/v1/llm-configs", json=MINE | {"name": "a"}, headers=headers),
        await http.post("/v1/llm-configs", json=MINE | {"name": "a"}, headers=headers),
        await http.post("/v1/llm-configs", json=MINE | {"name": "a"}, headers=key),
        await http.put("/v1/llm-configs/a", json=MINE, headers=key),
        await http.put("/v1/llm-configs/a", json=MINE | {"max_tokens": 0}, headers=key),
        await http.put("/v1/llm-configs/a", json=MINE | {"provider": "offline"}, headers=key),
        await http.put("/v1/llm-configs/a", json=MINE | {"base_url": "x"}, headers=key),
        await http.get("/v1/llm-configs", headers=key),
        await http.get("/v1/llm-configs/a", headers=key),
        await http.get("/v1/llm-configs/a/versions", headers=key),
    ]
    assert [answer.status_code for answer in answers] == [
        201, 201, 409, 200, 422, 200, 422, 200, 200, 200,
    ]  # fmt: skip
    for answer in answers:
        assert SECRET not in answer.text + str(answer.headers)
    # the answer that is kept for a repetition is sealed, and holds none either
    assert await gateway_db.fetchval(
        "SELECT count(*) FROM idempotency_keys WHERE tenant_id = $1", shop.id
    )


async def test_the_next_version_keeps_the_key_while_it_goes_to_the_same_address(
    http: httpx2.AsyncClient, key: dict[str, str], gateway_db: TestDatabase, shop: Shop
) -> None:
    await http.post("/v1/llm-configs", json=MINE | {"name": "kasir"}, headers=key)
    keyless = {name: value for name, value in MINE.items() if name != "api_key"}
    changed = await http.put("/v1/llm-configs/kasir", json=keyless | {"model": "b"}, headers=key)
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (changed.json()["model"], changed.json()["has_key"]) == ("b", True)

    before = await belongings(gateway_db, shop)
    elsewhere = {"base_url": "https://thief.example/v1"}
    for wrong in (
        keyless | elsewhere,
        keyless | {"provider": "anthropic"},
        keyless | {"api_key": None},
    ):
        refused = await http.put("/v1/llm-configs/kasir", json=wrong, headers=key)
        is_problem(refused, 403, "llm_key_not_allowed")
    assert await belongings(gateway_db, shop) == before
    moved = await http.put("/v1/llm-configs/kasir", json=MINE | elsewhere, headers=key)
    assert (moved.status_code, moved.json()["version"]) == (200, 3)


async def test_ones_own_model_stands_before_the_platforms_until_it_is_put_out_of_use(
    http: httpx2.AsyncClient, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    path = "/v1/llm-configs/default-smart"
    platform = (await http.get(path, headers=key)).json()
    assert (platform["platform"], platform["has_key"]) == (True, False)
    is_problem(await http.delete(path, headers=key), 404, "llm_config_not_found")
    made = await http.put(path, json=MINE, headers=key)
    assert (made.status_code, made.json()["version"]) == (200, 1)
    assert (await http.get(path, headers=key)).json()["model"] == "qwen3:8b"
    other = await a_key(gateway_db, await a_shop(gateway_db))
    assert (await http.get(path, headers=other)).json() == platform

    assert (await http.delete(path, headers=key)).status_code == 204
    assert (await http.get(path, headers=key)).json() == platform
    is_problem(await http.delete(path, headers=key), 404, "llm_config_not_found")
    (version,) = (await http.get(f"{path}/versions", headers=key)).json()["data"]
    assert (version["version"], version["active"], version["model"]) == (1, False, "qwen3:8b")
    assert version["created_at"]


async def test_models_are_listed_by_name_in_pages(
    http: httpx2.AsyncClient, key: dict[str, str]
) -> None:
    await http.post("/v1/llm-configs", json=MINE | {"name": "kasir"}, headers=key)
    names: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await http.get("/v1/llm-configs", params=query, headers=key)).json()
        names += [config["name"] for config in page["data"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert names == [
        "claude-fast", "claude-smart", "default-fast", "default-smart", "kasir", "offline",
    ]  # fmt: skip
    every = (await http.get("/v1/llm-configs?inactive=true", headers=key)).json()["data"]
    assert {config["name"] for config in every} - set(names) == {"ollama-example"}
    is_problem(await http.get("/v1/llm-configs?cursor=x", headers=key), 422, "bad_cursor")


async def test_a_change_of_what_changed_meanwhile_is_412(
    http: httpx2.AsyncClient, key: dict[str, str], gateway_db: TestDatabase, shop: Shop
) -> None:
    await http.put("/v1/llm-configs/a", json=MINE, headers=key)
    await http.put("/v1/prompt-templates/a", json={"body": "satu"}, headers=key)
    await http.put("/v1/agent-configs/a/main", json={"template_name": "a"}, headers=key)
    bodies: dict[str, Any] = {
        "/v1/llm-configs/a": MINE,
        "/v1/prompt-templates/a": {"body": "dua"},
        "/v1/agent-configs/a/main": {"template_name": "b"},
    }
    for path, body in bodies.items():
        saved = await http.put(path, json=body, headers=key | {"if-match": '"1"'})
        assert (saved.status_code, saved.headers["etag"]) == (200, '"2"')
        before = await belongings(gateway_db, shop)
        for stale in ('"1"', '"99"', "rubbish"):
            refused = await http.put(path, json=body, headers=key | {"if-match": stale})
            is_problem(refused, 412, "changed_meanwhile")
        assert await belongings(gateway_db, shop) == before


WRONG_MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": ""}, "validation_failed"),
    "a scripted one": ({"provider": "scripted"}, "validation_failed"),
    "too warm": ({"temperature": 2.1}, "validation_failed"),
    "a variable of the environment": ({"api_key_env": "OPENAI_API_KEY"}, "validation_failed"),
    "a negative price": ({"price_in_per_million": "-1"}, "validation_failed"),
    "too fine a price": ({"price_in_per_million": "0.0000001"}, "validation_failed"),
    "six fallbacks": ({"fallbacks": list("abcdef")}, "validation_failed"),
    "itself as fallback": ({"fallbacks": ["kasir"]}, "invalid_llm_config"),
    "no address": ({"base_url": None}, "invalid_llm_config"),
    "an address with a query": ({"base_url": "https://a.example/?q=1"}, "invalid_llm_config"),
    "a name of a model with blanks": ({"model": " a"}, "invalid_model_name"),
    "a name that no address holds": ({"name": "a/b"}, "validation_failed"),
}


@pytest.mark.parametrize("what", WRONG_MODELS)
async def test_a_model_that_cannot_be_kept_leaves_nothing_behind(
    what: str, http: httpx2.AsyncClient, key: dict[str, str], gateway_db: TestDatabase, shop: Shop
) -> None:
    change, code = WRONG_MODELS[what]
    answer = await http.post("/v1/llm-configs", json={"name": "kasir"} | MINE | change, headers=key)
    is_problem(answer, 422, code)
    assert SECRET not in answer.text
    assert await belongings(gateway_db, shop) == [[], [], [], []]


# trying a model out


@pytest_asyncio.fixture(loop_scope="session")
async def connected(
    gateway_db: TestDatabase, redis_server: RedisForTests
) -> AsyncIterator[tuple[httpx2.AsyncClient, Any]]:
    cache_settings = CacheSettings(redis_url=redis_server.url)
    settings = settings_for(gateway_db).model_copy(update={"cache": cache_settings})
    async with running(settings) as http, open_cache(cache_settings) as cache:
        yield http, cache


async def the_probe(db: TestDatabase, shop: Shop) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            found = await db.fetch(
                "SELECT queue, kind, payload FROM queue_messages WHERE tenant_id = $1", shop.id
            )
            if found:
                (row,) = found
                assert (row["queue"], row["kind"]) == ("ai_tasks", "llm.probe")
                payload: dict[str, Any] = orjson.loads(row["payload"])
                return payload
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("told", [True, False])
async def test_a_worker_tries_a_model_out(
    told: bool,
    connected: tuple[httpx2.AsyncClient, Any],
    shop: Shop,
    key: dict[str, str],
    gateway_db: TestDatabase,
) -> None:
    """Also where the word is lost: the outcome lies in the cache."""
    http, cache = connected
    asking = asyncio.create_task(http.post("/v1/llm-configs/offline/test", headers=key))
    payload = await the_probe(gateway_db, shop)
    assert payload["config"] == "offline"
    outcome = {
        "config": "offline",
        "ok": False,
        "model": "",
        "milliseconds": 0,
        "tokens_in": 0,
        "tokens_out": 0,
        "code": "model_key_invalid",
        "detail": "The key is refused.",
    }
    topic = probe_handler.topic(payload["id"])
    if told:
        await cache.publish(topic, orjson.dumps(outcome))
    else:
        await cache.set(topic, orjson.dumps(outcome), llm_configs.PROBE_PATIENCE)
    async with asyncio.timeout(10):
        answer = await asking
    assert answer.status_code == 200
    error = {"code": outcome.pop("code"), "detail": outcome.pop("detail")}
    assert answer.json() == outcome | {"error": error}


async def test_a_model_that_no_worker_tries_is_said_so(
    http: httpx2.AsyncClient, key: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = llm_configs.PROBE_PATIENCE / 100
    monkeypatch.setattr(llm_configs, "PROBE_PATIENCE", short)
    answer = await http.post("/v1/llm-configs/offline/test", headers=key)
    is_problem(answer, 503, "llm_probe_unanswered")
    missing = await http.post("/v1/llm-configs/none/test", headers=key)
    is_problem(missing, 404, "llm_config_not_found")


# templates


async def test_versions_of_a_template_are_published_and_taken_back(
    http: httpx2.AsyncClient, key: dict[str, str]
) -> None:
    path = "/v1/prompt-templates/kasir"
    first = await http.post(
        "/v1/prompt-templates",
        json={"name": "kasir", "body": "Sapa {{ nama }}.", "description": "Kasir"},
        headers=key,
    )
    assert (first.status_code, first.headers["location"]) == (201, path)
    assert first.json() == {
        "name": "kasir",
        "version": 1,
        "platform": False,
        "body": "Sapa {{ nama }}.",
        "description": "Kasir",
        "variables": ["nama"],
        "published": True,
    }
    again = await http.post(
        "/v1/prompt-templates", json={"name": "kasir", "body": "x"}, headers=key
    )
    is_problem(again, 409, "prompt_template_exists")

    draft = await http.put(path, json={"body": "Draf {{ a.b? }}", "publish": False}, headers=key)
    assert (draft.json()["version"], draft.json()["published"]) == (2, False)
    assert (await http.get(path, headers=key)).json() == first.json()

    published = await http.post(f"{path}/publish", json={"version": 2}, headers=key)
    assert published.json() == draft.json() | {"published": True}
    assert (await http.get(path, headers=key)).json() == published.json()
    versions = (await http.get(f"{path}/versions", params={"limit": 1}, headers=key)).json()
    assert [each["version"] for each in versions["data"]] == [2]
    rest = await http.get(
        f"{path}/versions", params={"cursor": versions["next_cursor"]}, headers=key
    )
    assert rest.json() == {"data": [first.json() | {"published": False}], "next_cursor": None}

    back = await http.post(f"{path}/rollback", headers=key)
    assert back.json() == first.json()
    is_problem(await http.post(f"{path}/rollback", headers=key), 409, "no_earlier_version")
    missing = await http.post(f"{path}/publish", json={"version": 9}, headers=key)
    is_problem(missing, 404, "version_not_found")
    assert (await http.get(path, headers=key)).json() == first.json()

    assert (await http.delete(path, headers=key)).status_code == 204
    is_problem(await http.get(path, headers=key), 404, "prompt_template_not_found")
    is_problem(await http.delete(path, headers=key), 404, "prompt_template_not_found")


async def test_a_template_is_tried_with_values(
    http: httpx2.AsyncClient, key: dict[str, str]
) -> None:
    path = "/v1/prompt-templates/kasir"
    await http.put(path, json={"body": "{{ nama }} {{ order.total }}{{ p? }}"}, headers=key)
    await http.put(path, json={"body": "Kosong"}, headers=key)
    variables = {"nama": "{{ order.total }}", "order": {"total": 7}}
    body = {"variables": variables, "version": 1}
    rendered = await http.post(f"{path}/render", json=body, headers=key)
    assert rendered.json() == {"text": "{{ order.total }} 7"}
    assert (await http.post(f"{path}/render", json={}, headers=key)).json() == {"text": "Kosong"}
    missing = await http.post(f"{path}/render", json={"version": 1}, headers=key)
    problem = is_problem(missing, 422, "template_values_missing")
    assert "nama" in problem["detail"]
    other = await http.post(f"{path}/render", json={"version": 9}, headers=key)
    is_problem(other, 404, "version_not_found")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"body": " "}, "invalid_prompt_template"),
        ({"body": "{{ 7 }}"}, "invalid_template"),
        ({"body": "x" * 50_001}, "validation_failed"),
        ({"body": "x", "version": 3}, "validation_failed"),
    ],
)
async def test_a_template_that_cannot_be_kept_leaves_nothing_behind(
    body: dict[str, Any],
    code: str,
    http: httpx2.AsyncClient,
    key: dict[str, str],
    gateway_db: TestDatabase,
    shop: Shop,
) -> None:
    is_problem(await http.put("/v1/prompt-templates/a", json=body, headers=key), 422, code)
    assert await belongings(gateway_db, shop) == [[], [], [], []]


async def test_the_platforms_templates_are_read_and_not_changed(
    http: httpx2.AsyncClient, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    path = "/v1/prompt-templates/default-assistant"
    platform = (await http.get(path, headers=key)).json()
    assert platform["platform"]
    is_problem(await http.delete(path, headers=key), 404, "prompt_template_not_found")
    is_problem(await http.post(f"{path}/rollback", headers=key), 404, "prompt_template_not_found")
    publish = await http.post(f"{path}/publish", json={"version": 1}, headers=key)
    is_problem(publish, 404, "version_not_found")
    mine = await http.post(
        "/v1/prompt-templates",
        json={"name": "default-assistant", "body": "Punya kami"},
        headers=key,
    )
    assert (mine.status_code, mine.json()["version"]) == (201, 1)
    other = await a_key(gateway_db, await a_shop(gateway_db))
    assert (await http.get(path, headers=other)).json() == platform
    names = [
        each["name"]
        for each in (await http.get("/v1/prompt-templates", headers=key)).json()["data"]
    ]
    assert names == [
        "code-assistant", "creative-writer", "default-assistant", "fallback-agent",
        "followup-agent", "main-agent", "moderation-agent",
    ]  # fmt: skip


# agents


async def test_versions_of_an_agent_are_published_and_taken_back(
    http: httpx2.AsyncClient, key: dict[str, str]
) -> None:
    path = "/v1/agent-configs/default/main"
    platform = (await http.get(path, headers=key)).json()
    assert platform == {
        "name": "default",
        "type": "main",
        "version": 1,
        "platform": True,
        "template_name": "main-agent",
        "llm_config_name": None,
        "temperature": None,
        "max_tokens": None,
        "max_retries": None,
        "published": True,
    }
    wanted = {
        "template_name": "creative-writer",
        "llm_config_name": "offline",
        "temperature": 1.2,
        "max_tokens": 50,
        "max_retries": 0,
    }
    first = await http.put(path, json=wanted, headers=key)
    assert first.json() == platform | wanted | {"platform": False}
    second = await http.put(path, json={"template_name": "b", "publish": False}, headers=key)
    assert (second.json()["version"], second.json()["published"]) == (2, False)
    assert (await http.get(path, headers=key)).json() == first.json()
    published = await http.post(f"{path}/publish", json={"version": 2}, headers=key)
    assert published.json() == second.json() | {"published": True}
    assert (await http.post(f"{path}/rollback", headers=key)).json() == first.json()
    is_problem(await http.post(f"{path}/rollback", headers=key), 409, "no_earlier_version")
    missing = await http.post(f"{path}/publish", json={"version": 9}, headers=key)
    is_problem(missing, 404, "version_not_found")
    versions = (await http.get(f"{path}/versions", headers=key)).json()["data"]
    assert [(each["version"], each["published"]) for each in versions] == [(2, False), (1, True)]
    every = (await http.get("/v1/agent-configs", headers=key)).json()["data"]
    assert [each["type"] for each in every] == ["fallback", "followup", "main", "moderation"]
    assert (await http.delete(path, headers=key)).status_code == 204
    assert (await http.get(path, headers=key)).json() == platform
    is_problem(await http.delete(path, headers=key), 404, "agent_config_not_found")
    unknown = await http.get("/v1/agent-configs/default/router", headers=key)
    is_problem(unknown, 422, "validation_failed")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"template_name": ""}, "validation_failed"),
        ({"template_name": " a"}, "invalid_name"),
        ({"temperature": -0.1}, "validation_failed"),
        ({"max_retries": 21}, "validation_failed"),
        ({"tenant_id": None}, "validation_failed"),
    ],
)
async def test_an_agent_that_cannot_be_kept_leaves_nothing_behind(
    change: dict[str, Any],
    code: str,
    http: httpx2.AsyncClient,
    key: dict[str, str],
    gateway_db: TestDatabase,
    shop: Shop,
) -> None:
    body = {"template_name": "main-agent"} | change
    is_problem(await http.put("/v1/agent-configs/a/main", json=body, headers=key), 422, code)
    assert await belongings(gateway_db, shop) == [[], [], [], []]


async def test_reading_models_changes_none(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    key = await a_key(gateway_db, shop, "models:read")
    for method, path, body in (
        ("POST", "/v1/llm-configs", MINE | {"name": "a"}),
        ("PUT", "/v1/llm-configs/a", MINE),
        ("DELETE", "/v1/llm-configs/a", None),
        ("POST", "/v1/llm-configs/offline/test", None),
        ("POST", "/v1/prompt-templates", {"name": "a", "body": "x"}),
        ("PUT", "/v1/prompt-templates/a", {"body": "x"}),
        ("PUT", "/v1/agent-configs/a/main", {"template_name": "a"}),
        ("PUT", "/v1/llm-budget", {}),
    ):
        answer = await http.request(method, path, json=body, headers=key)
        is_problem(answer, 403, "scope_missing")
    assert (await http.get("/v1/llm-configs", headers=key)).status_code == 200
    assert await belongings(gateway_db, shop) == [[], [], [], []]
