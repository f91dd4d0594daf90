"""Callbacks of jobs: what was told to whom, every try of it, and what it is signed with.

Runs as the owner on PostgreSQL 15 to 18 with core features only.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = (
    """
    CREATE TABLE webhook_secrets (
        tenant_id uuid NOT NULL,
        secret_ciphertext bytea NOT NULL,
        previous_secret_ciphertext bytea,
        previous_valid_until timestamptz,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_webhook_secrets PRIMARY KEY (tenant_id),
        CONSTRAINT fk_webhook_secrets_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id),
        CONSTRAINT ck_webhook_secrets_previous_has_end CHECK ((previous_secret_ciphertext is null) = (previous_valid_until is null))
    )
    """,
    """
    CREATE TABLE webhook_deliveries (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        job_id uuid NOT NULL,
        type text NOT NULL,
        url text NOT NULL,
        state text DEFAULT 'pending' NOT NULL,
        round integer DEFAULT '1' NOT NULL,
        attempts integer DEFAULT '0' NOT NULL,
        failures integer DEFAULT '0' NOT NULL,
        last_status integer,
        last_error text,
        next_at timestamptz DEFAULT platform_now(),
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        finished_at timestamptz,
        CONSTRAINT pk_webhook_deliveries PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_webhook_deliveries_tenant_id_job_id_jobs FOREIGN KEY(tenant_id, job_id) REFERENCES jobs (tenant_id, id) ON DELETE CASCADE,
        CONSTRAINT uq_webhook_deliveries_tenant_id_job_id UNIQUE (tenant_id, job_id),
        CONSTRAINT ck_webhook_deliveries_type CHECK (type in ('job.completed', 'job.failed', 'job.cancelled')),
        CONSTRAINT ck_webhook_deliveries_state CHECK (state in ('pending', 'delivered', 'failed')),
        CONSTRAINT ck_webhook_deliveries_pending_is_planned CHECK ((state = 'pending') = (finished_at is null) and (state = 'pending') = (next_at is not null)),
        CONSTRAINT ck_webhook_deliveries_counts CHECK (round >= 1 and attempts >= 0 and failures >= 0)
    )
    """,
    """
    CREATE INDEX ix_webhook_deliveries_due ON webhook_deliveries (next_at) WHERE state = 'pending'
    """,
    """
    CREATE TABLE webhook_attempts (
        tenant_id uuid NOT NULL,
        delivery_id uuid NOT NULL,
        number integer NOT NULL,
        started_at timestamptz DEFAULT platform_now() NOT NULL,
        milliseconds integer,
        status integer,
        error text,
        CONSTRAINT pk_webhook_attempts PRIMARY KEY (tenant_id, delivery_id, number),
        CONSTRAINT fk_webhook_attempts_tenant_id_delivery_id_webhook_deliveries FOREIGN KEY(tenant_id, delivery_id) REFERENCES webhook_deliveries (tenant_id, id) ON DELETE CASCADE
    )
    """,
)

TENANT = "nullif(current_setting('app.tenant', true), '')::uuid"

TENANT_TABLES = ("webhook_secrets", "webhook_deliveries", "webhook_attempts")


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in TENANT_TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO platform_app")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY owner_all ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)"
        )
        op.execute(
            f"CREATE POLICY tenant ON {table} TO platform_app"
            f" USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})"
        )
    op.execute(
        "CREATE POLICY platform_sweeper ON webhook_deliveries TO platform_sweeper"
        " USING (true) WITH CHECK (true)"
    )
    op.execute(
        "GRANT SELECT (tenant_id, id, job_id, state, next_at) ON webhook_deliveries"
        " TO platform_sweeper"
    )
