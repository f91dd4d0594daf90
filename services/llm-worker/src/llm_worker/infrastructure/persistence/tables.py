"""The LLM context's tables."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from shared.persistence.metadata import metadata, moment, tenant_id

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
    Column("min_answer_length", Integer, nullable=False, server_default="1"),
    Column("price_in_per_million", Numeric(12, 6)),
    Column("price_out_per_million", Numeric(12, 6)),
    Column("fallbacks", JSONB, nullable=False, server_default=text("'[]'")),
    Column("structured_output", Text, nullable=False, server_default="auto"),
    Column("context_tokens", Integer),
    UniqueConstraint("tenant_id", "name", "version", postgresql_nulls_not_distinct=True),
    CheckConstraint("temperature between 0 and 2", name="temperature"),
    CheckConstraint(
        "provider in ('openai', 'anthropic', 'openai_compatible', 'offline', 'scripted')",
        name="provider",
    ),
    CheckConstraint("tenant_id is null or api_key_env is null", name="tenant_brings_its_own_key"),
    CheckConstraint("min_answer_length between 1 and 10000", name="min_answer_length"),
    CheckConstraint("price_in_per_million >= 0 and price_out_per_million >= 0", name="prices"),
    CheckConstraint(
        "jsonb_typeof(fallbacks) = 'array' and jsonb_array_length(fallbacks) <= 5",
        name="fallbacks",
    ),
    CheckConstraint(
        "structured_output in ('auto', 'json_schema', 'tool', 'json_text')",
        name="structured_output",
    ),
    CheckConstraint("context_tokens >= 1", name="context_tokens"),
)
"""``tenant_id`` null is a platform row that everybody may read; a tenant's row of the same name
wins. Only platform rows, written by the operator, may name a variable of the environment."""

prompt_templates = Table(
    "prompt_templates",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("tenant_id", UUID),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("body", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    moment("created_at", now=True),
    UniqueConstraint("tenant_id", "name", "version", postgresql_nulls_not_distinct=True),
    Index(
        "uq_prompt_templates_active",
        "tenant_id",
        "name",
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=text("active"),
    ),
    CheckConstraint("length(name) between 1 and 100", name="name"),
    CheckConstraint("length(body) between 1 and 50000", name="body"),
)
"""System prompts. ``active`` marks the published version of a name; a tenant's own name wins."""

agent_configs = Table(
    "agent_configs",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("tenant_id", UUID),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("type", Text, nullable=False),
    Column("llm_config_name", Text),
    Column("template_name", Text, nullable=False),
    Column("temperature", Float),
    Column("max_tokens", Integer),
    Column("max_retries", Integer),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    moment("created_at", now=True),
    UniqueConstraint("tenant_id", "name", "type", "version", postgresql_nulls_not_distinct=True),
    Index(
        "uq_agent_configs_active",
        "tenant_id",
        "name",
        "type",
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=text("active"),
    ),
    CheckConstraint("length(name) between 1 and 100", name="name"),
    CheckConstraint("type in ('main', 'fallback', 'followup', 'moderation')", name="type"),
    CheckConstraint("temperature between 0 and 2", name="temperature"),
    CheckConstraint("max_tokens >= 1", name="max_tokens"),
    CheckConstraint("max_retries between 0 and 20", name="max_retries"),
)
"""How each agent answers the jobs of one configuration; the name ``default`` stands for all that
have none of their own. What is null is the configuration's."""

llm_budgets = Table(
    "llm_budgets",
    metadata,
    tenant_id(),
    Column("tokens_per_day", BigInteger),
    Column("cost_nanos_per_day", BigInteger),
    Column("concurrency", Integer),
    Column("over_budget", Text, nullable=False, server_default="refuse"),
    PrimaryKeyConstraint("tenant_id"),
    CheckConstraint("tokens_per_day >= 0 and cost_nanos_per_day >= 0", name="limits"),
    CheckConstraint("concurrency >= 1", name="concurrency"),
    CheckConstraint("over_budget in ('refuse', 'queue')", name="over_budget"),
)
"""What a tenant may spend; null is no limit."""

llm_usage = Table(
    "llm_usage",
    metadata,
    tenant_id(),
    Column("day", Date, nullable=False),
    Column("tokens", BigInteger, nullable=False, server_default="0"),
    Column("cost_nanos", BigInteger, nullable=False, server_default="0"),
    Column("calls", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("tenant_id", "day"),
    CheckConstraint("tokens >= 0 and cost_nanos >= 0 and calls >= 0", name="counts"),
)
"""What a tenant has spent; days are those of the tenant's time zone."""
