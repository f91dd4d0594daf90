"""A real WAHA server is plugged in by three settings and one request."""

from pathlib import Path
from uuid import UUID

import httpx2

from shared.kernel.ids import TenantId
from tests.support.fake_waha import FakeWaha
from tests.support.stack import Json, Stack, until
from tests.support.waha_webhooks import CUSTOMER, Webhooks

SLUG = "kopi-senja"


async def test_two_settings_and_a_start_connect_a_number(tmp_path: Path) -> None:
    async with FakeWaha(engine="GOWS") as waha:
        waha.unknown_sessions.add("default")
        settings = {
            "WAHA_SERVER_URL": f"http://localhost:{waha.port}",
            "WAHA_API_KEY": waha.api_key,
            "DEFAULT_TENANT": SLUG,
            "OUTBOUND_ALLOW_HOSTS": "",  # naming the server is enough
        }
        async with Stack(tmp_path, settings=settings) as stack:
            tenant = await stack.call("POST", "/v1/crm/tenants", {"slug": SLUG, "name": "Senja"})
            key = await stack.api_key(TenantId(UUID(tenant["id"])))
            stack.stop("gateway")
            stack.start("gateway")
            await stack.ready()
            session = await _seeded(stack, key)
            path = f"/v1/whatsapp/sessions/{session['channel_id']}/start"
            started = await stack.call("POST", path, key=key)
            assert started["status"] == "working"

            config = waha.sessions["default"].config
            assert config is not None
            (webhook,) = config["webhooks"]
            assert webhook["url"].startswith(f"{stack.base_url}/v1/crm/webhook/whatsapp/")
            await _deliver(webhook, "halo, ada kopi apa?")
            await waha.until(lambda: bool(waha.texts(CUSTOMER)), seconds=30)

            assert waha.sent[CUSTOMER][0].session == "default"
            found = await stack.call("GET", f"/v1/crm/tenants/{SLUG}/customers", key=key)
            assert [customer["name"] for customer in found["data"]] == ["Budi"]
            assert webhook["hmac"]["key"] not in stack.logs
            assert waha.api_key not in stack.logs


async def _seeded(stack: Stack, key: str) -> Json:
    async def sessions() -> list[Json]:
        found: list[Json] = (await stack.call("GET", "/v1/whatsapp/sessions", key=key))["data"]
        return found

    (only,) = await until(sessions)
    assert (only["session"], only["status"]) == ("default", "unknown")
    session: Json = only
    return session


async def _deliver(webhook: Json, text: str) -> None:
    """As WAHA does: to exactly this address, signed with exactly this key."""
    assert "message.any" in webhook["events"]
    sent = Webhooks(engine="GOWS", secret=webhook["hmac"]["key"]).message(text)
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(webhook["url"], content=sent.body, headers=sent.headers)
    assert answer.status_code == 200, answer.text
