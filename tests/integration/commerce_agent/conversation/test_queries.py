"""What screens and REST are shown."""

import pytest

from commerce_agent.application.queries.conversation_queries import ReplyNotFound
from commerce_agent.application.queries.page import BadCursor, BadLimit
from commerce_agent.domain.entities.conversation import ConversationNotFound
from commerce_agent.domain.value_objects.conversation_state import Owner
from commerce_agent.domain.value_objects.ids import ReplyId
from commerce_agent.infrastructure.persistence.conversation_queries import (
    SqlConversationQueries,
)
from shared.kernel.ids import ConversationId, new_id
from tests.integration.commerce_agent.conversation.conftest import Desk
from tests.support import rows


@pytest.fixture
def queries(desk: Desk) -> SqlConversationQueries:
    return SqlConversationQueries(desk.work.database)


async def test_a_conversation_with_all_that_a_list_shows(
    desk: Desk, queries: SqlConversationQueries
) -> None:
    await desk.hears("halo")
    await desk.db.execute("UPDATE customers SET name = 'Ani'")
    row = await queries.get(desk.tenant, await desk.conversation_id())

    assert (row.customer_name, row.customer_phone) == ("Ani", "+6281230000001")
    assert (row.owner, row.unanswered, row.last_text) == (Owner.AI, 1, "halo")
    await desk.drain()
    row = await queries.get(desk.tenant, row.id)
    assert (row.unanswered, row.last_text) == (0, "Jawaban untuk: halo")


async def test_pages_go_through_all_conversations_the_latest_first(
    desk: Desk, queries: SqlConversationQueries
) -> None:
    chats = [f"62812300000{number:02}@c.us" for number in range(5)]
    for chat in chats:
        await desk.hears("halo", chat=chat)
    found: list[str] = []
    cursor = None
    while True:
        page = await queries.list(desk.tenant, limit=2, cursor=cursor)
        found += [row.address for row in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert sorted(found) == chats
    latest = [row.last_message_at for row in (await queries.list(desk.tenant, limit=200)).data]
    assert latest == sorted(latest, key=lambda at: at.timestamp() if at else 0, reverse=True)


async def test_a_list_by_owner_shows_only_those(
    desk: Desk, queries: SqlConversationQueries
) -> None:
    await desk.hears("halo")
    await desk.hears("halo", chat="6281230000009@c.us")
    mine = await desk.conversation_id("6281230000009@c.us")
    await desk.people.take_over(desk.tenant, mine, actor="rina")

    page = await queries.list(desk.tenant, owner=Owner.PERSON)
    assert [row.id for row in page.data] == [mine]


async def test_the_thread_shows_both_sides_with_their_states(
    desk: Desk, queries: SqlConversationQueries
) -> None:
    await desk.hears("halo")
    await desk.drain()
    await desk.db.execute("UPDATE sends SET state = 'sent', native_id = '3EB0OURS', ack = 3")
    conversation_id = await desk.conversation_id()
    await desk.people.send_as_staff(desk.tenant, conversation_id, "Ada lagi?", actor="rina")
    await desk.hears("tidak")

    page = await queries.messages(desk.tenant, conversation_id)
    shown = [(row.direction, row.by, row.text, row.state, row.ack) for row in page.data]
    assert shown == [
        ("in", "customer", "tidak", "waiting", None),
        ("out", "staff", "Ada lagi?", "pending", None),
        ("out", "ai", "Jawaban untuk: halo", "sent", 3),
        ("in", "customer", "halo", "ai", None),
    ]
    assert page.data[1].author == "rina"
    assert page.data[2].reply_id == page.data[3].reply_id


async def test_the_thread_in_pages_misses_and_repeats_nothing(
    desk: Desk, queries: SqlConversationQueries
) -> None:
    texts = [f"pesan {number}" for number in range(7)]
    await desk.hears(*texts)
    conversation_id = await desk.conversation_id()
    found: list[str | None] = []
    cursor = None
    while True:
        page = await queries.messages(desk.tenant, conversation_id, limit=3, cursor=cursor)
        found += [row.text for row in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(text for text in found if text) == texts


async def test_why_this_reply(desk: Desk, queries: SqlConversationQueries) -> None:
    await desk.hears("halo")
    await desk.drain()
    reply_id = ReplyId(await desk.db.fetchval("SELECT reply_id FROM sends"))  # type: ignore[arg-type]
    turn = await queries.why(desk.tenant, reply_id)

    assert (turn.outcome, turn.model, turn.prompt_version) == ("replied", "scripted", "test-1")
    assert [(step.kind, step.name) for step in turn.steps] == [
        ("read", None),
        ("model", "scripted"),
    ]
    assert turn.steps[0].body["text"] == "halo"
    with pytest.raises(ReplyNotFound):
        await queries.why(desk.tenant, ReplyId(new_id()))


async def test_another_tenant_sees_nothing(desk: Desk, queries: SqlConversationQueries) -> None:
    await desk.hears("halo")
    await desk.drain()
    other = await rows.a_tenant(desk.db)
    conversation_id = await desk.conversation_id()
    reply_id = ReplyId(await desk.db.fetchval("SELECT reply_id FROM sends"))  # type: ignore[arg-type]

    assert (await queries.list(other)).data == ()
    with pytest.raises(ConversationNotFound):
        await queries.get(other, conversation_id)
    with pytest.raises(ConversationNotFound):
        await queries.messages(other, conversation_id)
    with pytest.raises(ReplyNotFound):
        await queries.why(other, reply_id)


async def test_bad_cursors_and_limits_are_refused(
    desk: Desk, queries: SqlConversationQueries
) -> None:
    with pytest.raises(BadCursor):
        await queries.list(desk.tenant, cursor="rubbish")
    with pytest.raises(BadLimit):
        await queries.messages(desk.tenant, ConversationId(new_id()), limit=0)
