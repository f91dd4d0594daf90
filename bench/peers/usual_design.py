"""How such a webhook is usually written: FastAPI, a pydantic model, one ORM object and one commit
per request. It checks the same signature over the same body."""

import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import JSON, func
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SECRET = os.environ["BENCH_SECRET"].encode()
_engine = create_async_engine(os.environ["BENCH_DATABASE_URL"], pool_size=20, max_overflow=0)
_sessions = async_sessionmaker(_engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class Event(Base):
    __tablename__ = "bench_events"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    message_id: Mapped[str] = mapped_column(unique=True)
    session: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Incoming(BaseModel):
    id: str
    event: str
    session: str
    payload: dict[str, Any]


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with _engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await _engine.dispose()


app = FastAPI(lifespan=_lifespan)


@app.post("/webhook/{tenant_id}")
async def receive(tenant_id: UUID, request: Request) -> dict[str, str]:
    body = await request.body()
    signature = hmac.new(SECRET, body, hashlib.sha512).hexdigest()
    if not hmac.compare_digest(signature, request.headers.get("x-webhook-hmac", "")):
        raise HTTPException(401)
    event = Incoming.model_validate_json(body)
    message_id = str(event.payload["id"])
    async with _sessions() as session:
        session.add(Event(message_id=message_id, session=event.session, payload=event.payload))
        await session.commit()
    return {"status": "queued", "tenant_id": str(tenant_id)}
