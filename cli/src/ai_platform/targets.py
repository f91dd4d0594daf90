"""Which installation a command works on: the environment's, or the one that ``up`` runs here."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from ai_platform.embedded import credentials as stored
from ai_platform.embedded.data_dir import DataDir, RunningServer, default_data_dir
from ai_platform.errors import CommandFailed
from shared.config.settings import DatabaseSettings
from shared.persistence.database import Database, open_database
from shared.security.crypto import KeyRing


@dataclass(frozen=True, kw_only=True)
class Target:
    """A database and the keys that belong to it."""

    data_dir: DataDir
    database_url: str
    migration_url: str | None
    master_key: str | None
    pepper: str | None
    demo_login: bool
    """Whether the demo shop may have an API key here."""

    def key_ring(self) -> KeyRing:
        """Raises `CommandFailed` when MASTER_KEY is not known."""
        return KeyRing(_required(self.master_key, "MASTER_KEY"))

    def api_key_pepper(self) -> SecretStr:
        """Raises `CommandFailed` when API_KEY_PEPPER is not known."""
        return _required(self.pepper, "API_KEY_PEPPER")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Database]:
        """The database as the runtime role."""
        settings = DatabaseSettings(database_url=SecretStr(self.database_url))
        async with open_database(settings) as database:
            yield database


def data_dir_at(path: Path | None) -> DataDir:
    """The data directory that was named, or the usual one."""
    return DataDir((path or default_data_dir()).expanduser().absolute())


def running_server(data_dir: DataDir) -> RunningServer:
    """The server that runs on the data directory.

    Raises:
        CommandFailed: none does.
    """
    server = data_dir.running()
    if server is None:
        raise CommandFailed(
            f"No server is ready on {data_dir.path}; start it with: ai-platform up "
            f"--data-dir {data_dir.path}"
        )
    return server


def base_url(data_dir: DataDir) -> str:
    """How to reach the server: the one that runs on the data directory, else the environment's.

    Raises:
        CommandFailed: nothing runs here and the environment names no platform.
    """
    if os.environ.get("DATABASE_URL") and data_dir.running() is None:
        port = os.environ.get("HTTP_PORT") or "8000"
        return os.environ.get("PUBLIC_BASE_URL") or f"http://127.0.0.1:{port}"
    return running_server(data_dir).base_url


def find_target(path: Path | None) -> Target:
    """The installation that DATABASE_URL names, else the one that runs on the data directory.

    Raises:
        CommandFailed: neither is there.
    """
    data_dir = data_dir_at(path)
    known = stored.load(data_dir)
    url, migration_url = os.environ.get("DATABASE_URL"), os.environ.get("DATABASE_MIGRATION_URL")
    demo_login = True
    if not url:
        server = running_server(data_dir)
        demo_login = server.demo_login
        if server.database_url is None:
            raise CommandFailed(
                "The running server uses a database of its operator: set DATABASE_URL as it has"
            )
        url, migration_url = server.database_url, server.database_migration_url
    return Target(
        data_dir=data_dir,
        database_url=url,
        migration_url=migration_url or None,
        master_key=os.environ.get("MASTER_KEY") or (known.master_key if known else None),
        pepper=os.environ.get("API_KEY_PEPPER") or (known.api_key_pepper if known else None),
        demo_login=demo_login,
    )


def _required(value: str | None, name: str) -> SecretStr:
    if not value:
        raise CommandFailed(f"{name} is not set: it is 32 random bytes in base64")
    return SecretStr(value)
