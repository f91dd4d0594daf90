"""Settings of all services: small frozen groups read from the environment, units in their types.

Only `main`, `worker` and `bootstrap` modules read them; everything else is given what it needs.
`.env.example` documents every variable; a test keeps the two equal.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _seconds(value: Any) -> Any:
    return timedelta(seconds=float(value)) if isinstance(value, str | int | float) else value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be more than 0 seconds")
    return value


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError("must not be negative")
    return value


def _comma_separated(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _blank_is_unset(value: Any) -> Any:
    """An env file's ``NAME=`` means the same as no line at all."""
    return None if isinstance(value, str) and not value.strip() else value


def _server_address(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("must start with http:// or https:// and name a host")
    return value.rstrip("/")


Seconds = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_positive)]
"""A duration written as a number of seconds, more than zero."""

SecondsOrZero = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_not_negative)]
"""A duration written as a number of seconds; zero switches the wait off."""

CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]

Secret = Annotated[SecretStr | None, BeforeValidator(_blank_is_unset)]
Text = Annotated[str | None, BeforeValidator(_blank_is_unset)]
ServerAddress = Annotated[
    str | None, BeforeValidator(_blank_is_unset), AfterValidator(_server_address)
]
"""The address of an HTTP server, without a slash at its end."""


class Group(BaseSettings):
    """Fields are the environment variables of the same name in upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=False)


class DatabaseSettings(Group):
    database_url: Secret = None
    """Runtime role; `postgresql://` or `postgresql+asyncpg://`. Unset means embedded."""
    database_migration_url: Secret = None
    """Owner role, used by migrations only."""
    database_pool_size: int = Field(default=4, ge=1)
    database_max_overflow: int = Field(default=2, ge=0)
    database_pool_recycle_seconds: Seconds = timedelta(seconds=3600)
    database_pool_timeout_seconds: Seconds = timedelta(seconds=10)
    """Longest wait for a free connection before `Unavailable`; in the gateway a quarter second."""


class CacheSettings(Group):
    redis_url: Secret = None
    """Unset: each process remembers for itself."""
    redis_job_ttl: Seconds = timedelta(seconds=3600)
    conversation_ttl: Seconds = timedelta(seconds=86400)
    """How long a conversation's prompt context stays cached."""


class QueueSettings(Group):
    rabbitmq_url: Secret = None
    """Unset means that PostgreSQL carries the queues."""
    rabbitmq_task_queue: str = "ai_tasks"
    rabbitmq_crm_queue: str = "crm_tasks"
    rabbitmq_wa_queue: str = "wa_messages"
    queue_lease_seconds: Seconds = timedelta(seconds=30)
    queue_sweep_seconds: Seconds = timedelta(seconds=5)
    """How often hints that the broker lost are noticed; half of the delay that a purge may cost."""
    queue_poll_seconds: Seconds = timedelta(seconds=1)
    worker_concurrency: int = Field(default=32, ge=1)
    worker_drain_seconds: Seconds = timedelta(seconds=25)


class LlmSettings(Group):
    openai_api_key: Secret = None
    anthropic_api_key: Secret = None
    llm_key_env_allow: CommaSeparated = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "LLM_KEY_*")
    """Names (or patterns with `*`) of variables that `llm_configs.api_key_env` may point at."""
    llm_default_timeout_seconds: Seconds = timedelta(seconds=120)
    llm_chat_timeout_seconds: Seconds = timedelta(seconds=30)
    """Longest wait for one model call while a customer waits in a chat."""
    llm_max_retries: int = Field(default=3, ge=0)
    llm_retry_initial_delay: Seconds = timedelta(seconds=1)
    llm_retry_max_delay: Seconds = timedelta(seconds=60)
    circuit_breaker_failure_threshold: int = Field(default=5, ge=1)
    circuit_breaker_success_threshold: int = Field(default=2, ge=1)
    circuit_breaker_timeout_seconds: Seconds = timedelta(seconds=60)
    job_default_max_retries: int = Field(default=3, ge=0, le=20)


