"""WhatsApp for integrators: sending, and the sessions behind the numbers."""

import base64
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from gateway.crm.dependencies import ChannelList, CurrentCaller, KeyFor, Sending, Sessions
from gateway.domain.entities.api_key import Scope
from gateway.interface.errors import errors
from gateway.interface.http.api_route import ApiRoute
from gateway.interface.schemas.common import Cursor, Limit, PageOf, page_of
from gateway.interface.schemas.whatsapp import QrAnswer, SendBody, SentAnswer, SessionAnswer
from shared.kernel.ids import ChannelId, ConversationId, TenantId
from shared.waha.client import SessionState

router = APIRouter(prefix="/v1/whatsapp", tags=["whatsapp"], route_class=ApiRoute)

Reader = Annotated[TenantId, Depends(KeyFor(Scope.CHANNELS_READ))]
Writer = Annotated[TenantId, Depends(KeyFor(Scope.CHANNELS_WRITE))]
Sender = Annotated[TenantId, Depends(KeyFor(Scope.CONVERSATIONS_WRITE))]


@router.post("/send", status_code=202, responses=errors(409))
async def send(
    body: SendBody, tenant: Sender, caller: CurrentCaller, sending: Sending
) -> SentAnswer:
    """Tell a customer something, by phone number or conversation. Who answers in the conversation
    does not change; to answer as a person, post to the conversation's messages. A customer who has
    opted out is told nothing: 409 `customer_opted_out`."""
    if body.conversation_id is not None:
        conversation, sent = await sending.to_conversation(
            tenant, ConversationId(body.conversation_id), body.text, actor=caller.name
        )
    else:
        via = ChannelId(body.channel_id) if body.channel_id else None
        conversation, sent = await sending.to_phone(
            tenant, body.to or "", body.text, via=via, actor=caller.name
        )
    return SentAnswer(conversation_id=conversation, send_ids=list(sent))


@router.get("/sessions")
async def list_sessions(
    tenant: Reader, channels: ChannelList, limit: Limit = 50, cursor: Cursor = None
) -> PageOf[SessionAnswer]:
    """The sessions of the shop's WAHA numbers, as their servers last reported them."""
    page = await channels.list(tenant, limit=limit, cursor=cursor, kind="waha")
    return page_of(
        page,
        lambda row: SessionAnswer(
            channel_id=row.id, session=row.session, status=row.state, phone=row.phone
        ),
    )


@router.get("/sessions/{channel_id}", responses=errors(409, 503))
async def get_session(
    channel_id: ChannelId, tenant: Reader, channels: ChannelList, sessions: Sessions
) -> SessionAnswer:
    """How a number's session is right now, asked of its server."""
    state = await sessions.status(tenant, channel_id)
    return await _answer(tenant, channel_id, state, channels)


@router.get(
    "/sessions/{channel_id}/qr",
    response_model=QrAnswer,
    responses={200: {"content": {"image/png": {}}}, **errors(409, 503)},
)
async def get_qr(
    channel_id: ChannelId,
    tenant: Writer,
    sessions: Sessions,
    accept: Annotated[str, Header()] = "image/png",
) -> Response | QrAnswer:
    """The code to scan with the phone: a PNG, or JSON when `Accept` prefers it."""
    png = await sessions.qr(tenant, channel_id)
    if "application/json" in accept:
        return QrAnswer(data=base64.b64encode(png).decode())
    return Response(png, media_type="image/png")


@router.post("/sessions/{channel_id}/start", responses=errors(409, 503))
async def start_session(
    channel_id: ChannelId, tenant: Writer, channels: ChannelList, sessions: Sessions
) -> SessionAnswer:
    """Start the session, with its events going to this number's webhook. WAHA is told all it needs
    if it does not know the session, or not our webhook or its present secret; a session that runs
    and knows them stays as it is."""
    state = await sessions.start(tenant, channel_id)
    return await _answer(tenant, channel_id, state, channels)


@router.post("/sessions/{channel_id}/restart", responses=errors(409, 503))
async def restart_session(
    channel_id: ChannelId, tenant: Writer, channels: ChannelList, sessions: Sessions
) -> SessionAnswer:
    """Stop and start the session; it keeps its login."""
    state = await sessions.restart(tenant, channel_id)
    return await _answer(tenant, channel_id, state, channels)


async def _answer(
    tenant: TenantId, channel_id: ChannelId, state: SessionState, channels: ChannelList
) -> SessionAnswer:
    channel = await channels.get(tenant, channel_id)
    return SessionAnswer(
        channel_id=channel_id,
        session=channel.session,
        status=state.status,
        phone=state.phone,
        engine=state.engine,
    )
