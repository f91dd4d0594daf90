"""The settings of the services that ``ai-platform up`` starts, as environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ai_platform.demo.shop import kopi_braga
from ai_platform.embedded.credentials import Credentials
from ai_platform.embedded.options import UpOptions
from ai_platform.embedded.postgres import EmbeddedPostgres
from shared.persistence.roles import OWNER, RUNTIME

DATABASE = "ai_platform"
SERVICES = ("commerce-agent", "llm-worker", "messenger")
"""Those whose heartbeat makes `/ready` true."""


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the services find PostgreSQL and Redis: ours, or those that the environment names."""

    database: str
    migration: str | None
    """The owner's address; ``None`` when the operator runs migrations by themselves."""
    redis: str

    @classmethod
    def embedded_database(cls, postgres: EmbeddedPostgres, *, redis: str) -> "Addresses":
        return cls(
            database=postgres.url(RUNTIME, DATABASE),
            migration=postgres.url(OWNER, DATABASE),
            redis=redis,
        )


def service_environment(
    inherited: Mapping[str, str],
    options: UpOptions,
    addresses: Addresses,
    credentials: Credentials,
    run_dir: Path,
) -> dict[str, str]:
    """What the web and the worker process are started with.

    What the operator set stays (models' keys, WAHA, pacing, their own master key); what follows
    from the command line and from the servers we started is set by us.
    """
    defaults = {
        "MASTER_KEY": credentials.master_key,
        "API_KEY_PEPPER": credentials.api_key_pepper,
        "PUBLIC_BASE_URL": options.base_url,
        "LANGSMITH_TRACING": "false",  # conversations leave this machine only when asked to
    }
    ours = {
        "DATABASE_URL": addresses.database,
        "REDIS_URL": addresses.redis,
        "HTTP_HOST": options.host,
        "HTTP_PORT": str(options.port),
        "SIMULATOR_ENABLED": "true",
        "DEMO_ENABLED": "true" if options.demo and options.is_private else "false",
        "RUN_DIR": str(run_dir),
        "READY_SERVICES": ",".join(SERVICES),
        "LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
    }
    if options.demo and inherited.get("WAHA_SERVER_URL"):
        # the one shop there is gets the number, unless the operator names another
        defaults["DEFAULT_TENANT"] = kopi_braga().slug
    set_by_operator = {name: value for name, value in inherited.items() if value}
    return {**defaults, **set_by_operator, **ours}
