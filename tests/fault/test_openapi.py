"""What `/openapi.json` says is what the routes do, for requests that fit it and for others.

Schemathesis makes the requests; they go to the application with a real database and a key that may
do everything. No answer is a 5xx, none has a status, a content type or a shape that the document
does not name. The quick part makes the same requests every time.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import pytest
import pytest_asyncio
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.application.services import llm_configs
from gateway.interface import openapi
from gateway.interface.routes.api import api_router
from shared.kernel.ids import new_id
from tests.fault.hostile.house import House, Tenant, a_number, open_house
from tests.integration.gateway.conftest import a_key
from tests.support import rows
from tests.support.postgres import PostgresForTests

STREAMS = (
    "/simulator/api/tenants/{tenant}/customers/{address}/events",
    "/v1/jobs/{job_id}/events",
)
"""Last for minutes; tests/integration/gateway/test_serve.py and test_job_events.py listen."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_QUIET = list(HealthCheck)
QUICK = settings(
    max_examples=5, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
    suppress_health_check=_QUIET,
)  # fmt: skip
WHOLE = settings(
    max_examples=150, database=None, deadline=None, print_blob=True, suppress_health_check=_QUIET
)


def _document() -> dict[str, Any]:
    """The document alone, without a server; that it is the server's is a test of its own."""
    api = FastAPI(title="AI Platform", version="0.1.0")
    openapi.install(api)
    api.include_router(api_router())
    document: dict[str, Any] = api.openapi()
    return document


DOCUMENT = _document()
OPERATIONS = [
    (method.upper(), path)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if path not in STREAMS
]


def can_be_asked_wrongly(method: str, path: str) -> bool:
    """Not what asks for nothing, or for nothing but any text in its path."""
    operation = DOCUMENT["paths"][path][method.lower()]
    return "requestBody" in operation or any(
        parameter["in"] != "path" or parameter["schema"].keys() > {"type", "title"}
        for parameter in operation.get("parameters", ())
    )


@dataclass(frozen=True)
class World:
    """A shop in which everything that a path can name is there."""

    house: House
    tenant: Tenant
    schema: Any
    operator: Mapping[str, str]
    known: Mapping[str, str]
    """One of each thing that a path may name, by the name of its parameter."""

    def headers(self, path: str) -> Mapping[str, str]:
        return self.operator if path == "/v1/crm/tenants" else self.tenant.key

    async def send(self, case: Any) -> httpx2.Response:
        """Send a made-up request as it is."""
        sent = case.as_transport_kwargs(
            base_url="http://localhost:8000", headers=dict(self.headers(case.operation.path))
        )
        sent.pop("cookies", None)
        content = sent.pop("data", None)
        request = self.house.path.http.build_request(content=content, **sent)
        return await self.house.path.http.send(request)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(postgres: PostgresForTests) -> AsyncIterator[World]:
    async with open_house(postgres) as house:
        tenant = house.tenant = await house.move_in()
        served = (await house.path.http.get("/openapi.json")).json()
        known = await everything(house)
        with pytest.MonkeyPatch.context() as patch:
            # nobody is there who could try a model out
            patch.setattr(llm_configs, "PROBE_PATIENCE", timedelta(seconds=0.05))
            yield World(
                house=house,
                tenant=tenant,
                schema=schemathesis.openapi.from_dict(copy.deepcopy(served)),
                operator=await a_key(house.db, None),
                known=known,
            )


