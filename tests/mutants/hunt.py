"""Plant one mutant after the other and see which test catches it."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ai_platform.embedded.postgres import SUPERUSER
from tests.mutants.mutant import Mutant
from tests.mutants.scratch import ROOT, Run, Stale, copy, plant, run
from tests.support.postgres import PostgresForTests


class Verdict(StrEnum):
    """What became of a mutant; all but the first fail the run."""

    CAUGHT = "caught"
    SURVIVED = "survived"
    OTHERWISE = "failed otherwise"
    """Its test failed, but not by the assertion that was named."""
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Result:
    mutant: Mutant
    verdict: Verdict
    seconds: float
    detail: str = ""


class NotClean(Exception):
    """The tests fail before anything is planted."""


@asynccontextmanager
async def a_server() -> AsyncIterator[str]:
    """The address of one PostgreSQL for all copies; every run makes databases of its own on it."""
    async with PostgresForTests() as server:
        if server.server is None:
            yield str(server.template.admin_url)
        else:
            yield server.server.url(SUPERUSER, "postgres")


async def hunt(
    mutants: Sequence[Mutant], *, at_once: int, tell: Callable[[str], None]
) -> list[Result]:
    """Run the tests unmodified, then with each mutant planted in a copy of its own.

    Raises:
        NotClean: a named test fails, is skipped or is not there without any mutant.
    """
    with tempfile.TemporaryDirectory(prefix="aip-mutants-") as folder:
        base = copy(ROOT, Path(folder) / "unmodified")
        async with a_server() as database:
            tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
            tell(f"{len(tests)} tests without any mutant")
            clean = await run(base, tests, database=database, workers=at_once)
            if clean.failures or clean.trouble or clean.passed < len(tests):
                raise NotClean(_why(clean))
            places = asyncio.Semaphore(at_once)

            async def one(number: int, mutant: Mutant) -> Result:
                async with places:
                    result = await _plant_and_run(
                        mutant, base, Path(folder) / str(number), database
                    )
                tell(f"{result.verdict.value:>16}  {mutant.name}  {result.seconds:.0f} s")
                return result

            return await asyncio.gather(*(one(n, each) for n, each in enumerate(mutants)))


async def _plant_and_run(mutant: Mutant, base: Path, tree: Path, database: str) -> Result:
    began = time.monotonic()
    await asyncio.to_thread(copy, base, tree)
    try:
        plant(mutant, tree)
    except Stale as error:
        return Result(mutant, Verdict.STALE, 0.0, str(error))
    ended = await run(tree, mutant.tests, database=database)
    shutil.rmtree(tree)
    verdict = _judge(mutant, ended)
    detail = "" if verdict is Verdict.CAUGHT else _why(ended)
    return Result(mutant, verdict, time.monotonic() - began, detail)


def _judge(mutant: Mutant, ended: Run) -> Verdict:
    if any(failure.is_assertion(mutant.says) for failure in ended.failures):
        return Verdict.CAUGHT
    if ended.failures or ended.trouble:
        return Verdict.OTHERWISE
    return Verdict.SURVIVED


def _why(ended: Run) -> str:
    said = [f"{failure.raised} | {failure.lines[-600:]}" for failure in ended.failures]
    return "\n".join([*([ended.trouble] if ended.trouble else []), *said]) or "all tests passed"
