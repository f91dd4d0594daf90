"""A gateway that gives every webhook to RabbitMQ: FastAPI, the same signature check, and one
persistent, confirmed publish to a quorum queue before it answers."""

import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import aio_pika
from fastapi import FastAPI, HTTPException, Request

SECRET = os.environ["BENCH_SECRET"].encode()
QUEUE = os.environ["BENCH_QUEUE"]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    connection = await aio_pika.connect_robust(os.environ["BENCH_RABBITMQ_URL"])
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        app.state.exchange = channel.default_exchange
        yield


app = FastAPI(lifespan=_lifespan)


@app.post("/webhook/{tenant_id}")
async def receive(tenant_id: UUID, request: Request) -> dict[str, str]:
    body = await request.body()
    signature = hmac.new(SECRET, body, hashlib.sha512).hexdigest()
    if not hmac.compare_digest(signature, request.headers.get("x-webhook-hmac", "")):
        raise HTTPException(401)
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await request.app.state.exchange.publish(message, QUEUE)
    return {"status": "queued", "tenant_id": str(tenant_id)}
