"""``python -m bench.peers.server MODULE PORT``: ``MODULE.app`` on the server that the gateway runs
on, with the gateway's settings, so that only the applications differ."""

import sys

import uvicorn


def main() -> None:
    module, port = sys.argv[1:]
    uvicorn.run(
        f"{module}:app",
        host="127.0.0.1",
        port=int(port),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
