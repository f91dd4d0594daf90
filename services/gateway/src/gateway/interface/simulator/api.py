"""The simulator's routes for its page and for `ai-platform chat`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from gateway.application.ports.simulated_phone import AnswerState, SimulatedCustomer
from gateway.application.services.simulator_service import MIMETYPES, NoSuchPhone
from gateway.crm.dependencies import container_of
from gateway.interface.errors import errors
from gateway.interface.schemas.simulator import (
    ChatAnswer,
    CustomerAnswer,
    CustomerBody,
    CustomersAnswer,
    InfoAnswer,
    MessageAnswer,
    MessageBody,
    ReplyAnswer,
    SeenAnswer,
    SentAnswer,
    ShopAnswer,
)
from gateway.interface.simulator.access import MaybeCaller, Shop, Simulator, is_open
from gateway.interface.simulator.delivery import Delivery
from gateway.interface.simulator.events import CHANGED, topic
from shared.waha.addresses import ChatAddress, normalise, phone_of

router = APIRouter(prefix="/simulator/api", tags=["simulator"], responses=errors(401, 404))


def checked_address(address: str) -> ChatAddress:
    """Raises NoSuchPhone for what is no address of a person."""
    found = normalise(address)
    if found is None or phone_of(found) is None:
        raise NoSuchPhone
    return found


Address = Annotated[ChatAddress, Depends(checked_address)]


@router.get("/info")
async def info(request: Request, caller: MaybeCaller, simulator: Simulator) -> InfoAnswer:
    """The shops that can be written to: all of them on this machine, else the key's own."""
    shops = [
        shop
        for shop in await simulator.shops()
        if caller is None or shop.tenant_id == caller.tenant_id
    ]
    return InfoAnswer(open=is_open(request), tenants=[ShopAnswer.of(shop) for shop in shops])


@router.get("/tenants/{tenant}/customers")
async def list_customers(shop: Shop, simulator: Simulator) -> CustomersAnswer:
    """The simulated customers, those who wrote last first."""
    customers = await simulator.customers(shop)
    return CustomersAnswer(data=[_customer(customer) for customer in customers])


@router.post("/tenants/{tenant}/customers", status_code=201)
async def add_customer(body: CustomerBody, shop: Shop, simulator: Simulator) -> CustomerAnswer:
    """A new simulated customer; the same number again is the same one."""
    return _customer(await simulator.add_customer(shop, name=body.name, phone=body.phone))


@router.get("/tenants/{tenant}/customers/{address}/messages")
async def list_messages(
    shop: Shop,
    address: Address,
    simulator: Simulator,
    after: Annotated[str | None, Query(max_length=256)] = None,
) -> ChatAnswer:
    """What the phone shows, oldest first; at most the latest 200."""
    chat = await simulator.chat(shop, address, after=after)
    return ChatAnswer(
        data=[
            MessageAnswer.of(
                message,
                {"url": _media_path(shop.slug, message.native_id)}
                if message.from_customer and message.content.get("type") == "image"
                else {},
            )
            for message in chat.messages
        ],
        owner=chat.owner,
    )


@router.post("/tenants/{tenant}/customers/{address}/messages", status_code=202)
async def send_message(
    body: MessageBody,
    request: Request,
    shop: Shop,
    address: Address,
    simulator: Simulator,
    deliver: Delivery,
) -> SentAnswer:
    """Write to the shop as this customer, through the same webhook that WAHA uses."""
    native_id = await simulator.send(shop, address, body.sent(), deliver)
    await container_of(request).cache.publish(topic(shop, address), CHANGED)
    return SentAnswer(native_id=native_id)


@router.get("/tenants/{tenant}/customers/{address}/messages/{native_id}/answer")
async def get_answer(
    native_id: str, shop: Shop, address: Address, simulator: Simulator
) -> ReplyAnswer:
    """What became of a message: whether it is answered, with which bubbles, all sent or not."""
    return _reply(await simulator.answer(shop, address, native_id))


@router.post("/tenants/{tenant}/customers/{address}/seen")
async def see_messages(
    shop: Shop, address: Address, simulator: Simulator, deliver: Delivery
) -> SeenAnswer:
    """The chat is on the screen: the shop's bubbles are read, and WhatsApp tells it so."""
    return SeenAnswer(seen=await simulator.see(shop, address, deliver))


@router.get(
    "/tenants/{tenant}/media/{native_id}",
    response_class=Response,
    responses={200: {"content": {mimetype: {} for mimetype in MIMETYPES}}},
)
async def get_picture(native_id: str, shop: Shop, simulator: Simulator) -> Response:
    """A picture of a simulated chat."""
    picture = await simulator.picture(shop, native_id)
    return Response(
        picture.data,
        media_type=picture.mimetype,
        headers={
            "cache-control": "private, max-age=86400",
            "content-security-policy": "default-src 'none'; sandbox",
        },
    )


def _media_path(tenant: str, native_id: str) -> str:
    return f"/simulator/api/tenants/{tenant}/media/{native_id}"


def _customer(customer: SimulatedCustomer) -> CustomerAnswer:
    return CustomerAnswer(
        address=customer.address,
        name=customer.name,
        phone=phone_of(customer.address) or "",
        last_text=customer.last_text,
        last_at=customer.last_at,
        unseen=customer.unseen,
    )


def _reply(answer: AnswerState) -> ReplyAnswer:
    return ReplyAnswer.model_validate(answer)
