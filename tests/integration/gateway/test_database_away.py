"""While the database is away the gateway says so and accepts nothing; then it goes on by itself."""

import asyncio

from tests.integration.gateway.conftest import (
    a_key,
    a_shop,
    an_event,
    is_problem,
    running,
    settings_for,
)
from tests.support.postgres import PostgresForTests


async def test_an_outage_is_503_with_retry_after_and_ends_by_itself() -> None:
    async with PostgresForTests(private=True) as server:
        assert server.server is not None
        database = await server.database()
        shop = await a_shop(database)
        key = await a_key(database, shop)
        products = f"/v1/crm/tenants/{shop.id}/products"
        async with running(settings_for(database)) as http:
            body = an_event()
            first = await http.post(shop.webhook, content=body, headers=shop.signed(body))
            assert first.status_code == 200
            assert (await http.get(products, headers=key)).status_code == 200

            server.server.stop(immediately=True)
            lost = an_event("ketika mati")
            refused = await http.post(shop.webhook, content=lost, headers=shop.signed(lost))
            is_problem(refused, 503, "inbox_unavailable")
            assert int(refused.headers["retry-after"]) >= 1
            is_problem(await http.get(products, headers=key), 503, "database_unavailable")
            ready = is_problem(await http.get("/ready"), 503, "not_ready")
            assert ready["checks"]["database"] == "missing"
            assert (await http.get("/health")).status_code == 200

            server.server.start()
            async with asyncio.timeout(20):
                while (
                    await http.post(shop.webhook, content=lost, headers=shop.signed(lost))
                ).status_code != 200:
                    await asyncio.sleep(0.1)
            assert (await http.get("/ready")).status_code == 200
            rows = await database.fetch("SELECT body FROM inbox_events")
            assert {bytes(row["body"]) for row in rows} == {body, lost}
            assert len(rows) == 2
