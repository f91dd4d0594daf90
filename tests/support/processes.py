"""Looking at the machine's processes, as Linux shows them."""

import os
import time
from pathlib import Path


def commands(marker: str) -> dict[int, str]:
    """The running processes whose command line or environment names ``marker``."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            command = (folder / "cmdline").read_bytes()
            told = command + (folder / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if command and marker.encode() in told:  # a zombie has no command line any more
            found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def wait_until_gone(*markers: str, patience: float) -> dict[int, str]:
    """What is still there after ``patience`` seconds; nothing as soon as all are gone."""
    deadline = time.monotonic() + patience
    while True:
        left = {pid: told for marker in markers for pid, told in commands(marker).items()}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)
