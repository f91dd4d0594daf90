"""Options that several commands share."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ai_platform.errors import CommandFailed, root_cause

T = TypeVar("T")

DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="AI_PLATFORM_DATA_DIR",
        show_default="the user's data folder",
        help="Where the data lies.",
    ),
]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; what the platform refuses becomes the sentence that is printed.

    Raises:
        CommandFailed: the platform said no, or something it needs is away.
    """
    from pydantic import ValidationError
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    from shared.kernel.errors import DomainError
    from shared.persistence.database import UnsafeRole
    from shared.security.crypto import WeakKey

    try:
        return asyncio.run(work)
    except DomainError as error:
        raise CommandFailed(error.detail) from error
    except (UnsafeRole, WeakKey) as error:
        raise CommandFailed(str(error)) from error
    except ArgumentError as error:
        raise CommandFailed(
            "DATABASE_URL or DATABASE_MIGRATION_URL is no address such as postgresql://user@host/db"
        ) from error
    except SQLAlchemyError as error:
        raise CommandFailed(f"The database refused ({root_cause(error)})") from error
    except ValidationError as error:
        raise CommandFailed(settings_problem(error)) from error


def settings_problem(error: Any) -> str:
    """Which settings are wrong, without their values."""
    problems = (
        f"{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    )
    return "Settings are wrong: " + "; ".join(problems)
