"""One command per service: each runs as this process, with the settings of the environment."""

import importlib
from collections.abc import Callable

import typer

_SERVICES = {
    "gateway": ("gateway.main", "All HTTP: webhooks, REST, simulator."),
    "llm-worker": ("llm_worker.worker", "Works on LLM jobs."),
    "commerce-agent": ("commerce_agent.worker", "Answers conversations."),
    "messenger": ("messenger.worker", "Sends messages."),
}


def register(cli: typer.Typer) -> None:
    for name, (module, help_text) in _SERVICES.items():
        cli.command(name, help=f"{help_text} Configured by the environment.")(_runner(module))


def _runner(module: str) -> Callable[[], None]:
    def run() -> None:
        importlib.import_module(module).main()

    return run
