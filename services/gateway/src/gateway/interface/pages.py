"""Rendering HTML: templates that escape, and a policy that lets nothing else in."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_HERE = Path(__file__).parent

STATIC = _HERE / "static"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Everything from this server, nothing inline. ``blob:`` is for pictures fetched with a key."""

_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(template: str, **values: Any) -> HTMLResponse:
    """Render a page of this server."""
    return HTMLResponse(
        _templates.get_template(template).render(values),
        headers={"content-security-policy": POLICY, "cache-control": "no-cache"},
    )


class VendoredFiles(StaticFiles):
    """Scripts, styles and pictures; browsers keep them and ask whether they have changed."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)

    async def get_response(self, path: str, scope: Scope) -> Response:
        scope["state"]["route"] = "/static"
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response
