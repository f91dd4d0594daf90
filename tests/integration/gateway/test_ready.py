"""Alive, ready, or which part is missing."""

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
