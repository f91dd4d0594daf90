"""The id in an answer to a send, in the three shapes of the engines."""

from typing import Any

import pytest

from shared.waha.answers import native_id_of_answer


@pytest.mark.parametrize(
    "answer",
    [
        {"id": {"fromMe": True, "id": "3EB0AA", "_serialized": "true_62811@c.us_3EB0AA"}, "ack": 0},
        {"key": {"remoteJid": "62811@s.whatsapp.net", "fromMe": True, "id": "3EB0AA"}},
        {"id": "true_62811@c.us_3EB0AA", "_data": {}},
        {"id": "true_99@lid_3EB0AA"},
        {"_data": {"id": {"_serialized": "true_62811@c.us_3EB0AA"}}},
        {"_data": {"key": {"id": "3EB0AA"}}},
    ],
)
def test_each_engine_names_the_message(answer: Any) -> None:
    assert native_id_of_answer(answer) == "3EB0AA"


@pytest.mark.parametrize("answer", [None, [], "", 7, {}, {"id": None}, {"key": "x"}, {"id": []}])
def test_an_answer_that_names_none_is_none(answer: Any) -> None:
    assert native_id_of_answer(answer) is None
