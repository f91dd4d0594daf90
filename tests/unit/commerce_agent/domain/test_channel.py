"""What a channel promises."""

from datetime import UTC, datetime
from typing import Any

import pytest

from commerce_agent.domain.entities.channel import BadChannel, Channel, ChannelKind, ChannelState
from commerce_agent.domain.events.tenant_events import (
    ChannelAdded,
    ChannelSecretRotated,
    ChannelStateChanged,
    ChannelUpdated,
)
from commerce_agent.domain.value_objects.phone import Phone
from commerce_agent.domain.value_objects.text import BadText
from shared.kernel.errors import DomainError
from shared.kernel.ids import ChannelId, TenantId, new_id

AT = datetime(2026, 3, 1, tzinfo=UTC)
TENANT = TenantId(new_id())


def a_channel(**fields: Any) -> Channel:
    return Channel.create(
        **(
            {
                "channel_id": ChannelId(new_id()),
                "tenant_id": TENANT,
                "kind": ChannelKind.WAHA,
                "name": "Toko",
                "session": "toko-1",
                "base_url": "https://waha.example:3000/api/",
                "webhook_secret_ciphertext": b"sealed",
                "at": AT,
            }
            | fields
        )
    )


def test_a_new_channel_waits_to_be_paired_and_a_simulated_one_works() -> None:
    waha = a_channel()
    simulator = a_channel(kind=ChannelKind.SIMULATOR, base_url=None)

    assert (waha.state, waha.base_url) == (ChannelState.UNKNOWN, "https://waha.example:3000/api")
    assert (simulator.state, simulator.base_url) == (ChannelState.WORKING, None)
    assert waha.pull_events() == [
        ChannelAdded(tenant_id=TENANT, occurred_at=AT, channel_id=waha.id, kind="waha")
    ]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"base_url": None}, BadChannel),
        ({"base_url": ""}, BadChannel),
        ({"base_url": "waha:3000"}, BadChannel),
        ({"base_url": "ftp://waha"}, BadChannel),
        ({"base_url": "http://user:pw@waha"}, BadChannel),
        ({"base_url": "http://waha?x=1"}, BadChannel),
        ({"base_url": "http://waha#x"}, BadChannel),
        ({"base_url": "http://waha:port"}, BadChannel),
        ({"base_url": "http://[waha"}, BadChannel),
        ({"base_url": "http://"}, BadChannel),
        ({"base_url": "https://wa ha"}, BadChannel),
        ({"base_url": "https://waha\r\n"}, BadChannel),
        ({"base_url": "https://waha/\x01"}, BadChannel),
        ({"base_url": "https://a\\b"}, BadChannel),
        ({"base_url": "https://-waha"}, BadChannel),
        ({"base_url": "https://2130706433"}, BadChannel),
        ({"base_url": "https://0177.0.0.1"}, BadChannel),
        ({"base_url": "https://0x7f.1."}, BadChannel),
        ({"base_url": "https://[fe80::1%eth0]"}, BadChannel),
        ({"session": ""}, BadChannel),
        ({"session": "a/b"}, BadChannel),
        ({"session": "x" * 55}, BadChannel),
        ({"session": "toko\n"}, BadChannel),
        ({"name": ""}, BadText),
        ({"name": "x" * 101}, BadText),
    ],
)
def test_what_makes_no_channel_is_refused(fields: dict[str, Any], error: type[DomainError]) -> None:
    with pytest.raises(error):
        a_channel(**fields)


def test_an_update_tells_the_fields_and_no_secret() -> None:
    channel = a_channel()
    channel.pull_events()

    channel.update(name="Cabang", api_key_ciphertext=b"sealed key", active=False, at=AT)
    channel.update(name="Cabang", at=AT)

    assert (channel.name, channel.active) == ("Cabang", False)
    assert channel.pull_events() == [
        ChannelUpdated(
            tenant_id=TENANT,
            occurred_at=AT,
            channel_id=channel.id,
            fields=("name", "api_key", "active"),
        )
    ]
    assert "sealed" not in repr(channel)


def test_a_rotated_secret_stays_until_the_rotation_is_ended() -> None:
    channel = a_channel()
    channel.pull_events()

    channel.rotate_secret(new=b"new", previous=b"old", at=AT)
    during = (channel.webhook_secret_ciphertext, channel.previous_webhook_secret_ciphertext)
    channel.end_rotation()

    assert during == (b"new", b"old")
    assert channel.previous_webhook_secret_ciphertext is None
    assert channel.pull_events() == [
        ChannelSecretRotated(tenant_id=TENANT, occurred_at=AT, channel_id=channel.id)
    ]


def test_a_state_is_told_when_it_changes() -> None:
    channel = a_channel()
    channel.pull_events()

    channel.report_state(ChannelState.WORKING, phone=Phone("+628111"), at=AT)
    channel.report_state(ChannelState.WORKING, at=AT)

    assert (channel.state, channel.phone) == (ChannelState.WORKING, "+628111")
    assert channel.pull_events() == [
        ChannelStateChanged(
            tenant_id=TENANT, occurred_at=AT, channel_id=channel.id, state="working"
        )
    ]


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("WORKING", ChannelState.WORKING),
        ("SCAN_QR_CODE", ChannelState.SCAN_QR_CODE),
        ("working", ChannelState.WORKING),
        ("SOMETHING_NEW", ChannelState.UNKNOWN),
        ("", ChannelState.UNKNOWN),
    ],
)
def test_a_state_is_read_in_wahas_words(said: str, state: ChannelState) -> None:
    assert ChannelState(said) is state
