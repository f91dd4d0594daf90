from shared.persistence.database import Database
from tests.support.postgres import TestDatabase


async def test_a(database: Database, test_database: TestDatabase) -> None:
    assert await test_database.fetchval("select count(*) from tenants") == 0


def test_r(redis_server):
    assert redis_server.url
