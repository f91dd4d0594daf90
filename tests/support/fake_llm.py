"""A model provider as a real HTTP server: OpenAI- and Anthropic-shaped, scripted, with a ledger.

    async with FakeLlm() as llm:
        llm.script(Say("Halo!"), CallTools(("search_products", {"query": "kopi"})), Fault(429))
        ... llm.openai_url, llm.anthropic_url, llm.requests, llm.connections

Steps are used up in the order of the requests; afterwards ``llm.rule`` answers (it echoes unless
another is set). Every step may carry a ``delay`` in seconds before its first byte.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What the server does with one request."""

    delay: float = 0.0


@dataclass(frozen=True)
class Say(Step):
    """Plain text; ``reasoning`` goes where DeepSeek-like servers put it."""

    text: str
    reasoning: str | None = field(default=None, kw_only=True)
    finish: str = field(default="stop", kw_only=True)
    usage: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, init=False)
class CallTools(Step):
    """Tool calls as (name, arguments); a ``str`` of arguments goes out as it is, broken or not."""

    calls: tuple[tuple[str, Any], ...]
    text: str = ""

    def __init__(self, *calls: tuple[str, Any], text: str = "", delay: float = 0.0) -> None:
        object.__setattr__(self, "calls", calls)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "delay", delay)


