"""The machine that measures, and what processes cost it."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.postgres import installed_bin_dir
from tests.support.rabbitmq import installed_broker

_TICKS = os.sysconf("SC_CLK_TCK")


def facts() -> dict[str, Any]:
    """What a reader needs to judge the figures; the load average is that of the start."""
    return {
        "cores": os.cpu_count(),
        "cpu": _first(r"model name\s*:\s*(.+)", "/proc/cpuinfo"),
        "memory_mib": int(_first(r"MemTotal:\s*(\d+)", "/proc/meminfo") or 0) // 1024,
        "python": platform.python_version(),
        "postgresql": _postgresql(),
        "rabbitmq": _rabbitmq(),
        "wrk": shutil.which("wrk") is not None,
        "load_average_at_start": [round(each, 2) for each in os.getloadavg()],
    }


def _first(pattern: str, path: str) -> str:
    found = re.search(pattern, Path(path).read_text())
    return found[1].strip() if found else ""


def _postgresql() -> str:
    folder = installed_bin_dir()
    if folder is None:
        return "from the wheel"
    answer = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    return answer.stdout.split()[-1 if "(" not in answer.stdout else 2]


def _rabbitmq() -> str | None:
    """Read from where it is installed: asking the program would start an Erlang machine."""
    binary = installed_broker()
    if binary is None:
        return None
    folders = [
        *binary.resolve().parents[1].glob("lib/rabbitmq_server-*"),
        *Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"),
        *binary.resolve().parents[:3],
    ]
    names = [found[1] for each in folders if (found := re.search(r"server-([\d.]+)", each.name))]
    return names[0] if names else "unknown"


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU that these processes and all their children, living and ended, have used so far.

    Of a living tree each process is read; those that ended are in their parent's account.
    """
    return sum(_ticks(pid) for pid in descendants(*pids)) / _TICKS


def descendants(*pids: int) -> list[int]:
    """These processes and all their living children."""
    children = _children()
    found = []
    todo = list(pids)
    while todo:
        pid = todo.pop()
        todo.extend(children.get(pid, ()))
        found.append(pid)
    return found


def resident_mib(pids: Iterable[int]) -> float:
    """Memory of these processes alone: the sum of their proportional shares."""
    total = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
        total += int(found[1]) if found else 0
    return total / 1024


def resident_kib(pid: int) -> float:
    """All memory that the process holds, shared pages too."""
    found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            found.setdefault(int(stat[1]), []).append(int(entry.name))
    return found


def _ticks(pid: int) -> int:
    """User and system time, its own and that of children it has waited for."""
    stat = _stat(pid)
    return sum(int(each) for each in stat[11:15]) if stat else 0


def _stat(pid: int) -> list[str]:
    """The fields after the name, from the state on; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


class CpuMeter:
    """CPU seconds that named groups of processes use between `start` and `read`."""

    def __init__(self, **groups: Iterable[int]) -> None:
        self._groups = {name: tuple(pids) for name, pids in groups.items()}
        self.start()

    def start(self) -> None:
        self._before = {name: cpu_seconds(pids) for name, pids in self._groups.items()}

    def read(self) -> dict[str, float]:
        return {name: cpu_seconds(pids) - self._before[name] for name, pids in self._groups.items()}
