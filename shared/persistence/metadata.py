"""The one MetaData that every context declares its tables on, and the columns they share."""

from typing import Any

from sqlalchemy import Column, DateTime, MetaData, text
from sqlalchemy.dialects.postgresql import UUID

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

NOW = text("platform_now()")
"""The database's clock, by which every due time, lease and expiry is judged."""


def tenant_id(**options: Any) -> Column[Any]:
    """The column that leads every key and that row-level security compares."""
    return Column("tenant_id", UUID, nullable=False, **options)


def moment(name: str, *, required: bool = False, now: bool = False) -> Column[Any]:
    """A ``timestamptz`` column; ``now`` gives it the database's clock as default."""
    return Column(
        name,
        DateTime(timezone=True),
        nullable=not (required or now),
        server_default=NOW if now else None,
    )
