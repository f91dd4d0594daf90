"""The gateway: all HTTP of the platform. ``uvicorn gateway.main:app`` or `serve`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.bootstrap import Container, build
from gateway.interface import errors, openapi
from gateway.interface.controllers.crm import webhook_controller
from gateway.interface.http.context import RequestContext
from gateway.interface.http.limits import RequestLimits
from gateway.interface.http.protocol import BoundedHttp, most_connections
from gateway.interface.pages import VendoredFiles
from gateway.interface.routes.api import api_router
from shared.config.settings import PlatformSettings
from shared.observability import logging
from shared.observability.heartbeat import heartbeat
from shared.observability.process import run_service

SERVICE = "gateway"
_GRACE_SECONDS = 10


def create_app(settings: PlatformSettings, container: Container | None = None) -> ASGIApp:
    """The application, over a container that is open already or over one of its own.

    Raises:
        SettingMissing, DatabaseUnavailable: from the lifespan, when it builds the container.
    """

    webhook = webhook_controller.WhatsAppWebhook()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        if container is not None:
            yield {"container": container, "webhook": webhook}
            return
        async with build(settings, asyncio.Event()) as own:
            yield {"container": own, "webhook": webhook}

    api = FastAPI(
        title="AI Platform",
        version="0.1.0",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    errors.install(api)
    openapi.install(api)
    api.include_router(api_router())
    api.mount("/static", VendoredFiles(), name="static")
    return RequestContext(_Doors(webhook, RequestLimits(api)))


class _Doors:
    """Webhooks through their own door; everything else, the lifespan too, to the API."""

    def __init__(self, webhook: ASGIApp, api: ASGIApp) -> None:
        self._webhook = webhook
        self._api = api

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        is_webhook = scope["type"] == "http" and scope["path"].startswith(webhook_controller.PREFIX)
        return (self._webhook if is_webhook else self._api)(scope, receive, send)


class _Server(uvicorn.Server):
    """Leaves the process's signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class CannotListen(Exception):
    """The address is taken, or not ours."""


async def serve(settings: PlatformSettings, stop: asyncio.Event) -> None:
    """Listen on HTTP_HOST and HTTP_PORT until ``stop``; open requests get ten seconds to end.

    Raises:
        CannotListen: the port is taken.
        SettingMissing, DatabaseUnavailable: what `build` needs is not there.
    """
    BoundedHttp.most = most_connections()
    async with build(settings, stop) as container:
        server = _Server(
            uvicorn.Config(
                create_app(settings, container),
                host=settings.http.http_host,
                port=settings.http.http_port,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                http=BoundedHttp,
                ws="none",
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        async with heartbeat(settings.observability.run_dir, SERVICE):
            await _run(server, stop)


async def _run(server: uvicorn.Server, stop: asyncio.Event) -> None:
    watch = asyncio.create_task(_pass_on(stop, server), name="gateway-stop")
    try:
        await server.serve()
    except SystemExit as error:  # uvicorn's way to say that it cannot bind
        host, port = server.config.host, server.config.port
        raise CannotListen(f"cannot listen on {host}:{port}") from error
    finally:
        watch.cancel()


async def _pass_on(stop: asyncio.Event, server: uvicorn.Server) -> None:
    await stop.wait()
    server.should_exit = True


def main() -> None:
    run_service(SERVICE, serve)


def __getattr__(name: str) -> Any:
    """``app`` is made when uvicorn asks for it, not when this module is imported."""
    if name != "app":
        raise AttributeError(name)
    settings = PlatformSettings.from_environment()
    logging.configure(SERVICE, settings.observability)
    return create_app(settings)


if __name__ == "__main__":
    main()
