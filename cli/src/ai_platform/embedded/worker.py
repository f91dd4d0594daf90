"""The worker process of the embedded profile: commerce agent and LLM worker in one event loop."""

from functools import partial

import commerce_agent.worker
import llm_worker.worker
from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry
from shared.observability.process import run_services


def main() -> None:
    # what a conversation learns of a provider, jobs need not find out again
    circuits = CircuitBreakerRegistry()
    run_services(
        "worker",
        {
            "commerce-agent": partial(commerce_agent.worker.serve, circuits=circuits),
            "llm-worker": partial(llm_worker.worker.serve, circuits=circuits),
        },
    )


if __name__ == "__main__":
    main()
