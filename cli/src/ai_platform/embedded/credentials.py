"""The secrets of one installation, made on its first start and readable by its user alone."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, TypeVar

from ai_platform.embedded.data_dir import DataDir, write_private
from ai_platform.errors import CommandFailed
from shared.security.crypto import new_secret_key

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The keys that open the installation's data; 32 random bytes in base64 each."""

    master_key: str
    api_key_pepper: str

    @classmethod
    def generate(cls) -> Self:
        return cls(master_key=new_secret_key(), api_key_pepper=new_secret_key())


@dataclass(frozen=True, kw_only=True)
class DemoCredentials:
    """How a person or a script enters the demo shop."""

    tenant_id: str
    tenant_slug: str
    channel_id: str
    webhook_secret: str
    api_key: str | None = None
    """``None`` while there is none: a server that others can reach has no demo login."""
    catalogue: str = ""
    """Fingerprint of the demo data that was loaded last."""


def load(data_dir: DataDir) -> Credentials | None:
    """The installation's keys; ``None`` when it has none.

    Raises:
        CommandFailed: the file is there and cannot be understood.
    """
    return _read(data_dir.credentials, Credentials)


def load_or_generate(data_dir: DataDir) -> Credentials:
    """The installation's keys, made now if this is its first start.

    Raises:
        CommandFailed: there is data, but the keys that open it are gone.
    """
    known = load(data_dir)
    if known is not None:
        data_dir.credentials.chmod(0o600)
        return known
    if data_dir.cluster.joinpath("PG_VERSION").exists():
        raise CommandFailed(
            f"{data_dir.credentials} is gone, and with it the keys that open the data in "
            f"{data_dir.path}: restore it from a backup, or choose another --data-dir"
        )
    made = Credentials.generate()
    _write(data_dir.credentials, made)
    return made


def load_demo(data_dir: DataDir) -> DemoCredentials | None:
    """How to enter the demo shop; ``None`` while there is none.

    Raises:
        CommandFailed: the file is there and cannot be understood.
    """
    return _read(data_dir.demo, DemoCredentials)


def save_demo(data_dir: DataDir, demo: DemoCredentials) -> None:
    """Keep how to enter the demo shop."""
    _write(data_dir.demo, demo)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return kind(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise CommandFailed(
            f"{path} cannot be read: restore it from a backup, or choose another --data-dir"
        ) from error


def _write(path: Path, what: Credentials | DemoCredentials) -> None:
    write_private(path, json.dumps(asdict(what), indent=2) + "\n")
