"""Who may play customers: anybody at this machine, everybody else with a key of the shop."""

import re
from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Request

from gateway.application.ports.simulated_phone import SimulatedShop
from gateway.application.services.simulator_service import NoSimulator, SimulatorService
from gateway.crm.dependencies import container_of
from gateway.domain.entities.api_key import Caller, Scope
from shared.kernel.errors import NotFound

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[0-9a-z.-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
"""All of a Host header: ``urlsplit`` finds ``::1`` in ``[::1].evil.example``."""
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class SimulatorOff(NotFound):
    """There is no simulator here."""

    code = "no_simulator"


def is_open(request: Request) -> bool:
    """Whether no key is needed: the server listens on loopback only and the caller is on this
    machine, came directly, and is not another site's page in this machine's browser."""
    settings = container_of(request).settings.http
    host = request.client.host if request.client else ""
    if not (_is_loopback(settings.http_host) and _is_loopback(host)):
        return False
    if any(name in request.headers for name in _FORWARDED):
        return False  # a proxy on this machine speaks for somebody who is not
    # a name that was rebound to 127.0.0.1 still stands in the Host header
    asked = request.headers.get("host", "")
    if not _is_loopback(_host_of(asked)):
        return False
    return request.headers.get("origin") in (None, f"http://{asked}", f"https://{asked}")


async def simulator(request: Request) -> SimulatorService:
    """Raises SimulatorOff unless the simulator is switched on."""
    container = container_of(request)
    if not container.settings.http.simulator_enabled:
        raise SimulatorOff
    return container.simulator


Simulator = Annotated[SimulatorService, Depends(simulator)]


async def caller_unless_open(request: Request, _: Simulator) -> Caller | None:
    """The key's caller; ``None`` when none is needed. Raises Unauthorized, ScopeMissing."""
    if is_open(request):
        return None
    authentication = container_of(request).authentication
    caller = await authentication.caller(request.headers.get("authorization"))
    caller.require(Scope.SIMULATOR)
    return caller


MaybeCaller = Annotated[Caller | None, Depends(caller_unless_open)]


async def shop_of_path(tenant: str, caller: MaybeCaller, phones: Simulator) -> SimulatedShop:
    """The shop whose customers are played. Raises NoSimulator."""
    if caller is None:
        return await phones.shop(tenant)
    if not caller.speaks_for(tenant):
        raise NoSimulator
    return await phones.shop(str(caller.tenant_id))


Shop = Annotated[SimulatedShop, Depends(shop_of_path)]


def _host_of(header: str) -> str:
    found = _HOST.fullmatch(header)
    return found[1].lower() if found else ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
