"""Identifiers: UUID version 7, unique everywhere and sorted by the time they were made."""

import os
import struct
import threading
import time
from typing import NewType
from uuid import UUID

TenantId = NewType("TenantId", UUID)
ChannelId = NewType("ChannelId", UUID)
ConversationId = NewType("ConversationId", UUID)
SendId = NewType("SendId", UUID)
InboxId = NewType("InboxId", UUID)

_62_BITS = (1 << 62) - 1

_lock = threading.Lock()
_last = 0


def new_id() -> UUID:
    """Return a UUIDv7 (RFC 9562) that is greater than every one this process made before."""
    return new_ids(1)[0]


def new_ids(count: int) -> list[UUID]:
    """So many rising ids, for less than the price of asking for each."""
    global _last
    with _lock:
        # 48 bits of milliseconds and 12 bits of sub-millisecond fraction, as RFC 9562 method 3
        milliseconds, rest = divmod(time.time_ns(), 1_000_000)
        stamp = max((milliseconds << 12) | (rest * 4096 // 1_000_000), _last + 1)
        _last = stamp + count - 1
    random = struct.unpack(f"={count}Q", os.urandom(8 * count))
    return [_uuid7(stamp + number, bits) for number, bits in enumerate(random)]


def _uuid7(stamp: int, bits: int) -> UUID:
    value = ((stamp >> 12) << 80) | (0x7 << 76) | ((stamp & 0xFFF) << 64) | (0b10 << 62)
    return UUID(int=value | (bits & _62_BITS))
