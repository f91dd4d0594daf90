"""Tables that more than one context reads or writes. The rest stand in each context's own module.

Primary and foreign keys lead with ``tenant_id``: a row can point only at rows of its own tenant.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.types import UserDefinedType

from shared.persistence.metadata import metadata, moment, tenant_id


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id, the order in which streams read events."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


tenants = Table(
    "tenants",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="active"),
    Column("currency", Text, nullable=False, server_default="IDR"),
    Column("timezone", Text, nullable=False, server_default="Asia/Jakarta"),
    Column("language", Text, nullable=False, server_default="id"),
    Column("profile", JSONB, nullable=False, server_default=text("'{}'")),
    Column("llm_config_name", Text, nullable=False, server_default="offline"),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    moment("created_at", now=True),
    CheckConstraint("status in ('active', 'suspended')", name="status"),
    CheckConstraint("slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'", name="slug"),
)

channels = Table(
    "channels",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("base_url", Text),
    Column("api_key_ciphertext", LargeBinary),
    Column("webhook_secret_ciphertext", LargeBinary, nullable=False),
    Column("previous_webhook_secret_ciphertext", LargeBinary),
    Column("state", Text, nullable=False, server_default="unknown"),
    Column("phone", Text),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    moment("next_send_at", now=True),
    moment("history_watermark"),
    Column("gap_repair", Text, nullable=False, server_default="unknown"),
    Column("version", Integer, nullable=False, server_default="1"),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    UniqueConstraint("tenant_id", "name"),
    CheckConstraint("kind in ('waha', 'simulator')", name="kind"),
    CheckConstraint("kind <> 'waha' or base_url is not null", name="waha_has_server"),
)

inbox_events = Table(
    "inbox_events",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("sequence", BigInteger, Identity(always=True), nullable=False),
    tenant_id(),
    Column("source", Text, nullable=False),
    Column("endpoint_id", UUID, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("headers", JSONB, nullable=False, server_default=text("'{}'")),
    Column("state", Text, nullable=False, server_default="received"),
    Column("reason", Text),
    moment("received_at", now=True),
    moment("processed_at"),
    UniqueConstraint("tenant_id", "source", "endpoint_id", "body_sha256"),
    Index("ix_inbox_events_waiting", "received_at", postgresql_where=text("state = 'received'")),
    CheckConstraint("source in ('waha', 'midtrans', 'xendit', 'sandbox')", name="source"),
    CheckConstraint("state in ('received', 'stored', 'ignored', 'parked')", name="state"),
)
"""What the outside told us, byte for byte, before anybody understood it. No foreign keys: what
arrives for a tenant that is just being deleted must not fail."""

queue_messages = Table(
    "queue_messages",
    metadata,
    Column("id", UUID, primary_key=True),
    tenant_id(),
    Column("queue", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("payload", JSONB, nullable=False, server_default=text("'{}'")),
    Column("generation", BigInteger, nullable=False, server_default="1"),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    Column("ordering_key", Text),
    Column("position", BigInteger, nullable=False, server_default="0"),
    moment("available_at", now=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_id", UUID),
    moment("lease_until"),
    moment("published_at"),
    Column("v", SmallInteger, nullable=False, server_default="1"),
    moment("created_at", now=True),
    UniqueConstraint("tenant_id", "queue", "kind", "key"),
    Index(
        "ix_queue_messages_pick",
        "queue",
        "tenant_id",
        text("priority DESC"),
        "available_at",
        "id",
    ),
    Index(
        "ix_queue_messages_ordering",
        "tenant_id",
        "queue",
        "ordering_key",
        "position",
        postgresql_where=text("ordering_key IS NOT NULL"),
    ),
    Index("ix_queue_messages_due", "queue", "available_at"),
    Index(
        "ix_queue_messages_published",
        "queue",
        "published_at",
        postgresql_where=text("published_at IS NOT NULL"),
    ),
)
"""Work to do. A row lives until the transaction that did the work deletes it."""

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", UUID, primary_key=True),
    tenant_id(),
    Column("queue", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("v", SmallInteger, nullable=False, server_default="1"),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    Column("ordering_key", Text),
    Column("position", BigInteger, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    moment("created_at", now=True),
    moment("redriven_at"),
    Index("ix_dead_letters_tenant_id_created_at", "tenant_id", "created_at"),
)

domain_events = Table(
    "domain_events",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("tx", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    tenant_id(),
    Column("name", Text, nullable=False),
    Column("version", SmallInteger, nullable=False),
    Column("body", JSONB, nullable=False),
    moment("occurred_at", required=True),
    Index("ix_domain_events_stream", "tenant_id", "tx", "id"),
)

sends = Table(
    "sends",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("channel_id", UUID, nullable=False),
    Column("conversation_id", UUID, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reply_id", UUID, nullable=False),
    Column("turn_id", UUID),
    Column("author", Text),
    Column("body", Text, nullable=False),
    Column("media", JSONB(none_as_null=True)),
    Column("reply_to", Text),
    Column("owner_epoch", BigInteger, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("claim_no", Integer, nullable=False, server_default="0"),
    moment("claimed_at"),
    moment("slot_at"),
    Column("reserved_id", Text),
    Column("native_id", Text),
    Column("echoed_id", Text),
    Column("ack", SmallInteger),
    Column("resent", Boolean, nullable=False, server_default=text("false")),
    Column("released_by", Text),
    Column("error_code", Text),
    Column("error_detail", Text),
    moment("created_at", now=True),
    moment("unknown_since"),
    moment("ended_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id", "channel_id"], ["channels.tenant_id", "channels.id"]),
    UniqueConstraint("tenant_id", "conversation_id", "seq"),
    Index("ix_sends_native", "tenant_id", "channel_id", "native_id"),
    Index("ix_sends_reply", "tenant_id", "reply_id"),
    Index(
        "ix_sends_unfinished",
        "tenant_id",
        "conversation_id",
        "seq",
        postgresql_where=text("state in ('pending', 'sending', 'unknown')"),
    ),
    CheckConstraint("kind in ('ai', 'staff', 'notice', 'holding')", name="kind"),
    CheckConstraint(
        "state in ('pending', 'sending', 'unknown', 'sent', 'failed', 'cancelled')", name="state"
    ),
)
"""Every bubble that leaves. With the SQL function ``claim_send`` this is the whole contract
between the commerce agent, which commits rows, and the messenger, which sends them. ``slot_at`` is
the bubble's place in its number's pace."""

simulator_customers = Table(
    "simulator_customers",
    metadata,
    tenant_id(),
    Column("channel_id", UUID, nullable=False),
    Column("address", Text, nullable=False),
    Column("name", Text, nullable=False),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id", "channel_id", "address"),
    ForeignKeyConstraint(["tenant_id", "channel_id"], ["channels.tenant_id", "channels.id"]),
)
"""The people whose phones the simulator plays, by the name that their WhatsApp would show."""

simulator_messages = Table(
    "simulator_messages",
    metadata,
    tenant_id(),
    Column("channel_id", UUID, nullable=False),
    Column("native_id", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("from_customer", Boolean, nullable=False),
    Column("body", Text, nullable=False, server_default=""),
    Column("content", JSONB, nullable=False, server_default=text("'{}'")),
    moment("seen_at"),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id", "channel_id", "native_id"),
    ForeignKeyConstraint(["tenant_id", "channel_id"], ["channels.tenant_id", "channels.id"]),
    Index(
        "ix_simulator_messages_chat",
        "tenant_id",
        "channel_id",
        "address",
        "created_at",
        "native_id",
    ),
)
"""What a simulated customer's phone shows: for a simulator channel this stands where WhatsApp's own
memory stands for a real number. Business code reads none of it."""

job_batches = Table(
    "job_batches",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("total", Integer, nullable=False),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'")),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    CheckConstraint("total between 1 and 1000", name="total"),
)

jobs = Table(
    "jobs",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("status", Text, nullable=False, server_default="QUEUED"),
    Column("prompt", Text, nullable=False),
    Column("config_name", Text, nullable=False),
    Column("template_name", Text, nullable=False),
    Column("pipeline", Text, nullable=False, server_default="single"),
    Column("context", JSONB, nullable=False, server_default=text("'{}'")),
    Column("variables", JSONB, nullable=False, server_default=text("'{}'")),
    Column("needs_moderation", Boolean, nullable=False, server_default=text("false")),
    Column("stream", Boolean, nullable=False, server_default=text("false")),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'")),
    Column("callback_url", Text),
    moment("deadline_at", required=True),
    Column("retry_of", UUID),
    Column("batch_id", UUID),
    Column("run", BigInteger, nullable=False, server_default="0"),
    Column("result", Text),
    Column("agent_type", Text),
    Column("moderation", JSONB(none_as_null=True)),
    Column("template_version", Integer),
    Column("error", Text),
    Column("error_code", Text),
    Column("tokens_in", BigInteger, nullable=False, server_default="0"),
    Column("tokens_out", BigInteger, nullable=False, server_default="0"),
    Column("cost_nanos", BigInteger, nullable=False, server_default="0"),
    moment("created_at", now=True),
    moment("started_at"),
    moment("finished_at"),
    moment("updated_at", now=True),
    Column("retry_count", Integer, nullable=False, server_default="0"),
    Column("max_retries", Integer, nullable=False, server_default="3"),
    moment("next_retry_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id", "batch_id"], ["job_batches.tenant_id", "job_batches.id"]),
    Index("ix_jobs_recent", "tenant_id", text("created_at DESC"), text("id DESC")),
    Index("ix_jobs_status_recent", "tenant_id", "status", text("created_at DESC"), text("id DESC")),
    Index("ix_jobs_batch", "tenant_id", "batch_id"),
    Index("ix_jobs_processing", "tenant_id", postgresql_where=text("status = 'PROCESSING'")),
    Index(
        "ix_jobs_next_retry_at",
        "next_retry_at",
        postgresql_where=text("next_retry_at IS NOT NULL"),
    ),
    CheckConstraint(
        "status in ('QUEUED', 'PROCESSING', 'RETRYING', 'COMPLETED', 'FAILED', 'CANCELLED')",
        name="status",
    ),
    CheckConstraint("length(prompt) between 1 and 100000", name="prompt"),
    CheckConstraint("pipeline in ('single', 'multi')", name="pipeline"),
    CheckConstraint("priority between -10 and 10", name="priority"),
    CheckConstraint("agent_type in ('main', 'fallback', 'followup')", name="agent_type"),
    CheckConstraint("run >= 0", name="run"),
    CheckConstraint("tokens_in >= 0 and tokens_out >= 0 and cost_nanos >= 0", name="usage"),
    CheckConstraint("(status = 'COMPLETED') = (result is not null)", name="completed_has_result"),
    CheckConstraint("(status = 'FAILED') = (error_code is not null)", name="failed_has_code"),
    CheckConstraint(
        "(status in ('COMPLETED', 'FAILED', 'CANCELLED')) = (finished_at is not null)",
        name="final_has_end",
    ),
    CheckConstraint("retry_count >= 0", name="retry_count"),
    CheckConstraint("max_retries between 0 and 20", name="max_retries"),
    CheckConstraint("next_retry_at is null or status = 'RETRYING'", name="next_retry_is_planned"),
)
"""Prompts for the agents and what became of them. The trigger ``jobs_follow_the_graph`` holds the
edges between states. ``run`` is the fence: it rises with every start, and a worker writes only
where its own run still stands. ``cost_nanos`` counts billionths of a US dollar. No key to
``tenants``: everybody's submissions would meet at the lock of that one row. No index on
``metadata``: under row-level security PostgreSQL does not use one, as ``@>`` is not leakproof; the
filter looks at a tenant's jobs in the order of the list."""

job_attempts = Table(
    "job_attempts",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("job_id", UUID, nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("agent", Text, nullable=False),
    Column("config_name", Text, nullable=False),
    Column("model", Text, nullable=False),
    moment("started_at", required=True),
    Column("milliseconds", Integer, nullable=False),
    Column("tokens_in", BigInteger, nullable=False, server_default="0"),
    Column("tokens_out", BigInteger, nullable=False, server_default="0"),
    Column("cost_nanos", BigInteger, nullable=False, server_default="0"),
    Column("outcome", Text, nullable=False),
    Column("error", Text),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(
        ["tenant_id", "job_id"], ["jobs.tenant_id", "jobs.id"], ondelete="CASCADE"
    ),
    UniqueConstraint("tenant_id", "job_id", "number"),
    CheckConstraint(
        "agent in ('main', 'fallback', 'followup', 'moderation', 'router')", name="agent"
    ),
    CheckConstraint("number >= 1 and run >= 1 and milliseconds >= 0", name="numbers"),
    CheckConstraint("tokens_in >= 0 and tokens_out >= 0 and cost_nanos >= 0", name="usage"),
)
"""One row for each call of a model that a job made. ``outcome`` is ``ok``, an error's code, or
``interrupted`` where the worker died with the run."""
