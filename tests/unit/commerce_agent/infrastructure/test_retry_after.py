from datetime import UTC, datetime, timedelta

import pytest

from commerce_agent.infrastructure.webhooks.http_callbacks import retry_after

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (None, None),
        ("120", timedelta(minutes=2)),
        (" 7 ", timedelta(seconds=7)),
        ("Wed, 25 Nov 2026 12:01:00 GMT", timedelta(minutes=1)),
        ("Wed, 25 Nov 2026 11:59:00 GMT", None),
        ("9" * 400, timedelta(seconds=10**8)),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("\u0661", None),
        ("Wed, 25 Nov 99999 12:01:00 GMT", None),
    ],
)
def test_it_is_read_as_seconds_or_a_date(written: str | None, meant: timedelta | None) -> None:
    assert retry_after(written, now=NOW) == meant
