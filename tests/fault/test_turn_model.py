"""The SPIN model of a message's way (docs/models) holds with its rules, and breaks without each.

Where spin or gcc is missing, nothing of this module is collected. Each case is a model checker of
its own, built and run in a folder of the test.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

__test__ = all(map(shutil.which, ("spin", "gcc")))

pytestmark = pytest.mark.whole

MODEL = Path(__file__).parents[2] / "docs" / "models" / "turn.pml"

TURN = ("SEND=0",)
CALM = ("CRASHES=0", "STALLS=0")
ALONE = ("WORKERS=1", "STAFF=0", "REVOKE=0")

EVERYTHING_ENDED = "!(q_ex)"
EVERY_BUBBLE_ENDED = "((s[k].st>=4)&&!(s[k].row))"
NOTHING_DUE_DELETED = "((((stored&~(answered))&~(revoked))==0)||(owner!=0))"
NOTHING_UNANSWERED = "((owner!=0)||((((stored&~(revoked))&~(staffans))&~(covered))==0))"
EFFECT_ONCE = "!(eff)"
CALLS_IN_ORDER = "(s[j].calls==0)"


@dataclass(frozen=True)
class Case:
    """A run of the checker; ``breaks`` is the promise that it finds broken, ``None``: none."""

    name: str
    options: tuple[str, ...]
    breaks: str | None = None
    livelock: bool = False

    def __str__(self) -> str:
        return self.name


HOLDS = (
    Case("turn", (*TURN, "CHECK_EFFOWNER=1")),
    Case("turn, three messages", (*TURN, *CALM, "NM=3")),
    Case("turn, hints", (*TURN, "HINTS=1", "FIX_REPOST=0", "CRASHES=0")),
    Case("turn, hints lost", (*TURN, *CALM, "HINTS=1", "HINTFAULTS=1")),
    Case("sending", CALM),
    Case("sending, a messenger dies", ALONE),
    Case("sending, dead letters", (*ALONE, "ATTEMPTS=2", "CRASHES=2")),
    Case("notices", (*ALONE, "KIND=1")),
    Case("notices, lies", (*CALM, "ATTEMPTS=2", "KIND=1", "LIES=2")),
    Case("notices, echoes", (*ALONE, "KIND=1", "ECHO=1", "LIES=2", "CRASHES=0")),
    Case("turn goes on", (*TURN, *CALM), livelock=True),
    Case("turn goes on after deaths", (*TURN, "STALLS=0", "STAFF=0"), livelock=True),
    Case("sending goes on", (*CALM, "REVOKE=0", "STAFF=0"), livelock=True),
)
"""With every rule."""

RULES = (
    Case("RETURN", TURN, NOTHING_DUE_DELETED),
    Case("CANCEL", CALM, NOTHING_UNANSWERED),
    Case("JOURNAL", TURN, EFFECT_ONCE),
    Case("ROWID", TURN, NOTHING_DUE_DELETED),
    Case("LOCK", CALM, "((s[i].cov&~(revoked))!=0)"),
    Case("DISC", (*TURN, "NM=3"), "(t_disc<=1)"),
    Case("CLAIMNO", (*ALONE, "KIND=1"), EVERY_BUBBLE_ENDED),
    Case("CLAIMNO", (*ALONE, "KIND=1", "FIX_STATEONLY=1"), CALLS_IN_ORDER),
    Case("LATE", ALONE, CALLS_IN_ORDER),
    Case("SENDING", ALONE, EVERY_BUBBLE_ENDED),
    Case("EFFOWNER", (*TURN, "CHECK_EFFOWNER=1"), "(owner==0)"),
    Case("REPOST", (*TURN, "HINTS=1", "HINTFAULTS=1"), EVERYTHING_ENDED),
    Case("ECHO", (*ALONE, "KIND=1", "ECHO=1", "LIES=2", "CRASHES=0"), CALLS_IN_ORDER),
    Case("PUB", (*TURN, "HINTS=1", "FIX_REPOST=0", "CRASHES=0"), EVERYTHING_ENDED),
    Case("PICK", (*CALM, "REVOKE=0", "STAFF=0"), "non-progress cycle", livelock=True),
    Case("ATT", (*CALM, "ATTEMPTS=2", "KIND=1", "LIES=2"), "((crashes+stalls)>=2)"),
    Case("DEAD", (*ALONE, "ATTEMPTS=2", "CRASHES=2"), EVERY_BUBBLE_ENDED),
)
"""Without one of them. REVOKE is not among them: there both readings are safe."""

BUGS = (
    Case("NOGEN", TURN, NOTHING_DUE_DELETED),
    Case("NOFENCE", TURN, "((s[j].st==6)||!((s[j].cov&rd)))"),
    Case("OWNERATCOMMIT", CALM, "((owner==0)&&(oepoch==s[i].oep))"),
    Case("EARLYDELETE", TURN, NOTHING_UNANSWERED),
    Case("NOKEY", TURN, EFFECT_ONCE),
    Case("BLINDRESEND", CALM, "((s[i].calls==0)||((0&&s[i].resent)&&(s[i].calls==1)))"),
    Case("LEASEFOREVER", TURN, "non-progress cycle", livelock=True),
)


def check(folder: Path, case: Case, *more: str) -> str:
    """Build and run a checker of the model; what it printed."""
    shutil.copy(MODEL, folder)
    defines = [f"-D{option}" for option in (*case.options, *more)]
    what = ["-DNP", "-DNFAIR=6"] if case.livelock else ["-DSAFETY"]
    for command in (
        ["spin", "-a", *defines, MODEL.name],
        ["gcc", "-O1", *what, "-DCOLLAPSE", "-DVECTORSZ=2048", "-o", "pan", "pan.c"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    search = ["-l", "-f"] if case.livelock else []
    told = subprocess.run(
        ["./pan", *search, "-m2000000", "-w24"],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    (folder / "pan").unlink()
    return told.stdout


def broken(report: str) -> str | None:
    """The promise that was found broken, without spaces; ``None``: the whole space was searched."""
    assert "max search depth too small" not in report
    assert "out of memory" not in report
    found = re.search(r"pan:1: (?:assertion violated )?(.*) \(at depth", report)
    if found is None:
        assert "errors: 0" in report
        return None
    text = found[1]
    return text if "cycle" in text else text.replace(" ", "")


@pytest.mark.parametrize("case", HOLDS, ids=str)
def test_with_every_rule_every_promise_holds(tmp_path: Path, case: Case) -> None:
    assert broken(check(tmp_path, case)) is None


@pytest.mark.parametrize("case", RULES, ids=str)
def test_without_a_rule_a_promise_breaks(tmp_path: Path, case: Case) -> None:
    assert broken(check(tmp_path, case, f"FIX_{case.name}=0")) == case.breaks


@pytest.mark.parametrize("case", BUGS, ids=str)
def test_a_planted_fault_is_found(tmp_path: Path, case: Case) -> None:
    assert broken(check(tmp_path, case, f"BUG_{case.name}=1")) == case.breaks


def test_both_readings_of_revoke_are_safe(tmp_path: Path) -> None:
    """An answer may be void when one of its messages is deleted, or only when all are."""
    assert broken(check(tmp_path, Case("REVOKE", CALM), "FIX_REVOKE=0")) is None
