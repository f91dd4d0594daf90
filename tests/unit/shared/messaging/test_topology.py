from uuid import UUID

import orjson
import pytest
from aio_pika import DeliveryMode

from shared.config.settings import QueueSettings
from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Queue
from shared.messaging.topology import Hint, all_names, queue_name, row_id


def test_queues_are_called_what_the_settings_say() -> None:
    settings = QueueSettings(
        rabbitmq_task_queue="jobs", rabbitmq_crm_queue="crm", rabbitmq_wa_queue="wa"
    )

    assert [queue_name(settings, queue) for queue in Queue] == ["jobs", "crm", "wa"]


def test_each_work_queue_has_one_dead_letter_queue_and_five_rungs() -> None:
    names = all_names(QueueSettings(rabbitmq_task_queue="a", rabbitmq_crm_queue="b"))

    assert [name for name in names if name.split(".")[0] == "a"] == [
        "a",
        "a.dead",
        "a.delay.1s",
        "a.delay.5s",
        "a.delay.30s",
        "a.delay.120s",
        "a.delay.300s",
    ]
    assert len(names) == len(set(names)) == 21


def test_a_hint_says_version_kind_tenant_and_id() -> None:
    tenant, row = TenantId(new_id()), new_id()

    message = Hint("send", tenant, row).message()
    body = message.body

    assert message.delivery_mode is DeliveryMode.PERSISTENT, "else a confirm is worth nothing"
    assert orjson.loads(body) == {"v": 1, "kind": "send", "tenant_id": str(tenant), "id": str(row)}
    assert row_id(body) == row


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"7", b'{"id": null}', b'{"id": "x"}'])
def test_what_is_no_hint_names_no_row(body: bytes) -> None:
    assert row_id(body) is None


def test_a_hint_of_a_later_version_still_names_its_row() -> None:
    row = UUID(int=7)

    assert row_id(orjson.dumps({"v": 2, "id": str(row), "news": [1]})) == row
