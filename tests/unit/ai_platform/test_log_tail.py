import json
from pathlib import Path

from ai_platform.embedded.log_tail import LogTail, readable


def test_only_what_is_new_is_told(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text("of the last run\n")
    tail = LogTail(path)
    with path.open("a") as file:
        file.write("first\nsec")
        file.flush()
        assert tail.lines() == ["first"]
        file.write("ond\n")
        file.flush()
    assert tail.lines() == ["second"]
    assert tail.lines() == []


def test_a_file_that_is_not_there_yet_has_no_lines(tmp_path: Path) -> None:
    assert LogTail(tmp_path / "web.log").lines() == []


def test_a_large_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_bytes(b"x" * 10_000_001)
    LogTail(path)
    assert not path.exists()
    assert (tmp_path / "web.log.1").stat().st_size == 10_000_001


def _line(level: str) -> str:
    return json.dumps(
        {"event": "waha_refused", "level": level, "service": "web", "timestamp": "now", "code": 7}
    )


def test_warnings_are_shown_and_the_rest_only_when_asked_for() -> None:
    assert readable(_line("warning"), verbose=False) == "web warning: waha_refused code=7"
    assert readable(_line("error"), verbose=False) == "web error: waha_refused code=7"
    assert readable(_line("info"), verbose=False) is None
    assert readable(_line("info"), verbose=True) == "web info: waha_refused code=7"


def test_what_is_not_json_stays_in_the_file() -> None:
    assert readable("Traceback (most recent call last):", verbose=False) is None
    assert readable("Traceback (most recent call last):", verbose=True) is not None
    assert readable("", verbose=True) is None
    assert readable("7", verbose=False) is None
