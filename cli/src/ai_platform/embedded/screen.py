"""What ``ai-platform up`` tells the person who started it."""

import os
import shutil
import sys
from datetime import timedelta

from rich.console import Console
from rich.markup import escape

from ai_platform.embedded.credentials import DemoCredentials
from ai_platform.embedded.options import UpOptions


class Screen:
    """Plain lines; pictures of progress would hide what children say.

    A terminal that is closed and a pipe that nobody reads end the talking, not the platform.
    """

    def __init__(self) -> None:
        self._console = Console()
        self._is_read = True

    def note(self, line: str) -> None:
        """Something the person should know."""
        self._line(f"[bold]·[/bold] {escape(line)}")

    def log(self, line: str) -> None:
        """A line of a child's log."""
        self._line(f"[dim]{escape(line)}[/dim]")

    def ready(self, options: UpOptions, *, took: timedelta, demo: DemoCredentials | None) -> None:
        """Everything answers: say where, and how to enter."""
        self._line("")
        self._line(f"[bold green]AI Platform is ready[/] after {took.total_seconds():.1f} s")
        self._rows(_addresses(options))
        if demo is not None:
            self._rows(_demo(options, demo))
            self._line("Answers come from the [bold]offline demo model[/], not from a real one.")
        if demo is None or demo.api_key is None:
            self._line(escape(_without_login(options)))
        self._line("Stop with Ctrl-C.")

    def _rows(self, rows: dict[str, str]) -> None:
        for name, value in rows.items():
            self._line(f"  {name:10} {escape(value)}")

    def _line(self, text: str) -> None:
        if not self._is_read:
            return
        try:
            # programs read pipes: nothing may be wrapped, coloured or held back
            self._console.print(text, soft_wrap=True, highlight=False)
        except (OSError, SystemExit):  # rich leaves the program when a pipe breaks
            self._is_read = False


def _addresses(options: UpOptions) -> dict[str, str]:
    return {
        "Console": f"{options.base_url}/console",
        "Simulator": f"{options.base_url}/simulator",
        "API docs": f"{options.base_url}/docs",
        "Data": str(options.data_dir.path),
    }


def _demo(options: UpOptions, demo: DemoCredentials) -> dict[str, str]:
    rows = {"Demo shop": demo.tenant_slug}
    if demo.api_key is not None:
        rows["API key"] = demo.api_key
        rows["Chat here"] = f"{_own_command()} chat --url {options.base_url}"
    return rows


def _without_login(options: UpOptions) -> str:
    create = (
        f"{_own_command()} keys create --tenant SLUG --name NAME --data-dir {options.data_dir.path}"
    )
    if options.demo and not options.is_private:
        return (
            f"Others can reach {options.host}, so there is no demo login; make a key with: {create}"
        )
    return f"Make an API key with: {create}"


def _own_command() -> str:
    """How this person calls us: `make run` starts what is not on their path."""
    return "ai-platform" if shutil.which("ai-platform") else os.path.relpath(sys.argv[0])
