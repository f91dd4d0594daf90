"""Every check that fits the installation, in the order in which one would repair it."""

import os
from collections.abc import AsyncIterator

from pydantic import ValidationError

from ai_platform.commands.arguments import settings_problem
from ai_platform.doctor import machine, services
from ai_platform.doctor.report import Finding, failed, note, ok
from ai_platform.embedded import credentials as stored
from ai_platform.embedded.data_dir import DataDir
from shared.config.settings import PlatformSettings


async def examine(data_dir: DataDir, host: str, port: int) -> AsyncIterator[Finding]:
    """Look at the machine, then at the profile that the environment chooses."""
    yield machine.check_python()
    yield machine.check_uv()
    yield machine.check_data_dir(data_dir)
    yield machine.check_port(data_dir, host, port)
    try:
        settings = PlatformSettings.from_environment()
    except ValidationError as error:
        yield failed("Settings", settings_problem(error))
        return
    yield ok("Settings", "can be read")
    checks = _distributed(settings) if settings.database.database_url else _embedded(data_dir)
    async for finding in checks:
        yield finding
    rabbitmq = settings.queue.rabbitmq_url
    yield await services.check_rabbitmq(rabbitmq.get_secret_value() if rabbitmq else None)
    yield await services.check_waha(settings.waha, settings.outbound_hosts)


async def _distributed(settings: PlatformSettings) -> AsyncIterator[Finding]:
    database, security = settings.database, settings.security
    url, owner = database.database_url, database.database_migration_url
    assert url is not None
    yield services.check_keys(
        security.master_key.get_secret_value() if security.master_key else None,
        security.api_key_pepper.get_secret_value() if security.api_key_pepper else None,
    )
    yield await services.check_database(url.get_secret_value())
    yield await services.check_schema(owner.get_secret_value() if owner else None)
    redis = settings.cache.redis_url
    yield await services.check_redis(redis.get_secret_value() if redis else None)


async def _embedded(data_dir: DataDir) -> AsyncIterator[Finding]:
    yield machine.check_embedded_postgres()
    server = data_dir.running()
    if server is None:
        yield note("Server", "is not running; start it with: ai-platform up")
        return
    known = stored.load(data_dir)
    yield services.check_keys(
        os.environ.get("MASTER_KEY") or (known.master_key if known else None),
        os.environ.get("API_KEY_PEPPER") or (known.api_key_pepper if known else None),
    )
    if server.database_url is not None:
        yield await services.check_database(server.database_url)
        yield await services.check_schema(server.database_migration_url)
    if server.redis_url is not None:
        yield await services.check_redis(server.redis_url)