class WahaSettings(Group):
    waha_server_url: ServerAddress = None
    """Seeds the WAHA channel of DEFAULT_TENANT; never a fallback for other tenants. Being named
    here, its host and port may be reached although private or plain http."""
    waha_api_key: Secret = None
    waha_timeout_seconds: Seconds = timedelta(seconds=30)
    send_pace_seconds: SecondsOrZero = timedelta(seconds=1)
    """Least time between two messages of one number."""
    typing_seconds_per_character: SecondsOrZero = timedelta(seconds=0.03)
    typing_max_seconds: SecondsOrZero = timedelta(seconds=5)

    @property
    def waha_host(self) -> str | None:
        """``host:port`` of the server, as OUTBOUND_ALLOW_HOSTS would name it."""
        if self.waha_server_url is None:
            return None
        parts = urlsplit(self.waha_server_url)
        return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


class PaymentSettings(Group):
    midtrans_server_key: Secret = None
    midtrans_is_production: bool = False
    xendit_secret_key: Secret = None
    xendit_callback_token: Secret = None


class SecuritySettings(Group):
    master_key: Secret = None
    """32 random bytes in base64; wraps every tenant's own key."""
    api_key_pepper: Secret = None
    """32 random bytes in base64; API keys are stored as HMAC under it."""
    outbound_allow_hosts: CommaSeparated = ()
    """`host` or `host:port` that may be reached although it is private or plain http."""
    default_tenant: Text = None
    """Slug of the tenant that the WAHA_* and MIDTRANS_* variables seed."""


class HttpSettings(Group):
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8000, ge=0, le=65535)
    public_base_url: Text = None
    """How the outside reaches the gateway; webhook addresses are made from it."""
    simulator_enabled: bool = False
    demo_enabled: bool = False
    """Demo credentials exist; refused together with a non-loopback host."""


class ConversationSettings(Group):
    message_buffer_initial_delay: SecondsOrZero = timedelta(seconds=2)
    """Quiet time after the last bubble before the AI answers."""
    message_buffer_max_delay: SecondsOrZero = timedelta(seconds=10)
    """Longest wait since the first unanswered bubble."""
    conversation_lease_seconds: Seconds = timedelta(seconds=30)
    turn_deadline_seconds: Seconds = timedelta(seconds=90)
    turns_per_customer_hour: int = Field(default=60, ge=1)
    """AI answers one customer may have within an hour; then a person goes on."""
    unknown_send_seconds: Seconds = timedelta(seconds=60)
    """How long a send without a clear outcome waits for its echo or read-back."""


class ObservabilitySettings(Group):
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"
    metrics_port: Annotated[int | None, BeforeValidator(_blank_is_unset)] = None
    """Workers open this port for `/metrics`; unset opens none."""
    run_dir: Annotated[Path | None, BeforeValidator(_blank_is_unset)] = None
    """Folder of heartbeat files and metric sockets."""
    ready_services: CommaSeparated = ()
    """Services whose heartbeat `/ready` waits for."""


class PlatformSettings(Group):
    """Every group; a service reads those it needs."""

    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    queue: QueueSettings = Field(default_factory=QueueSettings)
    llm: LlmSettings = Field(default_factory=LlmSettings)
    waha: WahaSettings = Field(default_factory=WahaSettings)
    payments: PaymentSettings = Field(default_factory=PaymentSettings)
    security: SecuritySettings = Field(default_factory=SecuritySettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    conversation: ConversationSettings = Field(default_factory=ConversationSettings)
    observability: ObservabilitySettings = Field(default_factory=ObservabilitySettings)

    @property
    def outbound_hosts(self) -> tuple[str, ...]:
        """What channels may reach although it is private or plain http: the hosts that the operator
        listed, and the WAHA server that the operator named."""
        waha = self.waha.waha_host
        return (*self.security.outbound_allow_hosts, *((waha,) if waha else ()))

    @classmethod
    def from_environment(cls) -> "PlatformSettings":
        """Read the environment; a bad value raises pydantic's error with the variable's name."""
        return cls()
