"""What ``ai-platform up`` was asked to do."""

import socket
from dataclasses import dataclass
from ipaddress import ip_address

from ai_platform.embedded.data_dir import DataDir
from ai_platform.errors import CommandFailed

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """``port`` 0 takes a free one."""

    data_dir: DataDir
    host: str = "127.0.0.1"
    port: int = 8000
    demo: bool = True
    verbose: bool = False

    @property
    def is_private(self) -> bool:
        """Whether only this machine reaches the server. If not there is no demo login."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def base_url(self) -> str:
        """How this machine reaches the server."""
        host = _WILDCARDS.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def free_port(host: str, port: int) -> int:
    """The port to listen on: ``port``, or any free one for 0.

    Raises:
        CommandFailed: it cannot be had; the message says how to get another.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise CommandFailed(f"--host {host} is not an address of this machine") from error
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)  # two sockets may be bound where only one may listen
        except PermissionError as error:
            raise CommandFailed(
                f"Port {port} is for the administrator alone; choose another with --port"
            ) from error
        except OSError as error:
            raise CommandFailed(
                f"Cannot listen on {host} port {port} ({error.strerror}); "
                "choose another with --port"
            ) from error
        return int(probe.getsockname()[1])
