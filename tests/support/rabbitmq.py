"""RabbitMQ for tests: a private broker, or the one that TEST_RABBITMQ_URL names.

A broker gives no way to make a virtual host over AMQP, so tests keep apart by queue names instead:
each asks `queues` for settings with a fresh prefix, and deletes those queues at its end. A given
broker is never restarted or purged; tests that kill or restart make a ``private`` one.
"""

import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import aio_pika
from pydantic import SecretStr

from ai_platform.embedded.child import spawn, stop
from shared.config.settings import QueueSettings
from shared.messaging.topology import all_names

_BINARIES = ("/usr/lib/rabbitmq/bin", "/usr/lib/rabbitmq/lib/*/sbin", "/opt/rabbitmq/sbin")
_START_SECONDS = 90.0
_OPEN_FILES = 20_000
"""A broker with the usual 1,024 never comes back once it has a few thousand queues."""


def installed_broker() -> Path | None:
    """The start script itself; the one on the PATH changes to another user."""
    for pattern in _BINARIES:
        found = sorted(Path("/").glob(f"{pattern[1:]}/rabbitmq-server"))
        if found:
            return found[-1]
    return None


class RabbitForTests:
    """A broker. ``private`` forces one of our own, which may be killed, stopped and started."""

    def __init__(self, *, private: bool = False) -> None:
        given = os.environ.get("TEST_RABBITMQ_URL")
        self._folder: Path | None = None
        self._node: subprocess.Popen[bytes] | None = None
        self._names: subprocess.Popen[bytes] | None = None
        if given and not private:
            self.url = given
            return
        binary = installed_broker()
        assert binary is not None, "no rabbitmq-server is installed"
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="aip-rabbit-"))
        self._port, self._distribution_port, self._names_port = _free_ports(3)
        self._name = f"aip{uuid4().hex[:8]}@localhost"
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}/"

    def __enter__(self) -> Self:
        if self._folder is not None:
            self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            self.kill()
            if self._names is not None:
                stop(self._names, signal.SIGTERM, patience=5)
            shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it on its old data, or anew, and wait until it answers."""
        assert self._folder is not None, "a given broker is not ours to start"
        environment = self._environment(self._folder)
        if self._names is None:
            # else the node starts this daemon itself, and nobody ever ends it
            argv = [shutil.which("epmd") or "epmd", "-port", str(self._names_port)]
            log = self._folder / "epmd.log"
            self._names = spawn(argv, log=log, death_signal=signal.SIGKILL, env=environment)
            _wait_for_port(self._names_port, self._names)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        enough = min(_OPEN_FILES, hard) if hard != resource.RLIM_INFINITY else _OPEN_FILES
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))
        try:
            self._node = spawn(
                [str(self._binary)],
                log=self._folder / "node.log",
                death_signal=signal.SIGKILL,
                env=environment,
            )
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        _wait_for_amqp(self._port, self._node, self._folder / "node.log")

    @property
    def pid(self) -> int:
        """The node's process."""
        assert self._node is not None, "a given broker is not our child"
        return self._node.pid

    def kill(self) -> None:
        """End it as a crash would."""
        if self._node is not None and self._node.poll() is None:
            os.killpg(self._node.pid, signal.SIGKILL)
            self._node.wait()

    def remember(self) -> None:
        """Let it write down which queues it has. It does so up to three seconds after it declared
        one, and to a queue that it has forgotten in a crash it never gives a leader."""
        self.control("[dets:sync(Table) || Table <- dets:all()].")

    def forget(self, name: str) -> None:
        """Let a crash come between the declaration of a queue and the moment it is written down."""
        self.control(f"dets:delete(ra_directory_reverse, '%2F_{name}').")
        self.remember()

    def control(self, expression: str) -> str:
        """Let the node evaluate Erlang, as ``rabbitmqctl eval`` does."""
        assert self._folder is not None, "a given broker is not ours to control"
        if quick := shutil.which("erl_call"):  # a hundredth of the time
            cookie = (self._folder / ".erlang.cookie").read_text()
            argv = [quick, "-sname", self._name, "-c", cookie, "-e"]
        else:
            argv = [str(self._binary.with_name("rabbitmqctl")), "eval", expression]
        done = subprocess.run(
            argv,
            input=f"{expression}\n",
            env=self._environment(self._folder),
            capture_output=True,
            text=True,
            check=True,
        )
        assert "{error" not in done.stdout, done.stdout
        return done.stdout

    def _environment(self, folder: Path) -> dict[str, str]:
        plugins = folder / "enabled_plugins"
        plugins.write_text("[].")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),  # the Erlang cookie lies there
            "LANG": "C.UTF-8",
            "RUNNING_UNDER_SYSTEMD": "1",  # the script becomes the node instead of its parent
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "no-such-file"),
            "RABBITMQ_CONFIG_FILE": str(folder / "no-such-config"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none",
        }

    @asynccontextmanager
    async def queues(self, **settings: Any) -> AsyncIterator[QueueSettings]:
        """Settings that name queues nobody else uses; they are deleted at the end."""
        prefix = f"t{uuid4().hex[:12]}"
        made = QueueSettings(
            rabbitmq_url=SecretStr(self.url),
            rabbitmq_task_queue=f"{prefix}.ai_tasks",
            rabbitmq_crm_queue=f"{prefix}.crm_tasks",
            rabbitmq_wa_queue=f"{prefix}.wa_messages",
            **settings,
        )
        try:
            yield made
        finally:
            if self._folder is None or (self._node is not None and self._node.poll() is None):
                async with self.channel() as channel:
                    for name in all_names(made):
                        await channel.queue_delete(name)

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        """A connection and channel of the test's own, to look at the broker from outside."""
        connection = await aio_pika.connect(self.url)
        async with connection, connection.channel() as channel:
            yield channel

    async def counts(self, name: str) -> tuple[int, int]:
        """Messages ready and consumers attached, as the broker counts them; none: no queue."""
        async with self.channel() as channel:
            try:
                queue = await channel.declare_queue(name, passive=True)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                return 0, 0
            result = queue.declaration_result
            return result.message_count or 0, result.consumer_count or 0


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    _poll(lambda: _answers(port, b""), process, f"nothing listens on port {port}")


def _wait_for_amqp(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    try:
        _poll(lambda: _answers(port, b"AMQP\x00\x00\x09\x01"), process, "RabbitMQ does not answer")
    except RuntimeError as error:
        raise RuntimeError(f"{error}: {log.read_text(errors='replace')[-2000:]}") from None


def _answers(port: int, greeting: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as opened:
            opened.sendall(greeting)
            return not greeting or opened.recv(1) == b"\x01"
    except OSError:
        return False


def _poll(ready: Any, process: subprocess.Popen[bytes], complaint: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(complaint)
        time.sleep(0.1)
