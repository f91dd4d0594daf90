"""What only the database can promise: locks, events, effects and what orders do meanwhile."""

import asyncio
import json
from dataclasses import replace

import pytest

from commerce_agent.application.ports.shop_agent import EffectKey, Fenced, ToolRequest
from commerce_agent.domain.entities.customer import Customer
from commerce_agent.domain.entities.product import (
    ProductDraft,
    SkuTaken,
    StockBelowReserved,
    VariantDraft,
)
from commerce_agent.domain.entities.tenant import SlugTaken
from commerce_agent.domain.services.optimistic_lock import ChangedMeanwhile
from commerce_agent.domain.value_objects.ids import CustomerId, TurnId
from shared.kernel.money import Money
from tests.integration.commerce_agent.catalog.conftest import NOW, Shop
from tests.support import rows
from tests.support.postgres import TestDatabase

DRAFT = ProductDraft(
    name="Kopi Susu",
    variants=[VariantDraft(sku="KS-1", price=Money(25_000, "IDR"), on_hand=10)],
)


async def test_making_a_tenant_writes_its_event_with_it(
    sql_shop: Shop, test_database: TestDatabase
) -> None:
    tenant = await sql_shop.a_tenant("kopi")
    with pytest.raises(SlugTaken):
        await sql_shop.a_tenant("kopi")

    events = await test_database.fetch("SELECT * FROM domain_events")
    assert [(e["tenant_id"], e["name"], json.loads(e["body"])) for e in events] == [
        (tenant.id, "tenant.created", {"slug": "kopi"})
    ]
    assert await test_database.fetchval("SELECT count(*) FROM tenants") == 1


async def test_events_are_written_with_what_they_tell_of(
    sql_shop: Shop, test_database: TestDatabase
) -> None:
    tenant = await sql_shop.a_tenant()
    product = await sql_shop.products.create(tenant.id, DRAFT)
    variant_id = product.variants[0].id
    await sql_shop.products.set_price(tenant.id, product.id, variant_id, Money(26_000, "IDR"))
    await sql_shop.products.set_price(tenant.id, product.id, variant_id, Money(26_000, "IDR"))
    customer = await sql_shop.customers.create(tenant.id, name="Siti")
    await sql_shop.customers.update(tenant.id, customer.id, name="Sita", note="VIP")

    events = await test_database.fetch("SELECT * FROM domain_events ORDER BY tx, id")
    assert [event["name"] for event in events] == [
        "tenant.created",
        "product.created",
        "variant.price_changed",
        "customer.created",
        "customer.updated",
    ]
    assert {event["occurred_at"] for event in events} == {NOW}
    assert json.loads(events[2]["body"]) == {
        "product_id": str(product.id),
        "variant_id": str(variant_id),
        "amount": 26_000,
        "currency": "IDR",
    }
    assert json.loads(events[4]["body"]) == {
        "customer_id": str(customer.id),
        "fields": ["name", "note"],
    }


async def test_a_refused_commit_writes_no_event(
    sql_shop: Shop, test_database: TestDatabase
) -> None:
    tenant = await sql_shop.a_tenant()
    product = await sql_shop.products.create(tenant.id, DRAFT)
    async with sql_shop.uow(tenant.id) as first, sql_shop.uow(tenant.id) as second:
        (await first.products.get(product.id)).rename("Satu", at=NOW)
        (await second.products.get(product.id)).rename("Dua", at=NOW)
        await first.commit()
        with pytest.raises(ChangedMeanwhile):
            await second.commit()

    count = "SELECT count(*) FROM domain_events WHERE name = 'product.updated'"
    assert await test_database.fetchval(count) == 1


async def test_two_makers_of_one_sku_at_once_make_one(sql_shop: Shop) -> None:
    tenant = await sql_shop.a_tenant()

    made = await asyncio.gather(
        *(sql_shop.products.create(tenant.id, DRAFT) for _ in range(4)), return_exceptions=True
    )

    refused = [outcome for outcome in made if isinstance(outcome, BaseException)]
    assert len(refused) == 3
    assert {type(error) for error in refused} == {SkuTaken}


async def test_a_sale_since_the_count_makes_the_count_void(
    sql_shop: Shop, test_database: TestDatabase
) -> None:
    tenant = await sql_shop.a_tenant()
    product = await sql_shop.products.create(tenant.id, DRAFT)
    async with sql_shop.uow(tenant.id) as uow:
        read = await uow.products.get(product.id)
        await test_database.execute("UPDATE variants SET on_hand = 9")  # one was sold
        read.set_stock(read.variants[0].id, 12, at=NOW)
        with pytest.raises(ChangedMeanwhile):
            await uow.commit()

    assert await test_database.fetchval("SELECT on_hand FROM variants") == 9


