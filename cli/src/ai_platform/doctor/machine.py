"""Checks of this machine: interpreter, tools, data directory, port, embedded servers."""

import os
import platform
import shutil
import sys

from ai_platform.doctor.report import Finding, failed, note, ok
from ai_platform.embedded.binaries import major_version, wheel_bin_dir
from ai_platform.embedded.data_dir import DataDir
from ai_platform.embedded.options import free_port
from ai_platform.embedded.unprivileged import namespaces_work
from ai_platform.errors import CommandFailed

OLDEST_PYTHON = (3, 11)


def check_python() -> Finding:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return failed("Python", f"{version} is too old: install Python 3.11 or newer")
    return ok("Python", version)


def check_uv() -> Finding:
    found = shutil.which("uv")
    if found is None:
        return note("uv", "not installed; `make` uses a private copy in .tools/")
    return ok("uv", found)


def check_data_dir(data_dir: DataDir) -> Finding:
    try:
        data_dir.make()
    except CommandFailed as error:
        return failed("Data directory", str(error))
    return ok("Data directory", str(data_dir.path))


def check_port(data_dir: DataDir, host: str, port: int) -> Finding:
    server = data_dir.running()
    if server is not None:
        return ok("Port", f"the platform answers on {server.base_url}")
    try:
        return ok("Port", f"{free_port(host, port)} is free")
    except CommandFailed as error:
        return failed("Port", str(error))


def check_embedded_postgres() -> Finding:
    if sys.platform == "win32":
        return failed("Embedded PostgreSQL", "does not run on Windows yet: set DATABASE_URL")
    try:
        version = major_version(wheel_bin_dir())
    except CommandFailed as error:
        return failed("Embedded PostgreSQL", str(error))
    if os.geteuid() == 0 and not namespaces_work():
        return note(
            "Embedded PostgreSQL",
            f"{version}; root may not make user namespaces here, so it runs as the user nobody",
        )
    return ok("Embedded PostgreSQL", str(version))
