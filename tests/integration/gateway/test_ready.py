"""Alive, ready, or which part is missing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from os import utime
from pathlib import Path
from time import time

import httpx2

from shared.config.settings import ObservabilitySettings
from tests.integration.gateway.conftest import is_problem, running, settings_for
from tests.support.postgres import TestDatabase


def beat(folder: Path, service: str, *, ago: timedelta = timedelta(0)) -> None:
    path = folder / f"{service}.heartbeat"
    path.touch()
    moment = time() - ago.total_seconds()
    utime(path, (moment, moment))


async def test_ready_names_the_service_that_is_missing(
    gateway_db: TestDatabase, tmp_path: Path
) -> None:
    observability = ObservabilitySettings(
        run_dir=tmp_path, ready_services=("commerce-agent", "messenger")
    )
    settings = settings_for(gateway_db).model_copy(update={"observability": observability})
    async with running(settings) as http:
        beat(tmp_path, "messenger")
        problem = is_problem(await http.get("/ready"), 503, "not_ready")
        assert problem["detail"] == "waiting for commerce-agent"
        assert problem["checks"] == {
            "database": "ok",
            "cache": "ok",
            "commerce-agent": "missing",
            "messenger": "ok",
        }

        beat(tmp_path, "commerce-agent", ago=timedelta(seconds=20))
        is_problem(await http.get("/ready"), 503, "not_ready")

        beat(tmp_path, "commerce-agent", ago=timedelta(seconds=10))
        answer = await http.get("/ready")
        assert answer.status_code == 200
        assert answer.json()["status"] == "ready"


async def test_nothing_is_awaited_that_was_not_asked_for(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/ready")
    assert answer.json() == {"status": "ready", "checks": {"database": "ok", "cache": "ok"}}
    assert (await http.get("/health")).json() == {"status": "ok"}


async def test_metrics_are_those_of_every_process_beside_the_gateway(
    gateway_db: TestDatabase, tmp_path: Path
) -> None:
    observability = ObservabilitySettings(run_dir=tmp_path)
    settings = settings_for(gateway_db).model_copy(update={"observability": observability})
    worker = b"# HELP turns_total Turns\n# TYPE turns_total counter\nturns_total 7.0\n"
    async with running(settings) as http, answering(tmp_path / "worker.metrics.sock", worker):
        answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    assert 'turns_total{process="worker"} 7.0' in lines
    assert [line for line in lines if line.startswith("process_cpu_seconds_total{")] == [
        line for line in lines if line.startswith('process_cpu_seconds_total{process="gateway"} ')
    ]


@asynccontextmanager
async def answering(path: Path, body: bytes) -> AsyncIterator[None]:
    """Another process's metrics."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(answer, path)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()
