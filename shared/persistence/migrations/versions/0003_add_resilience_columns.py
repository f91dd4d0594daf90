"""Retries of jobs: how many there were, how many there may be, and when the next one is due.

Also kept as SQL in ``infra/docker/postgres/migrations/002_add_resilience_columns.sql``.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    """
    ALTER TABLE jobs
        ADD COLUMN retry_count integer DEFAULT '0' NOT NULL,
        ADD COLUMN max_retries integer DEFAULT '3' NOT NULL,
        ADD COLUMN next_retry_at timestamptz,
        ADD CONSTRAINT ck_jobs_retry_count CHECK (retry_count >= 0),
        ADD CONSTRAINT ck_jobs_max_retries CHECK (max_retries between 0 and 20),
        ADD CONSTRAINT ck_jobs_next_retry_is_planned CHECK (next_retry_at is null or status = 'RETRYING')
    """,
    """
    CREATE INDEX ix_jobs_next_retry_at ON jobs (next_retry_at) WHERE next_retry_at IS NOT NULL
    """,
    """
    GRANT SELECT (retry_count, max_retries, next_retry_at) ON jobs TO platform_operator
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
