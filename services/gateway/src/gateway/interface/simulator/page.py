"""The simulator's page: a phone on the screen."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from gateway.application.ports.simulated_phone import SimulatedShop
from gateway.application.services.simulator_service import NoSimulator
from gateway.crm.dependencies import container_of
from gateway.interface.pages import page
from gateway.interface.simulator.access import Simulator, is_open

router = APIRouter(include_in_schema=False)


@router.get("/simulator")
async def choose(request: Request, simulator: Simulator) -> HTMLResponse:
    """The default tenant's simulator, or the oldest one's. Who needs a key is asked for it first,
    and the key says which shop it is."""
    if not is_open(request):
        return _page(None)
    shops = await simulator.shops()
    if not shops:
        raise NoSimulator
    default = container_of(request).settings.security.default_tenant
    return _page(next((shop for shop in shops if shop.slug == default), shops[0]))


@router.get("/simulator/{tenant}")
async def simulate(tenant: str, simulator: Simulator) -> HTMLResponse:
    """A tenant's simulator."""
    return _page(await simulator.shop(tenant))


def _page(shop: SimulatedShop | None) -> HTMLResponse:
    return page(
        "simulator/page.html",
        tenant=shop.slug if shop else "",
        title=shop.name if shop else "WhatsApp simulator",
    )
