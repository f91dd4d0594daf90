"""Hostile crowds: floods, bots that answer bots, races of one message, and strangers' addresses.

Each test carries the number of its class (docs/hostile-input.md).
"""

import asyncio
import itertools
import time

import pytest

from commerce_agent.domain.services.turn_rules import REPLIES_IN_A_ROW
from tests.fault.hostile.house import House, a_number
from tests.support.waha_webhooks import CUSTOMER, ENGINES, Engine, Webhook, Webhooks, new_native_id


async def test_61_a_hundred_messages_in_a_second_from_one_number(house: House) -> None:
    """All are stored in their order; one customer's flood costs a few answers, not a hundred."""
    number, hooks = a_number(), house.tenant.hooks
    now = time.time()
    flood = [hooks.message(f"pesan {n}", chat=number, at=now - 100 + n) for n in range(100)]
    async with house.visit() as visit:
        answers = await asyncio.gather(*(visit.as_waha(webhook.body) for webhook in flood))
    assert {answer.status_code for answer in answers} == {200}
    await house.settle()
    messages = await house.path.fetch(
        "SELECT body, answered_how FROM messages WHERE tenant_id = $1 ORDER BY sent_at",
        house.tenant.id,
    )
    assert [row["body"] for row in messages] == [f"pesan {n}" for n in range(100)]
    assert {row["answered_how"] for row in messages} <= {"ai", "handed_over"}
    assert len(house.path.said(number)) <= REPLIES_IN_A_ROW + 1


async def _crowd(house: House, people: int) -> None:
    numbers = [a_number() for _ in range(people)]
    hooks = house.tenant.hooks
    waiting = [hooks.message("halo", chat=number) for number in numbers]
    async with house.visit() as visit:
        while waiting:
            answers = await asyncio.gather(*(_posted(visit.house, each) for each in waiting))
            for answer in answers:
                assert answer[1] in (200, 503)
            waiting = [webhook for webhook, status in answers if status == 503]
    await house.settle()
    messages = await house.messages()
    assert sorted(message["sender"] for message in messages) == sorted(numbers)
    assert {message["answered_how"] for message in messages} == {"ai"}
    for number in numbers:
        assert house.path.said(number) == ["Jawaban untuk: halo"]


async def _posted(house: House, webhook: Webhook) -> tuple[Webhook, int]:
    """Accepted, or told to come again, and when."""
    answer = await house.path.deliver(webhook, to=house.tenant.shop)
    if answer.status_code == 503:
        assert int(answer.headers["retry-after"]) >= 1
    return webhook, answer.status_code


async def test_62_a_hundred_numbers_at_once(house: House) -> None:
    await _crowd(house, 100)


@pytest.mark.whole
async def test_62_a_thousand_numbers_at_once(house: House) -> None:
    await _crowd(house, 1_000)


async def test_63_a_bot_that_answers_every_answer_is_left_to_a_person(house: House) -> None:
    number, hooks = a_number(), house.tenant.hooks
    await house.deliver(hooks.message("halo", chat=number))
    await house.settle()
    for _ in range(REPLIES_IN_A_ROW + 5):
        last = house.path.said(number)[-1]
        assert last is not None
        await house.deliver(hooks.message(last, chat=number))
        await house.settle()
    conversation = await house.path.one(
        "SELECT owner, owner_reason FROM conversations WHERE tenant_id = $1", house.tenant.id
    )
    assert (conversation["owner"], conversation["owner_reason"]) == (
        "person",
        "handed over: too_many_replies",
    )
    replies = await house.path.fetch(
        "SELECT DISTINCT reply_id FROM sends WHERE tenant_id = $1 AND kind = 'ai'", house.tenant.id
    )
    assert len(replies) == REPLIES_IN_A_ROW


@pytest.mark.parametrize("engine", ENGINES)
async def test_64_a_message_its_edit_and_its_end_in_any_order(house: House, engine: Engine) -> None:
    """Whatever comes first: what was revoked is not answered, and nothing is stored twice."""
    hooks = Webhooks(engine=engine, session=house.tenant.hooks.session, push_name=None)
    orders = list(itertools.permutations(range(3)))
    numbers = [a_number() for _ in orders]
    for number, order in zip(numbers, orders, strict=True):
        native_id = new_native_id()
        events = [
            hooks.message("rahasia", chat=number, native_id=native_id),
            hooks.edited(native_id, "rahasia diubah", chat=number),
            hooks.revoked(native_id, chat=number),
        ]
        async with house.visit() as visit:
            for which in order:
                assert (await visit.as_waha(events[which].body)).status_code == 200
        await house.settle()
        assert not any("rahasia" in str(said) for said in house.path.said(number))
    messages = await house.messages()
    assert len(messages) == len(orders)
    assert all(message["revoked_at"] is not None for message in messages)


