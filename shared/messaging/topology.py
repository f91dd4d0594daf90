"""What we keep in RabbitMQ: names, arguments, and the hint itself.

Each work queue is a durable quorum queue with a delivery limit; what exceeds it goes to a bounded
queue for people to look at. Five delay queues hold hints back for one rung of the ladder each. All
of it may be deleted at any time: the rows in PostgreSQL are the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import orjson
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractQueue, HeadersType

from shared.config.settings import QueueSettings
from shared.kernel.ids import TenantId
from shared.messaging.delays import RUNGS
from shared.messaging.port import Queue

DELIVERY_LIMIT = 20
"""Explicit, because brokers before 4.0 have none. A hint comes back only when a consumer's
connection dies with it in hand; a row's own attempts are counted in the row."""

_DEAD_LETTERS_KEPT = 10_000
PATIENCE_SECONDS = 5.0
"""Longest wait for any answer of the broker."""


def queue_name(settings: QueueSettings, queue: Queue) -> str:
    """What the broker calls this queue."""
    return {
        Queue.AI_TASKS: settings.rabbitmq_task_queue,
        Queue.CRM_TASKS: settings.rabbitmq_crm_queue,
        Queue.WA_MESSAGES: settings.rabbitmq_wa_queue,
    }[queue]


def dead_name(name: str) -> str:
    return f"{name}.dead"


def delay_name(name: str, step: timedelta) -> str:
    return f"{name}.delay.{int(step.total_seconds())}s"


def all_names(settings: QueueSettings) -> Sequence[str]:
    """Every queue that these settings can bring into being."""
    names = [queue_name(settings, queue) for queue in Queue]
    delays = [delay_name(name, step) for name in names for step in RUNGS]
    return [*names, *(dead_name(name) for name in names), *delays]


async def declare(channel: AbstractChannel, name: str) -> AbstractQueue:
    """Make the work queue and those around it, or find them as they should be."""
    bounded: HeadersType = {"x-max-length": _DEAD_LETTERS_KEPT, "x-overflow": "drop-head"}
    await _quorum(channel, dead_name(name), bounded)
    for step in RUNGS:
        held: HeadersType = {"x-message-ttl": int(step.total_seconds() * 1000)}
        await _quorum(channel, delay_name(name, step), held | _then(name))
    limited: HeadersType = {"x-delivery-limit": DELIVERY_LIMIT}
    return await _quorum(channel, name, limited | _then(dead_name(name)))


def _then(name: str) -> HeadersType:
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name}


async def _quorum(channel: AbstractChannel, name: str, arguments: HeadersType) -> AbstractQueue:
    kind: HeadersType = {"x-queue-type": "quorum"}
    return await channel.declare_queue(
        name, durable=True, arguments=kind | arguments, timeout=PATIENCE_SECONDS
    )


@dataclass(frozen=True, slots=True)
class Hint:
    """That a row exists. Losing one, or seeing it twice, changes nothing but the time."""

    kind: str
    tenant_id: TenantId
    id: UUID
    v: int = 1

    def message(self) -> Message:
        ids = {"tenant_id": str(self.tenant_id), "id": str(self.id)}
        return Message(
            orjson.dumps({"v": self.v, "kind": self.kind} | ids),
            content_type="application/json",
            delivery_mode=DeliveryMode.PERSISTENT,
        )


def row_id(body: bytes) -> UUID | None:
    """The row that a hint names; ``None`` for anything that is not a hint of ours."""
    try:
        return UUID(orjson.loads(body)["id"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None
