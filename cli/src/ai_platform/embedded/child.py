"""Starting servers that never outlive us."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1

# loaded before any fork: a child between fork and exec may not take the loader's locks
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    death_signal: signal.Signals,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``argv`` in a session of its own, its output appended to ``log``.

    On Linux the kernel sends it ``death_signal`` when we die, however we die. The kernel watches
    the *thread* that spawned, so call this from one that lives as long as the process.
    """
    parent = os.getpid()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            preexec_fn=lambda: _before_exec(death_signal, parent),
        )


def _before_exec(death_signal: signal.Signals, parent: int) -> None:
    os.setsid()  # a terminal's Ctrl-C reaches the supervisor alone, which stops things in order
    follow_parent(death_signal)
    if os.getppid() != parent:
        os._exit(1)  # it died before the kernel knew that we care


def follow_parent(death_signal: signal.Signals) -> None:
    """Receive ``death_signal`` when the parent dies. Only Linux can promise that."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal.value)


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
