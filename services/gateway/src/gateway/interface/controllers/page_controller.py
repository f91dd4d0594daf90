"""The pages beside the API: where to go from here, and the API's documentation."""

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, HTMLResponse, Response

from gateway.crm.dependencies import container_of
from gateway.interface.pages import STATIC, page

router = APIRouter(include_in_schema=False)


@router.get("/")
async def landing(request: Request) -> HTMLResponse:
    """Links to what this server has."""
    return page("landing.html", simulator=container_of(request).settings.http.simulator_enabled)


@router.get("/console")
async def console() -> HTMLResponse:
    """Where the shop's staff read and answer. The page holds nothing of a shop; the key it asks
    for opens the API."""
    return page("console/page.html")


@router.get("/docs")
async def docs() -> HTMLResponse:
    """The OpenAPI document, to read and to try out."""
    return page("docs.html")


@router.get("/favicon.ico")
@router.get("/favicon.svg")
async def favicon() -> Response:
    return FileResponse(
        STATIC / "favicon.svg",
        media_type="image/svg+xml",
        headers={"cache-control": "max-age=86400"},
    )
