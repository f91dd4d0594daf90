"""Whether the gateway lives, whether the platform can work, and its figures."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import Response

from gateway.crm.dependencies import Readiness, container_of
from gateway.interface import errors
from shared.observability import merged_metrics

router = APIRouter(tags=["operations"])


class Alive(BaseModel):
    status: str


class Ready(BaseModel):
    """``cache: degraded`` is still ready: without it everything is slower and nothing wrong."""

    status: str
    checks: dict[str, str]


@router.get("/health")
async def health() -> Alive:
    """This process answers. Nothing else is asked."""
    return Alive(status="ok")


@router.get("/ready", response_model=Ready, responses=errors.errors(503))
async def ready(request: Request, readiness: Readiness) -> Ready | Response:
    """The database answers and every service that was asked for is at work."""
    checks = await readiness.checks()
    missing = [name for name, state in checks.items() if state == "missing"]
    if not missing:
        return Ready(status="ready", checks=checks)
    problem = errors.Problem(
        status=503,
        code="not_ready",
        detail=f"waiting for {', '.join(missing)}",
        more={"checks": checks},
        headers={"retry-after": "1"},
    )
    return errors.response(problem, request.scope)


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """The metrics of this process and of those beside it, in Prometheus' text format."""
    run_dir = container_of(request).settings.observability.run_dir
    body = await merged_metrics.read_all("gateway", run_dir)
    return Response(body, headers={"content-type": CONTENT_TYPE_LATEST})
