"""The simulator's routes, as a phone in the terminal uses them."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2

from ai_platform.errors import CommandFailed

_TIMEOUT = httpx2.Timeout(15.0)


@dataclass(frozen=True, kw_only=True)
class Shop:
    slug: str
    name: str
    is_offline: bool
    """The offline demo model answers, and we say so."""
    model_label: str


@dataclass(frozen=True, kw_only=True)
class Bubble:
    id: str
    text: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What has become of a message. ``complete``: nothing more will come of it."""

    state: str
    complete: bool
    bubbles: Sequence[Bubble]


class SimulatorClient:
    """Talks to one server, whose refusals become sentences (`CommandFailed`)."""

    def __init__(self, base_url: str, key: str | None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._base_url = base_url.rstrip("/")
        # no proxy: the server is this machine, or one the person named
        self._http = httpx2.AsyncClient(
            base_url=self._base_url, headers=headers, timeout=_TIMEOUT, trust_env=False
        )

    async def __aenter__(self) -> "SimulatorClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def shop(self, wanted: str | None) -> Shop:
        """The shop of this slug or id; without one the first that we may write to.

        Raises:
            CommandFailed: there is none.
        """
        shops = (await self._get("/simulator/api/info"))["tenants"]
        for shop in shops:
            if wanted in (None, shop["slug"], shop["tenant_id"]):
                return Shop(
                    slug=shop["slug"],
                    name=shop["name"],
                    is_offline=shop["offline"],
                    model_label=shop["label"],
                )
        if wanted is None:
            raise CommandFailed(f"No shop at {self._base_url} has a simulated number")
        known = ", ".join(shop["slug"] for shop in shops) or "none"
        raise CommandFailed(f"There is no shop {wanted} with a simulated number (known: {known})")

    async def join(self, shop: Shop) -> "Phone":
        """Become a new customer of the shop."""
        path = f"/simulator/api/tenants/{quote(shop.slug)}/customers"
        customer = await self._post(path, {})
        return Phone(self, f"{path}/{quote(customer['address'])}", customer["name"])

    async def _get(self, path: str) -> Any:
        return await self._ask("GET", path)

    async def _post(self, path: str, body: Any) -> Any:
        return await self._ask("POST", path, json=body)

    async def _ask(self, method: str, path: str, **content: Any) -> Any:
        try:
            answer = await self._http.request(method, path, **content)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise CommandFailed(
                f"No server answers at {self._base_url}; start one with: ai-platform up"
            ) from error
        if not answer.is_success:
            raise CommandFailed(self._refusal(answer))
        return answer.json()

    def _refusal(self, answer: httpx2.Response) -> str:
        if answer.status_code == 401:
            return f"{self._base_url} asks for a key: give one with --key"
        if answer.status_code == 403:
            return "This key may not use the simulator; it needs the scope simulator"
        if answer.status_code == 404:
            return f"There is no simulator at {self._base_url}"
        return f"{self._base_url} answered {answer.status_code}{_detail(answer)}"

    async def stream(self, path: str) -> AsyncIterator[tuple[str, Any]]:
        """Server-sent events as (name, data), until the stream ends or breaks."""
        timeout = httpx2.Timeout(_TIMEOUT.connect, read=None)
        try:
            async with self._http.stream("GET", path, timeout=timeout) as answer:
                name = ""
                async for line in answer.aiter_lines():
                    field, _, value = line.partition(":")
                    if field == "event":
                        name = value.strip()
                    elif field == "data":
                        yield name, json.loads(value)
        except (httpx2.HTTPError, ValueError):
            return


class Phone:
    """One simulated customer."""

    def __init__(self, client: SimulatorClient, path: str, name: str) -> None:
        self._client = client
        self._path = path
        self.name = name

    async def say(self, text: str) -> str:
        """Send a message; returns its id."""
        sent = await self._client._post(f"{self._path}/messages", {"text": text})
        return str(sent["native_id"])

    async def reply(self, message_id: str) -> Reply:
        """What has become of the message so far."""
        answer = await self._client._get(f"{self._path}/messages/{quote(message_id)}/answer")
        return Reply(
            state=answer["state"],
            complete=answer["complete"],
            bubbles=[
                Bubble(id=bubble["id"], text=bubble["text"], state=bubble["state"])
                for bubble in answer["bubbles"]
            ],
        )

    async def is_with_a_person(self) -> bool:
        """Whether somebody of the shop, and not the AI, answers now."""
        chat = await self._client._get(f"{self._path}/messages")
        return chat["owner"] not in (None, "ai")

    def events(self) -> AsyncIterator[tuple[str, Any]]:
        """What happens in the chat: ``typing`` and ``changed``."""
        return self._client.stream(f"{self._path}/events")


def _detail(answer: httpx2.Response) -> str:
    try:
        return f": {answer.json()['detail']}"
    except (ValueError, KeyError, TypeError):
        return ""
