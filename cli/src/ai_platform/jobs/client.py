"""LLM jobs over REST."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2

from ai_platform.errors import CommandFailed

Json = dict[str, Any]

_TIMEOUT = httpx2.Timeout(15.0)
_LONG_POLL = 30
_TRIES = 8
_LONGEST_PAUSE = 4.0
_PATIENCE = 180.0
"""Seconds. A key whose request was cut off in the middle is free again after one minute."""
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


class Refused(CommandFailed):
    """The server understood and said no."""

    def __init__(self, sentence: str, *, status: int, code: str | None, detail: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.detail = detail


class JobsClient:
    """Talks to one server with one key; what it refuses becomes a sentence (`CommandFailed`)."""

    def __init__(self, base_url: str, key: str, *, connections: int = 10) -> None:
        self.base_url = base_url.rstrip("/")
        # no proxy: the server is this machine, or one the person named
        self._http = httpx2.AsyncClient(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=_TIMEOUT,
            limits=httpx2.Limits(max_connections=connections),
            trust_env=False,
        )

    async def __aenter__(self) -> "JobsClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def submit(self, job: Mapping[str, Any], *, key: str | None = None) -> Json:
        """With an idempotency ``key`` the same again is the same job."""
        headers = {"Idempotency-Key": key} if key else {}
        return await self._ask("POST", "/v1/jobs", json=dict(job), headers=headers)

    async def get(self, job_id: str) -> Json:
        return await self._ask("GET", f"/v1/jobs/{job_id}")

    async def ended(self, job_id: str) -> Json:
        """The job when it has ended, however long that takes."""
        timeout = httpx2.Timeout(_TIMEOUT.connect, read=_LONG_POLL + 15.0)
        while True:
            job = await self._patiently(
                "GET", f"/v1/jobs/{job_id}", params={"wait": _LONG_POLL}, timeout=timeout
            )
            if job["status"] in FINAL:
                return job

    async def submit_patiently(self, job: Mapping[str, Any], *, key: str) -> Json:
        """The same as `submit`, tried again while the server is away or a limit is spent."""
        return await self._patiently(
            "POST", "/v1/jobs", json=dict(job), headers={"Idempotency-Key": key}
        )

    async def find(self, name: str, value: str) -> str | None:
        """The job whose metadata say so, if there is one."""
        query = {f"metadata.{name}": value, "limit": 1}
        page = await self._patiently("GET", "/v1/jobs", params=query)
        return str(page["data"][0]["job_id"]) if page["data"] else None

    async def list(self, *, status: str | None, limit: int) -> list[Json]:
        """The newest first."""
        found: list[Json] = []
        query: Json = {} if status is None else {"status": status}
        while len(found) < limit:
            query["limit"] = min(200, limit - len(found))
            page = await self._ask("GET", "/v1/jobs", params=query)
            found += page["data"]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        return found

    async def cancel(self, job_id: str) -> Json:
        return await self._ask("POST", f"/v1/jobs/{job_id}/cancel")

    async def retry(self, job_id: str) -> Json:
        return await self._ask("POST", f"/v1/jobs/{job_id}/retry")

    async def events(self, job_id: str) -> AsyncIterator[tuple[str, Json]]:
        """Server-sent events as (name, data) until the job has ended; a stream that breaks is
        opened again."""
        failures = 0
        while True:
            try:
                async for name, data in self._stream(f"/v1/jobs/{job_id}/events"):
                    failures = 0
                    yield name, data
                    if name == "status" and data["status"] in FINAL:
                        return
            except httpx2.HTTPError as error:
                failures += 1
                if failures == _TRIES:
                    raise self._nobody() from error
                await asyncio.sleep(min(2.0**failures / 4, 5))

    async def _stream(self, path: str) -> AsyncIterator[tuple[str, Json]]:
        timeout = httpx2.Timeout(_TIMEOUT.connect, read=60.0)
        async with self._http.stream("GET", path, timeout=timeout) as answer:
            if not answer.is_success:
                await answer.aread()
                raise self._refusal(answer)
            name = ""
            async for line in answer.aiter_lines():
                field, _, value = line.partition(":")
                if field == "event":
                    name = value.strip()
                elif field == "data":
                    yield name, json.loads(value)

    async def _patiently(self, method: str, path: str, **content: Any) -> Json:
        end, pause = time.monotonic() + _PATIENCE, 0.5
        while True:
            try:
                return await self._ask(method, path, **content)
            except CommandFailed as error:
                if time.monotonic() >= end or not _passes(error):
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _ask(self, method: str, path: str, **content: Any) -> Json:
        try:
            answer = await self._http.request(method, path, **content)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._nobody() from error
        if not answer.is_success:
            raise self._refusal(answer)
        told: Json = answer.json()
        return told

    def _nobody(self) -> CommandFailed:
        return CommandFailed(
            f"No server answers at {self.base_url}; start one with: ai-platform up"
        )

    def _refusal(self, answer: httpx2.Response) -> Refused:
        try:
            problem = answer.json()
            code, detail = problem.get("code"), str(problem["detail"])
            detail += "".join(f"; {each['detail']}" for each in problem.get("errors", ()))
        except (ValueError, KeyError, TypeError, AttributeError):
            code, detail = None, ""
        status = answer.status_code
        if status == 401:
            sentence = f"{self.base_url} does not know this key: give one with --key"
        elif code == "scope_missing":
            sentence = f"This key may not do that: {detail}"
        elif code is None:
            sentence = f"{self.base_url} answered {status}: is it an AI Platform?"
        else:
            sentence = f"The platform refused: {detail} ({code})"
        return Refused(sentence, status=status, code=code, detail=detail)


def _passes(error: CommandFailed) -> bool:
    """Whether the same may be answered in a while."""
    if not isinstance(error, Refused):
        return True  # nobody answered
    return error.status in (429, 503) or error.code == "request_in_progress"
