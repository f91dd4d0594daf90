"""The worker process of the embedded profile."""

from functools import partial
from typing import Any

import pytest

import ai_platform.embedded.worker as embedded
import commerce_agent.worker
import llm_worker.worker


def test_both_services_share_their_circuit_breakers(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(embedded, "run_services", lambda name, services: told.update(services))
    embedded.main()

    conversations, jobs = told["commerce-agent"], told["llm-worker"]
    assert isinstance(conversations, partial)
    assert isinstance(jobs, partial)
    assert conversations.func is commerce_agent.worker.serve
    assert jobs.func is llm_worker.worker.serve
    assert conversations.keywords["circuits"] is jobs.keywords["circuits"]
