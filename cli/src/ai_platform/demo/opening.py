"""The demo shop of one installation: laying it out when it is missing, knowing how to enter it."""

from pathlib import Path
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import select

from ai_platform.demo.shop import kopi_braga
from ai_platform.embedded import credentials as stored
from ai_platform.embedded.credentials import DemoCredentials
from ai_platform.embedded.data_dir import DataDir
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.tables import tenants
from shared.persistence.unit_of_work import Transaction
from shared.security.crypto import KeyRing


async def open_shop(
    data_dir: DataDir, database: Database, keys: KeyRing, pepper: SecretStr, *, login: bool
) -> DemoCredentials:
    """Lay out the demo shop where it is missing; keep its credentials in the data directory.

    With ``login`` there is an API key afterwards, without it the one there was is revoked.

    Raises:
        Undecipherable: the shop was made under another MASTER_KEY.
    """
    known = stored.load_demo(data_dir)
    if known is not None and await _is_complete(known, database, data_dir.media, login=login):
        return known
    # a warm start does without the seconds that importing the services takes
    from ai_platform.demo.load import DemoLoader

    loader = DemoLoader.over(database, keys, pepper, data_dir.media)
    demo = await loader.load(kopi_braga(), known=known, login=login)
    stored.save_demo(data_dir, demo)
    return demo


async def _is_complete(
    demo: DemoCredentials, database: Database, media: Path, *, login: bool
) -> bool:
    has_login = demo.api_key is not None
    if demo.catalogue != kopi_braga().fingerprint or has_login is not login or not media.exists():
        return False
    tenant_id = TenantId(UUID(demo.tenant_id))
    async with Transaction(database, tenant_id) as tx:
        found = await tx.connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id))
        return found.one_or_none() is not None
