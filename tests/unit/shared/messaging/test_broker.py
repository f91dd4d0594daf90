"""Connections to a broker that is not there."""

import asyncio
import gc
import logging
import socket
import warnings

import pytest

from shared.messaging.broker import BROKER_ERRORS, connect


async def test_a_connection_that_could_not_be_opened_needs_no_loop_to_be_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors: list[BaseException] = []

    def forget() -> None:
        errors.clear()
        gc.collect()

    # a record that pytest keeps would keep the error too
    monkeypatch.setattr(logging.getLogger("aiormq.connection"), "disabled", True)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens
        try:
            async with connect(f"amqp://guest:guest@127.0.0.1:{bound.getsockname()[1]}/"):
                raise AssertionError
        except BROKER_ERRORS as error:
            errors.append(error)
    assert errors
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        await asyncio.to_thread(forget)  # the garbage collector may run in any thread
    assert [str(each.message) for each in told] == []
