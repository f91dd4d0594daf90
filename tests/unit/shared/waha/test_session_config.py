"""A session is configured so that we hear of everything, and keeps what others told it."""

import copy
from typing import Any

import pytest
from pydantic import SecretStr

from shared.waha.session_config import EVENTS, WebhookTarget, completed, new_config

IDS = "01900000-0000-7000-8000-000000000001/01900000-0000-7000-8000-000000000002"
ROUTE = f"/v1/crm/webhook/whatsapp/{IDS}"
TARGET = WebhookTarget(f"https://shop.example.com{ROUTE}", SecretStr("rahasia"))
THEIRS = {"url": "https://crm.example.com/hook", "events": ["message"]}


def ours(**changes: Any) -> dict[str, Any]:
    return {"url": TARGET.url, "events": list(EVENTS), "hmac": {"key": "rahasia"}} | changes


def test_a_new_session_tells_us_everything_of_single_chats_and_keeps_a_history() -> None:
    assert new_config(TARGET) == {
        "webhooks": [
            {
                "url": TARGET.url,
                "events": [
                    "message.any",
                    "message.ack",
                    "message.reaction",
                    "message.edited",
                    "message.revoked",
                    "session.status",
                ],
                "hmac": {"key": "rahasia"},
                "retries": {"policy": "constant", "delaySeconds": 5, "attempts": 360},
            }
        ],
        "ignore": {"status": True, "groups": True, "channels": True, "broadcast": True},
        "noweb": {"markOnline": True, "store": {"enabled": True, "fullSync": False}},
        "gows": {"storage": {"messages": True, "chats": True, "groups": False, "labels": False}},
    }


@pytest.mark.parametrize(
    "present",
    [
        new_config(TARGET),
        {"webhooks": [ours()]},
        {"webhooks": [THEIRS, ours()], "debug": True},
        {"webhooks": [ours(events=["*"])]},
        {"webhooks": [ours(events=[*reversed(EVENTS), "presence.update"], retries=None)]},
    ],
)
def test_a_session_that_tells_us_enough_stays_as_it_is(present: dict[str, Any]) -> None:
    assert completed(present, TARGET) is None


@pytest.mark.parametrize(
    "webhook",
    [
        ours(events=["message.any"]),
        ours(events=[]),
        ours(events=None),
        ours(hmac=None),
        ours(hmac={"key": "lama"}),
        ours(url=f"http://127.0.0.1:8000{ROUTE}"),
        ours(url=f"http://proxy.test/platform{ROUTE}/"),
    ],
)
def test_our_webhook_is_put_right_and_there_is_one(webhook: dict[str, Any]) -> None:
    present = {"webhooks": [webhook, THEIRS, webhook]}
    before = copy.deepcopy(present)

    wanted = completed(present, TARGET)

    assert wanted is not None
    assert present == before
    assert wanted["webhooks"][0] == THEIRS
    (mine,) = wanted["webhooks"][1:]
    assert (mine["url"], mine["hmac"], tuple(mine["events"])) == (
        TARGET.url,
        {"key": "rahasia"},
        EVENTS,
    )
    assert completed(wanted, TARGET) is None


def test_what_the_operator_configured_is_kept() -> None:
    present = {
        "metadata": {"toko": "1"},
        "proxy": None,
        "ignore": {"groups": False},
        "noweb": {"markOnline": False},
        "webhooks": [
            ours(
                hmac={"key": "lama"},
                events=["presence.update", "message.any"],
                retries={"policy": "linear", "delaySeconds": 1, "attempts": 3},
                customHeaders=[{"name": "X-A", "value": "b"}],
            )
        ],
    }
    wanted = completed(present, TARGET)
    assert wanted is not None
    assert wanted["metadata"] == {"toko": "1"}
    assert "proxy" not in wanted
    assert wanted["ignore"] == {"groups": False}
    assert wanted["noweb"] == {"markOnline": False}
    assert wanted["webhooks"] == [
        ours(
            events=[*EVENTS, "presence.update"],
            retries={"policy": "linear", "delaySeconds": 1, "attempts": 3},
            customHeaders=[{"name": "X-A", "value": "b"}],
        )
    ]


def test_nothing_is_silenced_that_another_listener_may_want() -> None:
    wanted = completed({"webhooks": [THEIRS]}, TARGET)
    assert wanted is not None
    assert set(wanted) == {"webhooks"}
    assert wanted["webhooks"][0] == THEIRS


def test_a_session_that_was_never_configured_is_configured_whole() -> None:
    assert completed({}, TARGET) == new_config(TARGET)
    assert completed({"webhooks": None, "ignore": None}, TARGET) == new_config(TARGET)


@pytest.mark.parametrize("odd", ["x", 1, {"url": 1}, [None, "x", {"events": 3}, {"url": None}]])
def test_oddities_in_a_configuration_hurt_nobody(odd: Any) -> None:
    wanted = completed({"webhooks": odd}, TARGET)
    assert wanted is not None
    assert wanted["webhooks"][-1]["url"] == TARGET.url


def test_a_secret_is_not_shown() -> None:
    assert "rahasia" not in repr(TARGET)