async def everything(house: House) -> Mapping[str, str]:
    tenant, number = house.tenant, a_number()
    await house.deliver(tenant.hooks.message("halo", chat=number))
    await house.settle()
    http, key = house.path.http, tenant.key
    product = (await http.get(tenant.products, headers=key)).json()["data"][0]
    (conversation,) = (await http.get(f"{tenant.base}/conversations", headers=key)).json()["data"]
    thread = f"{tenant.base}/conversations/{conversation['id']}/messages"
    (answer, _) = (await http.get(thread, headers=key)).json()["data"]
    said = await http.post(tenant.simulator, json={"image": {"data": PIXEL}})
    letter = new_id()
    await rows.insert(
        house.db,
        "dead_letters",
        {
            "id": letter, "tenant_id": tenant.id, "queue": "crm_tasks", "kind": "inbox.waha",
            "key": str(new_id()), "payload": {}, "attempts": 3, "code": "unknown",
        },
    )  # fmt: skip
    batch = await http.post(
        "/v1/jobs/batch", json={"jobs": [{"prompt": "halo", "config_name": "offline"}]}, headers=key
    )
    job, delivery = batch.json()["job_ids"][0], new_id()
    await rows.insert(
        house.db,
        "webhook_deliveries",
        {
            "id": delivery, "tenant_id": tenant.id, "job_id": job, "type": "job.completed",
            "url": "https://receiver.example",
        },
    )  # fmt: skip
    for path, body in (
        ("llm-configs/kasir", {"provider": "offline", "model": "offline-demo"}),
        ("prompt-templates/kasir", {"body": "Sapa {{ nama? }}"}),
        ("agent-configs/kasir/main", {"template_name": "kasir"}),
    ):
        assert (await http.put(f"/v1/{path}", json=body, headers=key)).status_code == 200
    return {
        "job_id": job,
        "delivery_id": str(delivery),
        "batch_id": batch.json()["batch_id"],
        "name": "kasir",
        "type": "main",
        "tenant_id": tenant.slug,
        "tenant": tenant.slug,
        "product_id": product["id"],
        "variant_id": product["variants"][0]["id"],
        "customer_id": conversation["customer_id"],
        "conversation_id": conversation["id"],
        "message_id": answer["id"],
        "channel_id": str(tenant.shop.channel),
        "dead_letter_id": str(letter),
        "address": tenant.phone,
        "native_id": said.json()["native_id"],
    }


PIXEL = "R0lGODlhAQABAAAAACH5BAEAAAAALAAAAAABAAEAAAIBTAA7"


def cases(world: World, method: str, path: str) -> st.SearchStrategy[Any]:
    """Requests of this operation, some wrong; most name things that are there."""
    modes = [GenerationMode.POSITIVE]
    if can_be_asked_wrongly(method, path):
        modes.append(GenerationMode.NEGATIVE)
    operation = world.schema[path][method]
    made_up = st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])

    @st.composite
    def case(draw: st.DrawFn) -> Any:
        made = draw(made_up)
        if draw(st.integers(0, 4)):
            for name in made.path_parameters or {}:
                made.path_parameters[name] = world.known[name]
        if isinstance((made.query or {}).get("wait"), int):
            made.query["wait"] = min(made.query["wait"], 1)  # nobody ends the jobs
        return made

    return case()


async def conforms(world: World, case: Any) -> None:
    answer = await world.send(case)
    case.validate_response(answer, checks=CHECKS)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


async def _explore(world: World, method: str, path: str, how: settings) -> None:
    """Send what the strategy makes, each request in this loop."""
    loop = asyncio.get_running_loop()

    @how
    @given(case=cases(world, method, path))
    def explore(case: Any) -> None:
        asyncio.run_coroutine_threadsafe(conforms(world, case), loop).result()

    await asyncio.to_thread(explore)


of_every_operation = pytest.mark.parametrize(
    ("method", "path"), OPERATIONS, ids=[f"{method} {path}" for method, path in OPERATIONS]
)


@of_every_operation
async def test_an_operation_answers_as_it_is_documented(
    world: World, method: str, path: str
) -> None:
    await _explore(world, method, path, QUICK)


@pytest.mark.whole
@of_every_operation
async def test_an_operation_answers_many_requests_as_it_is_documented(
    world: World, method: str, path: str
) -> None:
    await _explore(world, method, path, WHOLE)


async def test_the_document_is_the_one_that_is_served(world: World) -> None:
    served = (await world.house.path.http.get("/openapi.json")).json()
    assert served["paths"] == DOCUMENT["paths"]
    assert served["components"] == DOCUMENT["components"]
