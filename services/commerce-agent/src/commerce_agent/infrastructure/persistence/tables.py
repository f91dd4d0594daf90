"""The commerce context's tables: conversations, the catalogue, and callbacks of jobs."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKeyConstraint,
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR, UUID

from shared.persistence.metadata import NOW, metadata, moment, tenant_id

customers = Table(
    "customers",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("name", Text),
    Column("phone", Text),
    Column("address", Text),
    Column("language", Text),
    Column("note", Text),
    Column("opted_out", Boolean, nullable=False, server_default=text("false")),
    Column("version", Integer, nullable=False, server_default="1"),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_customers_tenant_id_phone", "tenant_id", "phone"),
)

customer_aliases = Table(
    "customer_aliases",
    metadata,
    tenant_id(),
    Column("address", Text, nullable=False),
    Column("customer_id", UUID, nullable=False),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id", "address"),
    ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
    Index("ix_customer_aliases_customer", "tenant_id", "customer_id"),
)
"""A customer's WhatsApp addresses: ``628…@c.us`` and ``…@lid``."""

conversations = Table(
    "conversations",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("channel_id", UUID, nullable=False),
    Column("customer_id", UUID, nullable=False),
    Column("address", Text, nullable=False),
    Column("owner", Text, nullable=False, server_default="ai"),
    Column("owner_epoch", BigInteger, nullable=False, server_default="1"),
    Column("owner_reason", Text),
    Column("lease_owner", UUID),
    moment("lease_until"),
    Column("lease_epoch", BigInteger, nullable=False, server_default="0"),
    Column("inbound_seq", BigInteger, nullable=False, server_default="0"),
    Column("out_seq", BigInteger, nullable=False, server_default="0"),
    moment("first_unanswered_at"),
    Column("state", Text, nullable=False, server_default="greeting"),
    Column("handles", JSONB, nullable=False, server_default=text("'[]'")),
    Column("failed_turns", Integer, nullable=False, server_default="0"),
    moment("incident_since"),
    Column("trouble", Text),
    Column("handover", JSONB),
    moment("last_message_at"),
    Column("version", Integer, nullable=False, server_default="1"),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id", "channel_id"], ["channels.tenant_id", "channels.id"]),
    ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
    UniqueConstraint("tenant_id", "channel_id", "customer_id"),
    Index("ix_conversations_recent", "tenant_id", text("last_message_at DESC"), "id"),
    CheckConstraint("owner in ('ai', 'person', 'paused')", name="owner"),
)
"""``lease_epoch`` fences workers, ``owner_epoch`` fences owners, ``inbound_seq`` counts what the
customer said; ``version`` guards only what staff edit. ``trouble`` is the code of what keeps the AI
from answering, for staff to see; ``handover`` the last hand-over's reason, summary and team."""

messages = Table(
    "messages",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("channel_id", UUID, nullable=False),
    Column("conversation_id", UUID, nullable=False),
    Column("direction", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default="message"),
    Column("native_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("seq", BigInteger),
    Column("content_type", Text, nullable=False),
    Column("body", Text),
    Column("content", JSONB, nullable=False, server_default=text("'{}'")),
    Column("reply_to", Text),
    Column("inbox_id", UUID),
    Column("inbox_sequence", BigInteger),
    Column("recovered", Boolean, nullable=False, server_default=text("false")),
    Column("answered_by", UUID),
    Column("answered_how", Text),
    moment("sent_at", required=True),
    moment("received_at", now=True),
    moment("edited_at"),
    moment("revoked_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id", "channel_id"], ["channels.tenant_id", "channels.id"]),
    ForeignKeyConstraint(
        ["tenant_id", "conversation_id"], ["conversations.tenant_id", "conversations.id"]
    ),
    UniqueConstraint("tenant_id", "channel_id", "direction", "kind", "native_id"),
    Index("ix_messages_thread", "tenant_id", "conversation_id", "received_at"),
    Index("ix_messages_answered_by", "tenant_id", "answered_by"),
    Index(
        "ix_messages_unanswered",
        "tenant_id",
        "conversation_id",
        "seq",
        postgresql_where=text("direction = 'in' and answered_how is null"),
    ),
    CheckConstraint("direction in ('in', 'out')", name="direction"),
    CheckConstraint("kind in ('message', 'reaction')", name="kind"),
    CheckConstraint(
        "answered_how in ('ai', 'person', 'handed_over', 'revoked', 'recovered', 'refused', "
        "'nothing_to_answer')",
        name="answered_how",
    ),
)
"""What customers wrote, and what staff typed on the phone. ``answered_how`` null: still waiting."""

