"""``ai-platform up``: the whole stack starts, stops, comes back, and leaves nothing behind."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_platform.embedded.data_dir import runtime_dir
from tests.support.postgres import TestDatabase
from tests.support.processes import commands, wait_until_gone
from tests.support.up import COMMAND, Up, ai_platform, clean_environment

_FACTS = {
    "base_url",
    "tenant_id",
    "tenant_slug",
    "api_key",
    "webhook_url",
    "webhook_secret",
    "channel_id",
}


def _status(url: str, key: str | None = None) -> int:
    request = urllib.request.Request(url)
    if key is not None:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def _facts(data_dir: Path) -> dict[str, str]:
    told = ai_platform("demo", "info", "--json", "--data-dir", str(data_dir))
    assert told.returncode == 0, told.stderr
    facts: dict[str, str] = json.loads(told.stdout)
    return facts


def _pid(data_dir: Path, module: str) -> int:
    """The process of one of our services, found by what it was started with."""
    [pid] = [
        pid for pid, command in commands(str(runtime_dir(data_dir))).items() if module in command
    ]
    return pid


def _assert_audited(data_dir: Path) -> None:
    told = ai_platform("audit", "--data-dir", str(data_dir))
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Every promise is kept" in told.stdout


def _wait_for_ready(url: str, *, patience: float = 60.0) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            if _status(f"{url}/ready") == 200:
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, f"{url} did not come back"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="aip-up-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def platform(folder: Path) -> Iterator[Up]:
    """A run that tests may look at and may not stop; after them it has kept every promise."""
    with Up(folder / "shared") as up:
        yield up.ready()
        _assert_audited(up.data_dir)


def test_it_says_where_everything_is(platform: Up) -> None:
    said = "\n".join(platform.said)
    facts = _facts(platform.data_dir)
    assert f"{platform.base_url}/console" in said
    assert f"{platform.base_url}/simulator" in said
    assert f"{platform.base_url}/docs" in said
    assert facts["api_key"] in said
    assert "offline demo model" in said
    for path in ("/ready", "/health", "/console", "/simulator", "/docs"):
        assert _status(platform.base_url + path) == 200, path


def test_demo_info_tells_exactly_what_programs_need(platform: Up) -> None:
    facts = _facts(platform.data_dir)
    assert set(facts) == _FACTS
    assert facts["base_url"] == platform.base_url
    assert facts["tenant_slug"] == "kopi-braga"
    assert facts["webhook_url"].startswith(f"{platform.base_url}/v1/crm/webhook/whatsapp/")
    products = f"{platform.base_url}/v1/crm/tenants/{facts['tenant_id']}/products"
    assert _status(products, facts["api_key"]) == 200
    assert _status(products, facts["api_key"][:-1]) == 401


def test_only_its_user_reads_the_secrets(platform: Up) -> None:
    for name in ("credentials.json", "demo.json", "run.json"):
        mode = stat.S_IMODE((platform.data_dir / name).stat().st_mode)
        assert mode == 0o600, name
    assert stat.S_IMODE(platform.data_dir.stat().st_mode) == 0o700


def test_no_port_but_http_is_open(platform: Up) -> None:
    """PostgreSQL and Valkey are reached by files that only this user may open."""
    ours = commands(str(platform.data_dir)) | commands(str(runtime_dir(platform.data_dir)))
    listening = {
        line.split()[9]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    held = {
        target
        for pid in ours
        for target in _sockets(pid)
        if target.removeprefix("socket:[").removesuffix("]") in listening
    }
    assert len(held) == 1


def _sockets(pid: int) -> list[str]:
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.append(target)
    return found


def test_a_second_start_on_the_same_data_is_refused(platform: Up) -> None:
    second = ai_platform("up", "--port", "0", "--data-dir", str(platform.data_dir))
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert "Traceback" not in second.stderr
    assert _status(f"{platform.base_url}/ready") == 200


def test_the_doctor_finds_it_healthy(platform: Up) -> None:
    told = ai_platform("doctor", "--data-dir", str(platform.data_dir))
    assert told.returncode == 0, told.stdout
    assert "failed" not in told.stdout


def test_keys_can_be_made_while_it_runs(platform: Up) -> None:
    facts = _facts(platform.data_dir)
    made = ai_platform(
        "keys", "create", "--tenant", "kopi-braga", "--name", "till", "--scope", "products:read",
        "--data-dir", str(platform.data_dir),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    products = f"{platform.base_url}/v1/crm/tenants/{facts['tenant_id']}/products"
    assert _status(products, made.stdout.strip()) == 200


def test_a_chat_from_a_pipe_prints_every_bubble(platform: Up) -> None:
    told = ai_platform(
        "chat", "--url", platform.base_url, "--tenant", "kopi-braga",
        stdin="halo, ada kopi apa?\n\nberapa harga croissant mentega?\n", patience=120,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert "offline demo model" in told.stderr
    assert "Kopi" in told.stdout
    assert "Rp24.000" in told.stdout


def test_a_chat_finds_the_server_and_the_tenant_by_itself(platform: Up) -> None:
    data_dir = ("--data-dir", str(platform.data_dir))
    tenant = _facts(platform.data_dir)["tenant_id"]
    assert ai_platform("chat", *data_dir, stdin="halo\n").stdout != ""
    by_id = ai_platform("chat", *data_dir, "--tenant", tenant, stdin="")
    assert (by_id.returncode, by_id.stdout) == (0, "")
    unknown = ai_platform("chat", *data_dir, "--tenant", "toko-lain", stdin="halo\n")
    assert unknown.returncode == 1
    assert "toko-lain" in unknown.stderr


def test_a_chat_without_a_server_says_so(folder: Path) -> None:
    told = ai_platform("chat", "--url", "http://127.0.0.1:9", stdin="halo\n")
    assert told.returncode == 1
    assert "No server answers at http://127.0.0.1:9" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_busy_port_is_told_with_a_way_out(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = str(taken.getsockname()[1])
        told = ai_platform("up", "--port", port, "--data-dir", str(folder / "busy"))
    assert told.returncode == 1
    assert f"port {port}" in told.stderr
    assert "--port" in told.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_everything_in_order(folder: Path, signum: signal.Signals) -> None:
    data_dir = folder / "stopped"
    with Up(data_dir) as up:
        up.ready()
        markers = (str(data_dir), str(runtime_dir(data_dir)))
        assert sum(len(commands(marker)) for marker in markers) >= 5
        assert up.stop(signum) == 0
    assert wait_until_gone(*markers, patience=0) == {}
    assert not (data_dir / "run.json").exists()
    assert "database system is shut down" in (data_dir / "logs" / "postgres.log").read_text()
    assert ai_platform("demo", "info", "--json", "--data-dir", str(data_dir)).returncode == 1


def test_it_stops_in_order_though_nobody_reads_what_it_says(folder: Path) -> None:
    data_dir = folder / "unread"
    log = data_dir / "logs" / "postgres.log"
    process = subprocess.Popen(
        [COMMAND, "up", "--port", "0", "--data-dir", str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=clean_environment(),
    )
    try:
        assert process.stdout is not None
        process.stdout.close()
        deadline = time.monotonic() + 60
        while not (data_dir / "run.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.wait()
    assert "database system is shut down" in log.read_text()


@pytest.mark.parametrize(
    ("signum", "group"),
    [
        pytest.param(signal.SIGTERM, False, id="make is told to end"),
        pytest.param(signal.SIGINT, True, id="Ctrl-C on the terminal"),
        pytest.param(signal.SIGHUP, True, id="the terminal is closed"),
        pytest.param(signal.SIGKILL, False, id="make is killed"),
        pytest.param(signal.SIGKILL, True, id="everything in the terminal is killed"),
    ],
)
def test_what_ends_make_run_ends_everything(
    folder: Path, signum: signal.Signals, group: bool
) -> None:
    data_dir = folder / "made"
    with Up(data_dir, through_make=True) as up:
        up.ready()
        if group:
            os.killpg(up.process.pid, signum)
        else:
            up.process.send_signal(signum)
        up.ended(patience=40)
    assert wait_until_gone(str(data_dir), str(runtime_dir(data_dir)), patience=35) == {}


def test_it_comes_back_with_what_it_knew(folder: Path) -> None:
    data_dir = folder / "warm"
    with Up(data_dir) as up:
        up.ready()
        first = _facts(data_dir)
    with Up(data_dir) as up:
        up.ready()
        again = _facts(data_dir)
    assert {**first, "base_url": "", "webhook_url": ""} == {
        **again, "base_url": "", "webhook_url": "",
    }  # fmt: skip


def test_a_killed_supervisor_leaves_nothing_behind(folder: Path) -> None:
    data_dir = folder / "killed"
    with Up(data_dir) as up:
        up.ready()
        markers = (str(data_dir), str(runtime_dir(data_dir)))
        kinds = " ".join(told for marker in markers for told in commands(marker).values())
        for kind in ("postgres", "valkey", "embedded.web", "embedded.worker"):
            assert kind in kinds
        up.stop(signal.SIGKILL, patience=5)
    assert wait_until_gone(*markers, patience=10) == {}
    with Up(data_dir) as up:  # and its data can be used at once
        up.ready()


def test_a_supervisor_killed_while_it_starts_leaves_nothing_behind(folder: Path) -> None:
    data_dir = folder / "early"
    for moment in ("credentials.json", "logs/worker.log"):
        with Up(data_dir) as up:
            deadline = time.monotonic() + 60
            while not (data_dir / moment).exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            up.stop(signal.SIGKILL, patience=5)
        gone = wait_until_gone(str(data_dir), str(runtime_dir(data_dir)), patience=10)
        assert gone == {}, moment
    with Up(data_dir) as up:
        up.ready()


def test_what_crashes_is_started_again_and_said_so(folder: Path) -> None:
    with Up(folder / "crashed") as up:
        up.ready()
        for kind, module in (("worker", "embedded.worker"), ("web", "embedded.web")):
            os.kill(_pid(up.data_dir, module), signal.SIGKILL)
            up.until(f"{kind} ended by SIGKILL")
            _wait_for_ready(up.base_url)
        postgres = int((up.data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(postgres, signal.SIGKILL)
        up.until("PostgreSQL ended by SIGKILL")
        _wait_for_ready(up.base_url)
        facts = _facts(up.data_dir)
        products = f"{up.base_url}/v1/crm/tenants/{facts['tenant_id']}/products"
        assert _status(products, facts["api_key"]) == 200
        _assert_audited(up.data_dir)


def test_others_who_reach_the_server_get_no_demo_login(folder: Path) -> None:
    data_dir = folder / "public"
    with Up(data_dir) as up:
        up.ready()
        private = _facts(data_dir)
    with Up(data_dir, "--host", "0.0.0.0") as up:
        up.ready()
        said = "\n".join(up.said)
        assert "no demo login" in said
        assert "aip_" not in said
        refused = ai_platform("demo", "info", "--json", "--data-dir", str(data_dir))
        assert refused.returncode == 1
        assert "keys create" in refused.stderr
        products = f"{up.base_url}/v1/crm/tenants/{private['tenant_id']}/products"
        assert _status(products, private["api_key"]) == 401
        chat = ai_platform("chat", "--url", up.base_url, stdin="halo\n")
        assert chat.returncode == 1
        assert "--key" in chat.stderr
        key = ai_platform(
            "keys", "create", "--tenant", "kopi-braga", "--name", "phone", "--scope", "simulator",
            "--data-dir", str(data_dir),
        ).stdout.strip()  # fmt: skip
        chat = ai_platform("chat", "--url", up.base_url, "--key", key, stdin="halo\n")
        assert chat.returncode == 0, chat.stderr
        assert chat.stdout


async def test_a_database_that_the_environment_names_is_used(
    test_database: TestDatabase, folder: Path
) -> None:
    data_dir = folder / "given"
    with Up(data_dir, env={"DATABASE_URL": test_database.url}) as up:
        up.ready()
        facts = _facts(data_dir)
        assert not (data_dir / "postgres").exists()
        assert "postgres" not in " ".join(commands(str(data_dir)).values())
        # its address may hold a password, so it is not written down
        assert test_database.name not in (data_dir / "run.json").read_text()
        assert _status(f"{up.base_url}/ready") == 200
    assert str(await test_database.fetchval("SELECT id FROM tenants")) == facts["tenant_id"]


def test_a_database_that_is_away_is_told_in_a_sentence(folder: Path) -> None:
    told = ai_platform(
        "up", "--port", "0", "--data-dir", str(folder / "away"),
        env={"DATABASE_URL": "postgresql://app:geheim@127.0.0.1:9/x"},
    )  # fmt: skip
    assert told.returncode == 1
    assert told.stderr.startswith("ai-platform: ")
    assert "geheim" not in told.stdout + told.stderr
    assert commands(str(folder / "away")) == {}
