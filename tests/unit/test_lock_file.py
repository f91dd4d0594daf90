"""The lock file must install anywhere: it names the public Python index and nothing else."""

import re
from pathlib import Path

LOCK = Path(__file__).parents[2] / "uv.lock"
PUBLIC = {"https://pypi.org", "https://files.pythonhosted.org"}


def test_the_lock_file_names_no_host_but_the_public_index() -> None:
    assert set(re.findall(r"https?://[^/\"\s]+", LOCK.read_text())) == PUBLIC