message_anomalies = Table(
    "message_anomalies",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("channel_id", UUID, nullable=False),
    Column("message_id", UUID, nullable=False),
    Column("inbox_id", UUID, nullable=False),
    Column("reason", Text, nullable=False),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "inbox_id"),
)
"""The same WhatsApp id with another sender or other content: ids are chosen by senders, so a
second one may be an attack; it is kept for people to see and changes nothing."""

early_events = Table(
    "early_events",
    metadata,
    tenant_id(),
    Column("channel_id", UUID, nullable=False),
    Column("native_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id", "channel_id", "native_id", "kind"),
    CheckConstraint("kind in ('revoked', 'edited', 'ack', 'reaction')", name="kind"),
)
"""Events about a message that has not arrived yet; applied when it does."""

turns = Table(
    "turns",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("conversation_id", UUID, nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    Column("outcome", Text),
    Column("discards", SmallInteger, nullable=False, server_default="0"),
    Column("reply_id", UUID),
    Column("llm_config_name", Text),
    Column("model", Text),
    Column("prompt_version", Text),
    Column("tokens_in", Integer, nullable=False, server_default="0"),
    Column("tokens_out", Integer, nullable=False, server_default="0"),
    moment("started_at", now=True),
    moment("ended_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(
        ["tenant_id", "conversation_id"], ["conversations.tenant_id", "conversations.id"]
    ),
    Index(
        "uq_turns_open",
        "tenant_id",
        "conversation_id",
        unique=True,
        postgresql_where=text("state = 'open'"),
    ),
    Index("ix_turns_reply", "tenant_id", "reply_id"),
    CheckConstraint("state in ('open', 'ended')", name="state"),
)

turn_steps = Table(
    "turn_steps",
    metadata,
    tenant_id(),
    Column("turn_id", UUID, nullable=False),
    Column("step", Integer, nullable=False),
    Column("call", Integer, nullable=False, server_default="0"),
    Column("kind", Text, nullable=False),
    Column("name", Text),
    Column("body", JSONB, nullable=False, server_default=text("'{}'")),
    Column("result", Text),
    Column("lease_epoch", BigInteger, nullable=False),
    Column("milliseconds", Integer),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id", "turn_id", "step", "call"),
    ForeignKeyConstraint(["tenant_id", "turn_id"], ["turns.tenant_id", "turns.id"]),
    CheckConstraint("kind in ('read', 'model', 'tool', 'check', 'discard')", name="kind"),
)
"""The journal of a turn. (turn, step, call) is the key of a tool's effect."""

products = Table(
    "products",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("name", Text, nullable=False),
    Column("category", Text, nullable=False, server_default=""),
    Column("description", Text, nullable=False, server_default=""),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("images", JSONB, nullable=False, server_default=text("'[]'")),
    Column(
        "search",
        TSVECTOR,
        Computed(
            # signs become spaces first: PostgreSQL would read "Hot/Ice" as one word, a path
            "setweight(to_tsvector('simple', translate(name, '/._&+-', '      ')), 'A') || "
            "setweight(to_tsvector('indonesian', "
            "translate(name || ' ' || category, '/._&+-', '      ')), 'B') || "
            "setweight(to_tsvector('simple', translate(category, '/._&+-', '      ')), 'B') || "
            "setweight(to_tsvector('indonesian', description), 'D')",
            persisted=True,
        ),
    ),
    Column("version", Integer, nullable=False, server_default="1"),
    moment("created_at", now=True),
    moment("updated_at", now=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index("ix_products_search", "search", postgresql_using="gin"),
    Index("ix_products_tenant_id_category", "tenant_id", "category"),
)

variants = Table(
    "variants",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("product_id", UUID, nullable=False),
    Column("position", Integer, nullable=False, server_default="0"),
    Column("sku", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("price", BigInteger, nullable=False),
    Column("currency", Text, nullable=False, server_default="IDR"),
    Column("on_hand", Integer, nullable=False, server_default="0"),
    Column("reserved", Integer, nullable=False, server_default="0"),
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'")),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id", "product_id"], ["products.tenant_id", "products.id"]),
    UniqueConstraint("tenant_id", "sku"),
    Index("ix_variants_product", "tenant_id", "product_id", "position"),
    CheckConstraint("price >= 0", name="price"),
    CheckConstraint("0 <= reserved and reserved <= on_hand", name="stock"),
)

search_synonyms = Table(
    "search_synonyms",
    metadata,
    tenant_id(),
    Column("word", Text, nullable=False),
    Column("means", ARRAY(Text), nullable=False),
    PrimaryKeyConstraint("tenant_id", "word"),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
)
"""A tenant's own words: what customers say and what the catalogue calls it."""

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    tenant_id(),
    Column("secret_ciphertext", LargeBinary, nullable=False),
    Column("previous_secret_ciphertext", LargeBinary),
    moment("previous_valid_until"),
    moment("created_at", now=True),
    PrimaryKeyConstraint("tenant_id"),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    CheckConstraint(
        "(previous_secret_ciphertext is null) = (previous_valid_until is null)",
        name="previous_has_end",
    ),
)
"""What a tenant's webhooks are signed with; sealed for the row whose id is the tenant's."""

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    tenant_id(),
    Column("id", UUID, nullable=False),
    Column("job_id", UUID, nullable=False),
    Column("type", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("round", Integer, nullable=False, server_default="1"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("last_status", Integer),
    Column("last_error", Text),
    Column("next_at", DateTime(timezone=True), server_default=NOW),
    moment("created_at", now=True),
    moment("finished_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(
        ["tenant_id", "job_id"], ["jobs.tenant_id", "jobs.id"], ondelete="CASCADE"
    ),
    UniqueConstraint("tenant_id", "job_id"),
    Index("ix_webhook_deliveries_due", "next_at", postgresql_where=text("state = 'pending'")),
    CheckConstraint("type in ('job.completed', 'job.failed', 'job.cancelled')", name="type"),
    CheckConstraint("state in ('pending', 'delivered', 'failed')", name="state"),
    CheckConstraint(
        "(state = 'pending') = (finished_at is null)"
        " and (state = 'pending') = (next_at is not null)",
        name="pending_is_planned",
    ),
    CheckConstraint("round >= 1 and attempts >= 0 and failures >= 0", name="counts"),
)
"""What a job's ``callback_url`` is told. The id is the ``webhook-id`` of every attempt. ``round``
rises when somebody wants it sent again, ``failures`` counts within the round."""

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    tenant_id(),
    Column("delivery_id", UUID, nullable=False),
    Column("number", Integer, nullable=False),
    moment("started_at", now=True),
    Column("milliseconds", Integer),
    Column("status", Integer),
    Column("error", Text),
    PrimaryKeyConstraint("tenant_id", "delivery_id", "number"),
    ForeignKeyConstraint(
        ["tenant_id", "delivery_id"],
        ["webhook_deliveries.tenant_id", "webhook_deliveries.id"],
        ondelete="CASCADE",
    ),
)
"""Every call of a ``callback_url``, kept before it is made: without ``milliseconds`` the worker
stopped in the middle, and nobody knows whether it arrived."""
