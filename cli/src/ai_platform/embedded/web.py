"""The web process of the embedded profile: gateway and messenger in one event loop."""

import gateway.main
import messenger.worker
from shared.observability.process import run_services


def main() -> None:
    run_services("web", {"gateway": gateway.main.serve, "messenger": messenger.worker.serve})


if __name__ == "__main__":
    main()
