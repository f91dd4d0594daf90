"""The one keyed row per channel that looks for what was missed."""

from datetime import timedelta
from typing import Final

from shared.kernel.ids import ChannelId
from shared.messaging.port import Queue, Task

REPAIR_TASK: Final = "channel.repair"


def repair_task(channel_id: ChannelId, *, delay: timedelta = timedelta(0)) -> Task:
    return Task(queue=Queue.CRM_TASKS, kind=REPAIR_TASK, key=str(channel_id), delay=delay)