async def test_a_reservation_since_the_count_refuses_a_lower_one(
    sql_shop: Shop, test_database: TestDatabase
) -> None:
    tenant = await sql_shop.a_tenant()
    product = await sql_shop.products.create(tenant.id, DRAFT)
    async with sql_shop.uow(tenant.id) as uow:
        read = await uow.products.get(product.id)
        await test_database.execute("UPDATE variants SET reserved = 6")
        read.set_stock(read.variants[0].id, 5, at=NOW)
        with pytest.raises(StockBelowReserved):
            await uow.commit()

    assert await test_database.fetchval("SELECT on_hand FROM variants") == 10


async def test_a_reservation_since_the_reading_survives_other_changes(
    sql_shop: Shop, test_database: TestDatabase
) -> None:
    tenant = await sql_shop.a_tenant()
    product = await sql_shop.products.create(tenant.id, DRAFT)
    async with sql_shop.uow(tenant.id) as uow:
        read = await uow.products.get(product.id)
        await test_database.execute("UPDATE variants SET reserved = 4")
        read.set_price(read.variants[0].id, Money(26_000, "IDR"), at=NOW)
        await uow.commit()

    after = (await sql_shop.products.get(tenant.id, product.id)).variants[0]
    assert (after.price.amount, after.reserved, after.stock) == (26_000, 4, 6)
    with pytest.raises(StockBelowReserved) as refused:
        await sql_shop.products.set_stock(tenant.id, product.id, after.id, 3)
    assert refused.value.data == {"sku": "KS-1", "reserved": 4, "wanted": 3}


async def test_what_others_keep_in_a_channels_row_is_not_undone(
    sql_shop: Shop, test_database: TestDatabase
) -> None:
    tenant = await sql_shop.a_tenant()
    channel_id = await rows.a_channel(test_database, tenant.id)
    async with sql_shop.uow(tenant.id) as uow:
        channel = await uow.channels.get(channel_id)
        await test_database.execute("UPDATE channels SET state = 'failed', gap_repair = 'off'")
        channel.update(name="Cabang", at=NOW)
        await uow.commit()

    row = (await test_database.fetch("SELECT name, state, gap_repair FROM channels"))[0]
    assert tuple(row) == ("Cabang", "failed", "off")


async def test_two_first_messages_of_one_person_meet_one_customer(
    sql_shop: Shop, test_database: TestDatabase
) -> None:
    tenant = await sql_shop.a_tenant()
    addresses = ("628123456789@c.us", "1@lid")

    async def first_message(order: int) -> CustomerId:
        async with sql_shop.uow(tenant.id) as uow:
            found = await uow.customers.find_by_addresses(addresses[::order])
            if found:
                return found[0].id
            met = Customer.meet(tenant_id=tenant.id, addresses=addresses, at=NOW)
            uow.customers.add(met)
            await uow.commit()
            return met.id

    met = await asyncio.gather(*(first_message(order) for order in (1, -1, 1, -1)))

    assert len(set(met)) == 1
    assert await test_database.fetchval("SELECT count(*) FROM customers") == 1


async def an_effect(db: TestDatabase, shop: Shop) -> tuple[EffectKey, CustomerId]:
    tenant = await shop.a_tenant()
    channel_id = await rows.a_channel(db, tenant.id)
    talk = await rows.a_conversation(db, tenant.id, channel_id, lease_epoch=3)
    turn_id = await rows.a_turn(db, talk)
    effect = EffectKey(
        tenant_id=tenant.id,
        conversation_id=talk.id,
        turn_id=TurnId(turn_id),
        step=2,
        call=0,
        lease_epoch=3,
        owner_epoch=1,
        request=ToolRequest(id="call-1", name="update_customer_profile", args={"name": "Siti"}),
    )
    return effect, CustomerId(talk.customer_id)


async def test_an_effect_that_has_happened_returns_what_it_said_and_does_nothing(
    sql_shop: Shop, test_database: TestDatabase
) -> None:
    effect, customer_id = await an_effect(test_database, sql_shop)
    tell = sql_shop.customers.update_profile

    first = await tell(effect.tenant_id, customer_id, name="Siti", effect=effect)
    await sql_shop.customers.update(effect.tenant_id, customer_id, name="Sita")
    again = await tell(effect.tenant_id, customer_id, name="Siti", effect=effect)

    assert first == again == '{"updated":["name"]}'
    assert (await sql_shop.customers.get(effect.tenant_id, customer_id)).name == "Sita"
    steps = await test_database.fetch("SELECT step, call, kind, name, result FROM turn_steps")
    assert [tuple(step) for step in steps] == [(2, 0, "tool", "update_customer_profile", first)]


async def test_a_fenced_effect_changes_nothing(sql_shop: Shop, test_database: TestDatabase) -> None:
    effect, customer_id = await an_effect(test_database, sql_shop)

    for stale in (replace(effect, lease_epoch=2), replace(effect, owner_epoch=9)):
        with pytest.raises(Fenced):
            await sql_shop.customers.update_profile(
                effect.tenant_id, customer_id, name="Siti", effect=stale
            )

    assert (await sql_shop.customers.get(effect.tenant_id, customer_id)).name is None
    assert await test_database.fetchval("SELECT count(*) FROM turn_steps") == 0
