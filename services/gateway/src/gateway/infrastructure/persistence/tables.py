"""The gateway's own tables: who may call, what was answered, what was changed."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from shared.persistence.metadata import metadata, moment, tenant_id

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("tenant_id", UUID),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    moment("created_at", now=True),
    moment("expires_at"),
    moment("revoked_at"),
    moment("last_used_at"),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    CheckConstraint(
        "tenant_id is not null or scopes = array['platform']", name="only_operators_span_tenants"
    ),
)
"""``tenant_id`` null is an operator's key, whose only scope is ``platform``."""

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    tenant_id(),
    Column("route", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", Integer),
    Column("body", LargeBinary),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id", "route", "key"),
    Index("ix_idempotency_keys_created_at", "created_at"),
)
"""``status`` null: the first request with this key is still running."""

audit_log = Table(
    "audit_log",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("data", JSONB, nullable=False, server_default="{}"),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id", "id"),
)
"""Append-only: the runtime role may insert and read."""
