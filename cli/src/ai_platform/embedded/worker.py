"""The worker process of the embedded profile: commerce agent and LLM worker in one event loop."""

import commerce_agent.worker
import llm_worker.worker
from shared.observability.process import run_services


def main() -> None:
    run_services(
        "worker",
        {"commerce-agent": commerce_agent.worker.serve, "llm-worker": llm_worker.worker.serve},
    )


if __name__ == "__main__":
    main()
