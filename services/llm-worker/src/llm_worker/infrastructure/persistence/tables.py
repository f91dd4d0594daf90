"""The LLM context's tables."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import UUID

from shared.persistence.metadata import metadata, moment

llm_configs = Table(
    "llm_configs",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("tenant_id", UUID),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("base_url", Text),
    Column("api_key_env", Text),
    Column("api_key_ciphertext", LargeBinary),
    Column("temperature", Float, nullable=False, server_default="0.3"),
    Column("max_tokens", Integer, nullable=False, server_default="1024"),
    Column("timeout_seconds", Float),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    moment("created_at", now=True),
    UniqueConstraint("tenant_id", "name", "version", postgresql_nulls_not_distinct=True),
    CheckConstraint("temperature between 0 and 2", name="temperature"),
    CheckConstraint(
        "provider in ('openai', 'anthropic', 'openai_compatible', 'offline', 'scripted')",
        name="provider",
    ),
    CheckConstraint("tenant_id is null or api_key_env is null", name="tenant_brings_its_own_key"),
)
"""``tenant_id`` null is a platform row that everybody may read; a tenant's row of the same name
wins. Only platform rows, written by the operator, may name a variable of the environment."""
