"""Celery on RabbitMQ as its manual advises for work that must not be lost: quorum queues, confirmed
publishes, acknowledged after the work. No results are kept. A task tells a socket that it ran."""

import os
import socket
import struct
import time

from celery import Celery

app = Celery("bench", broker=os.environ["RABBITMQ_URL"].replace("amqp://", "pyamqp://"))
app.conf.update(
    task_default_queue="bench.celery",
    task_default_queue_type="quorum",
    task_acks_late=True,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
    broker_pool_limit=16,
    worker_prefetch_multiplier=50,
    worker_send_task_events=False,
)
_telling = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


@app.task
def hop(due: float, body: str) -> None:
    handled = struct.pack("d", time.monotonic() - due)
    _telling.sendto(handled, os.environ["BENCH_SOCKET"])