@pytest.mark.parametrize("engine", ENGINES)
async def test_64_what_may_be_seen_once_is_a_message_without_a_file(
    house: House, engine: Engine
) -> None:
    hooks = Webhooks(engine=engine, session=house.tenant.hooks.session, push_name=None)
    once = {
        "NOWEB": {"message": {"viewOnceMessageV2": {"message": {"imageMessage": {}}}}},
        "GOWS": {"Message": {"viewOnceMessage": {"message": {"imageMessage": {}}}}},
        "WEBJS": {"type": "image", "isViewOnce": True},
    }[engine]
    number = a_number()
    together = [
        hooks.message(None, chat=number, hasMedia=True, media=None, _data=once),
        hooks.message(None, chat=number, hasMedia=False, media=None, _data=once),
        hooks.stub(chat=number),
    ]
    async with house.visit() as visit:
        answers = await asyncio.gather(*(visit.as_waha(each.body) for each in together))
    assert {answer.status_code for answer in answers} == {200}
    await house.settle()
    messages = await house.messages()
    assert len(messages) == 3
    assert {message["answered_how"] for message in messages} <= {"ai", "nothing_to_answer"}
    assert "nothing_to_answer" in {message["answered_how"] for message in messages}


STRANGERS: dict[str, str] = {
    "status@broadcast": "status",
    "STATUS@BROADCAST": "status",
    "120363000000000001@g.us": "group",
    "62811-1400000000@g.us": "group",
    "120363000000000002@newsletter": "newsletter",
    "1700000000@broadcast": "broadcast",
    "0@c.us": "unknown_address",
    "@c.us": "unknown_address",
    "c.us": "unknown_address",
    "62811000111@": "unknown_address",
    "62811000111@evil.example": "unknown_address",
    "62811000111@c.us.evil.example": "unknown_address",
    "62811000111@@c.us": "unknown_address",
    "62811000111@bot": "unknown_address",
    "62811000111@call": "unknown_address",
    "62811000111@hosted": "unknown_address",
    "+62811000111@c.us": "unknown_address",
    "٦٢٨١١٠٠٠١١١@c.us": "unknown_address",
    "62811000111\0@c.us": "unknown_address",
    "'; DROP TABLE--@c.us": "unknown_address",
    "../../62811000111@c.us": "unknown_address",
    "9" * 200 + "@c.us": "unknown_address",
    "9" * 21 + "@lid": "unknown_address",
    "": "unknown_address",
}


@pytest.mark.parametrize("address", STRANGERS, ids=range(len(STRANGERS)))
async def test_65_an_address_that_is_no_person_is_answered_by_nobody(
    house: House, address: str
) -> None:
    hooks = house.tenant.hooks
    webhook = hooks.message("halo", chat=address)
    as_alternate = hooks.message("halo", chat=address, alternate=CUSTOMER)
    async with house.visit() as visit:
        for each in (webhook, as_alternate):
            assert (await visit.as_waha(each.body)).status_code == 200
    await house.settle()
    assert await house.fate(webhook.body) == ("ignored", STRANGERS[address])
    assert await house.fate(as_alternate.body) == ("ignored", STRANGERS[address])
    assert await house.count("messages") == await house.count("sends") == 0


async def test_65_a_hidden_person_without_a_number_is_served_under_the_hidden_address(
    house: House,
) -> None:
    lid = f"{a_number()[:13]}@lid"
    async with house.visit() as visit:
        body = house.tenant.hooks.message("halo", chat=lid).body
        assert (await visit.as_waha(body)).status_code == 200
    await house.settle()
    assert house.path.said(lid) == ["Jawaban untuk: halo"]
    customer = await house.path.one(
        "SELECT phone FROM customers WHERE tenant_id = $1 AND phone IS DISTINCT FROM $2",
        house.tenant.id,
        f"+{house.tenant.phone[:13]}",
    )
    assert customer["phone"] is None
