"""A pytest plugin: what is imported must be the scratch copy's, or no mutant would ever be seen."""

import importlib.util
from pathlib import Path

import pytest

PACKAGES = ("shared", "commerce_agent", "gateway", "llm_worker", "messenger", "ai_platform")


def pytest_configure(config: pytest.Config) -> None:
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        assert found is not None, name
        assert found.origin is not None, name
        if not Path(found.origin).resolve().is_relative_to(config.rootpath.resolve()):
            raise pytest.UsageError(f"{name} comes from {found.origin}, not from the scratch copy")
