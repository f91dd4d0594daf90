"""Starting servers that never outlive us."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def spawn(
    argv: Sequence[str], *, log: Path, death_signal: signal.Signals
) -> subprocess.Popen[bytes]:
    """Start ``argv`` in a session of its own, its output appended to ``log``.

    On Linux the kernel sends it ``death_signal`` when we die, however we die. The kernel watches
    the *thread* that spawned, so call this from one that lives as long as the process.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: _before_exec(death_signal),
        )


def _before_exec(death_signal: signal.Signals) -> None:
    os.setsid()  # a terminal's Ctrl-C reaches the supervisor alone, which stops things in order
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal.value)


def stop(child: subprocess.Popen[bytes], signum: signal.Signals, *, patience: float) -> None:
    """Ask the child to end; after ``patience`` seconds end it."""
    if child.poll() is not None:
        return
    child.send_signal(signum)
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