@dataclass(frozen=True)
class Fault(Step):
    """An error answer; without ``error`` the body is the provider's usual one for the status."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = field(default="scripted fault", kw_only=True)
    code: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Raw(Step):
    """Any body at all, with any status: garbage, empty choices, an error in a 200."""

    body: str | Json | list[Any]
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hang(Step):
    """No answer, ever; the connection stays open."""


@dataclass(frozen=True)
class Reset(Step):
    """The answer breaks off: after ``chunks`` pieces of a stream, or in the middle of the body."""

    text: str = "this will never be complete"
    chunks: int = 2


@dataclass(frozen=True)
class Drip(Step):
    """The right answer, one byte per ``seconds``."""

    text: str
    seconds: float = 1.0


@dataclass(frozen=True, kw_only=True)
class LlmRequest:
    """One line of the ledger."""

    api: str
    """``openai`` or ``anthropic``."""
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Json
    connection: int
    """Number of the TCP connection it came in on, from 1."""

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def key(self) -> str:
        return self.headers.get("x-api-key") or self.headers.get("authorization", "")[7:]

    @property
    def tool_names(self) -> list[str]:
        return [tool.get("name") or tool["function"]["name"] for tool in self.body.get("tools", ())]

    @property
    def last_user_text(self) -> str:
        for message in reversed(self.body.get("messages", ())):
            if message["role"] == "user" and (text := _text(message["content"])):
                return text
        return ""


Rule = Callable[[LlmRequest], Step | str]


def echo(request: LlmRequest) -> Step:
    """The default rule: say what the user said."""
    return Say(f"echo: {request.last_user_text}")


class FakeLlm:
    """The server. ``rule`` answers whenever the script is used up."""

    def __init__(self, rule: Rule = echo) -> None:
        self.rule = rule
        self.requests: list[LlmRequest] = []
        self.connections = 0
        self.models = ["fake-model"]
        self._steps: deque[Step] = deque()
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    def begin_anew(self, rule: Rule = echo) -> None:
        """Forget every request and what was scripted; the address stays."""
        self.rule = rule
        self.requests.clear()
        self._steps.clear()

    @property
    def openai_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def anthropic_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pending(self) -> int:
        """Steps that no request has used yet."""
        return len(self._steps)

    def script(self, *steps: Step | str) -> None:
        """Add answers for the next requests, one each; a ``str`` is plain text."""
        self._steps.extend(Say(step) if isinstance(step, str) else step for step in steps)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection, task = self.connections, asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while await self._exchange(reader, writer, connection):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the server ends: both are a provider's daily life
        finally:
            self._open.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if method == "GET" and path.startswith("/v1/models"):
            data = [
                {"id": m, "object": "model", "created": 1, "owned_by": "x"} for m in self.models
            ]
            return await _send(writer, 200, {"object": "list", "data": data})
        api = {"/v1/chat/completions": "openai", "/v1/messages": "anthropic"}.get(path)
        if method != "POST" or api is None:
            return await _send(writer, 404, _error("openai", 404, "no such route", None))
        request = LlmRequest(
            api=api, path=path, headers=headers, body=json.loads(body), connection=connection
        )
        self.requests.append(request)
        step = self._steps.popleft() if self._steps else self.rule(request)
        return await self._answer(writer, request, Say(step) if isinstance(step, str) else step)

    async def _answer(self, writer: asyncio.StreamWriter, request: LlmRequest, step: Step) -> bool:
        if step.delay:
            await asyncio.sleep(step.delay)
        match step:
            case Hang():
                await asyncio.Event().wait()
            case Fault(status=status, headers=headers):
                body = _error(request.api, status, step.message, step.code)
                return await _send(writer, status, body, headers)
            case Raw(body=raw, status=status, headers=headers):
                return await _send(writer, status, raw, headers, step.content_type)
            case Reset(text=text, chunks=chunks):
                await self._break_off(writer, request, text, chunks)
                return False
            case Drip(text=text, seconds=seconds):
                return await self._drip(writer, request, text, seconds)
        if request.stream:
            await _begin_stream(writer)
            async for piece in _events(request, step):
                await _chunk(writer, piece)
            await _chunk(writer, b"")
            return True
        return await _send(writer, 200, _body(request, step))

    async def _break_off(
        self, writer: asyncio.StreamWriter, request: LlmRequest, text: str, chunks: int
    ) -> None:
        if request.stream:
            await _begin_stream(writer)
            sent = 0
            async for piece in _events(request, Say(text)):
                if sent == chunks:
                    break
                await _chunk(writer, piece)
                sent += 1
        else:
            whole = json.dumps(_body(request, Say(text))).encode()
            writer.write(_head(200, len(whole), {}, "application/json") + whole[: len(whole) // 2])
            await writer.drain()
        writer.transport.abort()

    async def _drip(
        self, writer: asyncio.StreamWriter, request: LlmRequest, text: str, seconds: float
    ) -> bool:
        if request.stream:
            await _begin_stream(writer)
            pieces = [piece async for piece in _events(request, Say(text))]
            for piece in pieces:
                for byte in piece:
                    await _chunk(writer, bytes([byte]))
                    await asyncio.sleep(seconds)
            await _chunk(writer, b"")
        else:
            whole = json.dumps(_body(request, Say(text))).encode()
            writer.write(_head(200, len(whole), {}, "application/json"))
            for byte in whole:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(seconds)
        return True


_USAGE = (19, 10)
"""Prompt and answer tokens that every answer claims."""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or () if part.get("type") == "text")


def _arguments(args: Any) -> str:
    return args if isinstance(args, str) else json.dumps(args)


def _body(request: LlmRequest, step: Step) -> Json:
    return (
        _openai_body(request, step) if request.api == "openai" else _anthropic_body(request, step)
    )


def _openai_body(request: LlmRequest, step: Step) -> Json:
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    finish = "stop"
    if isinstance(step, Say):
        message["content"], finish = step.text, step.finish
        if step.reasoning is not None:
            message["reasoning_content"] = step.reasoning
    elif isinstance(step, CallTools):
        finish = "tool_calls"
        message["content"] = step.text or None
        message["tool_calls"] = [
            {
                "id": f"call_{position}",
                "type": "function",
                "function": {"name": name, "arguments": _arguments(args)},
            }
            for position, (name, args) in enumerate(step.calls, start=1)
        ]
    prompt, answer = _USAGE
    body: Json = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1741570283,
        "model": request.body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
    }
    if not isinstance(step, Say) or step.usage:
        body["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
        }
    return body


def _anthropic_body(request: LlmRequest, step: Step) -> Json:
    content: list[Json] = []
    stop = "end_turn"
    if isinstance(step, Say):
        if step.reasoning is not None:
            content.append({"type": "thinking", "thinking": step.reasoning, "signature": "x"})
        content.append({"type": "text", "text": step.text})
        stop = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}[
            step.finish
        ]
    elif isinstance(step, CallTools):
        stop = "tool_use"
        if step.text:
            content.append({"type": "text", "text": step.text})
        content.extend(
            {"type": "tool_use", "id": f"toolu_{position}", "name": name, "input": args}
            for position, (name, args) in enumerate(step.calls, start=1)
        )
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request.body["model"],
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": _USAGE[0], "output_tokens": _USAGE[1]},
    }


async def _events(request: LlmRequest, step: Step) -> AsyncIterator[bytes]:
    source = _openai_events if request.api == "openai" else _anthropic_events
    for event in source(request, step):
        yield event
        await asyncio.sleep(0)  # pieces leave in packets of their own, as from a real model


def _openai_events(request: LlmRequest, step: Step) -> list[bytes]:
    whole = _openai_body(request, step)
    choice = whole["choices"][0]
    message = choice["message"]
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    if message.get("reasoning_content"):
        deltas.append({"reasoning_content": message["reasoning_content"]})
    deltas += [{"content": piece} for piece in _pieces(message["content"] or "")]
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        start = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
        deltas.append({"tool_calls": [start]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in _pieces(function["arguments"])
        ]
    base = {key: whole[key] for key in ("id", "created", "model")}
    base["object"] = "chat.completion.chunk"

    def event(choices: list[Json], **more: Any) -> bytes:
        return f"data: {json.dumps({**base, 'choices': choices, **more})}\n\n".encode()

    events = [event([{"index": 0, "delta": d, "finish_reason": None}]) for d in deltas]
    events.append(event([{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]))
    if "usage" in whole and (request.body.get("stream_options") or {}).get("include_usage"):
        events.append(event([], usage=whole["usage"]))
    events.append(b"data: [DONE]\n\n")
    return events


def _anthropic_events(request: LlmRequest, step: Step) -> list[bytes]:
    whole = _anthropic_body(request, step)
    events: list[Json] = [
        {
            "type": "message_start",
            "message": {**whole, "content": [], "stop_reason": None},
        },
        {"type": "ping"},
    ]
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            start, kind, field_name, text = (
                {**block, "text": ""},
                "text_delta",
                "text",
                block["text"],
            )
        elif block["type"] == "thinking":
            start = {"type": "thinking", "thinking": "", "signature": ""}
            kind, field_name, text = "thinking_delta", "thinking", block["thinking"]
        else:
            start, text = {**block, "input": {}}, _arguments(block["input"])
            kind, field_name = "input_json_delta", "partial_json"
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [
            {
                "type": "content_block_delta",
                "index": index,
                "delta": {"type": kind, field_name: piece},
            }
            for piece in _pieces(text)
        ]
        events.append({"type": "content_block_stop", "index": index})
    events.append(
        {
            "type": "message_delta",
            "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
            "usage": whole["usage"],
        }
    )
    events.append({"type": "message_stop"})
    return [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]


def _pieces(text: str, size: int = 8) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def _error(api: str, status: int, message: str, code: str | None) -> Json:
    if api == "anthropic":
        kind = code or _ANTHROPIC_TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _head(status: int, length: int | None, headers: Mapping[str, str], content_type: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", f"content-type: {content_type}"]
    lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    body: str | Json | list[Any],
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> bool:
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    writer.write(_head(status, len(data), headers or {}, content_type) + data)
    await writer.drain()
    return True


async def _begin_stream(writer: asyncio.StreamWriter) -> None:
    writer.write(_head(200, None, {}, "text/event-stream"))
    await writer.drain()


async def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    """One HTTP chunk; an empty one ends the answer."""
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()
