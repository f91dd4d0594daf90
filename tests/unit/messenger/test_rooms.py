"""One number's troubles stay its own."""

import pytest

from messenger.application.rooms import Rooms
from shared.kernel.ids import ChannelId, new_id
from shared.messaging.port import Postpone


def test_a_channel_has_only_so_many_places() -> None:
    rooms, busy, other = Rooms(2), ChannelId(new_id()), ChannelId(new_id())

    with rooms.place(busy), rooms.place(busy):
        with pytest.raises(Postpone), rooms.place(busy):
            pass
        with rooms.place(other):
            pass

    with rooms.place(busy), rooms.place(busy):
        pass


def test_a_place_is_free_again_after_an_error() -> None:
    rooms, channel = Rooms(1), ChannelId(new_id())
    with pytest.raises(KeyError), rooms.place(channel):
        raise KeyError
    with rooms.place(channel):
        pass
