"""Start: from a fresh clone to the first answer, and what each service has to load."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx2

from bench.machine import descendants, resident_mib
from bench.platform import ROOT, python_path
from bench.report import Row, ratios, row
from bench.runner import Options
from tests.support.stack import until
from tests.support.up import Up

SERVICES = {
    "gateway": ("gateway.main",),
    "messenger": ("messenger.worker",),
    "commerce-agent": ("commerce_agent.worker",),
    "llm-worker": ("llm_worker.worker",),
}
_PACKAGES = ("shared", "gateway", "messenger", "commerce_agent", "llm_worker")
_IMPORT = """
import importlib, json, pathlib, pkgutil, sys, time
began = time.perf_counter(), time.process_time()
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    if hasattr(package, "__path__"):
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not {"migrations", "__main__"} & set(found.name.split(".")):
                importlib.import_module(found.name)
status = pathlib.Path("/proc/self/status").read_text()
print(json.dumps({
    "wall": time.perf_counter() - began[0],
    "cpu": time.process_time() - began[1],
    "mib": int(status.partition("VmRSS:")[2].split()[0]) / 1024,
    "modules": len(sys.modules),
}))
"""
"""A package is imported with everything in it, a module with what it asks for."""


class Start:
    name = "start"
    title = "Start: clone to first answer, up to ready, imports"

    async def run(self, options: Options) -> list[Row]:
        rows = _imports(options)
        rows += await _clone_to_answer(options)
        rows += _up_to_ready(options)
        options.notes[self.name] = (
            "Imports are told by CPU time, which is their time on an idle machine. `everything` is "
            "a process that imports all modules of all services. The first answer waits 2 s for "
            "further bubbles, as every answer does; the clone has no compiled Python files, and "
            "uses the installation that is there."
        )
        return rows


def _imports(options: Options) -> list[Row]:
    targets = {"everything": _PACKAGES, **SERVICES}
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
    for number in range(1 + options.rounds):  # the first warms the page cache, for nothing
        for name, modules in targets.items():
            measured = _import(modules)
            if number:
                seen[name].append(measured)
    every = seen["everything"]
    rows = []
    for name, goal_cpu, goal_mib in (
        ("gateway", 0.45, 0.65),
        ("messenger", None, None),
        ("commerce-agent", None, None),
        ("llm-worker", None, None),
    ):
        for what, goal in (("cpu", goal_cpu), ("mib", goal_mib)):
            share = ratios([each[what] for each in seen[name]], [each[what] for each in every])
            label = {"cpu": "import_time", "mib": "memory"}[what]
            rows.append(
                row(f"start.{name}.{label}_vs_everything", share, goal=goal, better="lower")
            )
    for name, each in seen.items():
        note = f"{each[-1]['modules']:.0f} modules"
        rows += [
            row(
                f"start.{name}.import_time",
                [one["cpu"] * 1000 for one in each],
                unit="ms",
                better="lower",
                note=note,
            ),
            row(f"start.{name}.memory", [one["mib"] for one in each], unit="MiB", better="lower"),
        ]
    return rows


def _import(modules: tuple[str, ...]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, *modules],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


async def _clone_to_answer(options: Options) -> list[Row]:
    clone = options.folder / "clone"
    began = time.monotonic()
    _git_clone(clone)
    cloned = time.monotonic() - began
    with Up(options.folder / "first", env=_from(clone)) as up:
        up.ready()
        await _first_answer(up.base_url)
        seconds = time.monotonic() - began
        up.stop(signal.SIGTERM)
    note = f"cloning took {cloned:.1f} s of it; 2 s are the wait for further bubbles"
    return [row("start.clone_to_first_answer", [seconds], unit="s", better="lower", note=note)]


def _git_clone(folder: Path) -> None:
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)


def _from(clone: Path) -> Mapping[str, str]:
    """Our own sources from the clone, everything else from where it is installed."""
    sources = [clone, clone / "cli" / "src", *sorted(clone.glob("services/*/src"))]
    return {"PYTHONPATH": os.pathsep.join(map(str, sources))}


async def _first_answer(base_url: str) -> None:
    """Write to the demo shop as a customer, and return when the answer is on the phone."""
    async with httpx2.AsyncClient(base_url=base_url, timeout=30, trust_env=False) as client:
        shops = (await client.get("/simulator/api/info")).json()["tenants"]
        chats = f"/simulator/api/tenants/{shops[0]['slug']}/customers"
        person = {"name": "Budi", "phone": "+6281230009999"}
        made = (await client.post(chats, json=person)).raise_for_status().json()
        chat = f"{chats}/{made['address']}/messages"
        said = (await client.post(chat, json={"text": "Halo, ada kopi?"})).raise_for_status().json()

        async def answered() -> bool:
            answer = (await client.get(f"{chat}/{said['native_id']}/answer")).raise_for_status()
            return bool(answer.json()["bubbles"])

        await until(answered, seconds=60)


def _up_to_ready(options: Options) -> list[Row]:
    cold: list[float] = []
    warm: list[float] = []
    memory: list[float] = []
    for number in range(options.rounds):
        folder = options.folder / f"up-{number}"
        for measured in (cold, warm):  # the same folder: first it is made, then it is there
            with Up(folder, "--no-demo") as up:
                up.ready()
                measured.append(time.monotonic() - up.began)
                memory.append(resident_mib(descendants(up.process.pid)))
                up.stop(signal.SIGTERM)
        options.say(f"round {number + 1}: cold {cold[-1]:.1f} s, warm {warm[-1]:.1f} s")
    return [
        row("start.up_to_ready_cold", cold, unit="s", better="lower"),
        row("start.up_to_ready_warm", warm, unit="s", better="lower"),
        row("start.up_memory", memory, unit="MiB", better="lower", note="all processes together"),
    ]
