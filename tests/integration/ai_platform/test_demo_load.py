"""Laying out the demo shop on a real database."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from ai_platform.demo.opening import open_shop
from ai_platform.demo.shop import kopi_braga
from ai_platform.embedded import credentials
from ai_platform.embedded.credentials import DemoCredentials
from ai_platform.embedded.data_dir import DataDir
from gateway.application.services.authentication import Authentication
from gateway.domain.entities.api_key import Scope
from gateway.infrastructure.persistence.api_keys import SqlApiKeyStore
from shared.kernel.errors import Unauthorized
from shared.persistence.database import Database
from shared.security.crypto import KeyRing, new_secret_key
from tests.support.postgres import TestDatabase

MASTER_KEY = SecretStr(new_secret_key())
PEPPER = SecretStr(new_secret_key())
COUNTED = ("tenants", "channels", "products", "variants", "search_synonyms", "simulator_customers")


async def _open(database: Database, folder: Path, *, login: bool = True) -> DemoCredentials:
    return await open_shop(DataDir(folder), database, KeyRing(MASTER_KEY), PEPPER, login=login)


async def _counts(test_database: TestDatabase) -> Sequence[object]:
    return [await test_database.fetchval(f"SELECT count(*) FROM {table}") for table in COUNTED]


async def _is_in_force(database: Database, api_key: str | None) -> bool:
    try:
        caller = await Authentication(SqlApiKeyStore(database), PEPPER).caller(f"Bearer {api_key}")
    except Unauthorized:
        return False
    return caller.may(Scope.PRODUCTS_WRITE) and not caller.is_operator


async def test_the_shop_is_laid_out(
    database: Database, test_database: TestDatabase, tmp_path: Path
) -> None:
    demo = await _open(database, tmp_path)
    shop = kopi_braga()
    variants = sum(len(product.variants) for product in shop.products)
    expected = [1, 1, len(shop.products), variants, len(shop.synonyms), len(shop.customers)]
    assert await _counts(test_database) == expected
    [tenant] = await test_database.fetch("SELECT id, slug, llm_config_name, profile FROM tenants")
    assert (str(tenant["id"]), tenant["slug"]) == (demo.tenant_id, "kopi-braga")
    assert tenant["llm_config_name"] == "offline"
    assert "Jl. Braga No. 12, Bandung" in str(tenant["profile"])
    [channel] = await test_database.fetch("SELECT id, kind, state FROM channels")
    assert (str(channel["id"]), channel["kind"]) == (demo.channel_id, "simulator")
    assert await _is_in_force(database, demo.api_key)
    assert credentials.load_demo(DataDir(tmp_path)) == demo


async def test_every_product_has_its_picture(
    database: Database, test_database: TestDatabase, tmp_path: Path
) -> None:
    await _open(database, tmp_path)
    rows = await test_database.fetch("SELECT images->>0 AS picture FROM products")
    assert all((tmp_path / "media" / row["picture"]).is_file() for row in rows)


async def test_doing_it_again_changes_nothing(
    database: Database, test_database: TestDatabase, tmp_path: Path
) -> None:
    first = await _open(database, tmp_path)
    before = await _counts(test_database)
    await test_database.execute("UPDATE variants SET on_hand = 7 WHERE sku = 'KP-ESP-S'")
    assert await _open(database, tmp_path) == first
    assert await _counts(test_database) == before
    # also when nobody remembers the first time: the stock that was counted stays
    (tmp_path / "demo.json").unlink()
    again = await _open(database, tmp_path)
    assert await _counts(test_database) == before
    assert (again.tenant_id, again.channel_id) == (first.tenant_id, first.channel_id)
    assert again.webhook_secret == first.webhook_secret
    assert await test_database.fetchval("SELECT on_hand FROM variants WHERE sku = 'KP-ESP-S'") == 7


async def test_a_server_that_others_reach_ends_the_demo_login(
    database: Database, test_database: TestDatabase, tmp_path: Path
) -> None:
    private = await _open(database, tmp_path)
    public = await _open(database, tmp_path, login=False)
    assert public.api_key is None
    assert not await _is_in_force(database, private.api_key)
    again = await _open(database, tmp_path)
    assert again.api_key not in (None, private.api_key)
    assert await _is_in_force(database, again.api_key)
    assert not await _is_in_force(database, private.api_key)


async def test_a_new_database_gets_a_new_shop(
    database: Database, test_database: TestDatabase, tmp_path: Path
) -> None:
    """The credentials of a database that was dropped do not count."""
    stale = DemoCredentials(
        tenant_id="019ab000-0000-7000-8000-000000000000",
        tenant_slug="kopi-braga",
        channel_id="019ab000-0000-7000-8000-000000000001",
        webhook_secret="gone",
        api_key="aip_aaaaaaaaaaaa_" + "x" * 43,
        catalogue=kopi_braga().fingerprint,
    )
    (tmp_path / "media").mkdir()
    credentials.save_demo(DataDir(tmp_path), stale)
    made = await _open(database, tmp_path)
    assert made.tenant_id != stale.tenant_id
    assert await _is_in_force(database, made.api_key)
