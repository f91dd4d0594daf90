"""Names that the guide fixes are found where the guide says, under the parameters it names."""

import inspect
from importlib import import_module

import pytest

KEPT = {
    "gateway.domain.entities.job": ("Job",),
    "gateway.domain.value_objects.job_id": ("JobId",),
    "gateway.domain.value_objects.job_status": ("JobStatus",),
    "gateway.domain.value_objects.prompt": ("Prompt",),
    "gateway.domain.events.job_events": ("JobCreated", "JobCompleted", "JobFailed"),
    "gateway.domain.repositories.job_repository": ("JobRepository",),
    "gateway.application.services.job_service": ("JobService",),
    "gateway.application.dto.job_dto": ("JobDTO", "JobStatusDTO"),
    "gateway.application.ports.message_publisher": ("MessagePublisher",),
    "gateway.application.ports.cache_client": ("CacheClient",),
    "gateway.infrastructure.messaging.rabbitmq_publisher": ("RabbitMQPublisher",),
    "gateway.infrastructure.messaging.delayed_publisher": ("DelayedTaskPublisher",),
    "gateway.crm.publishers": ("CRMTaskPublisher",),
    "llm_worker.domain.entities.llm_config": ("LLMConfig",),
    "llm_worker.domain.entities.prompt_template": ("PromptTemplate",),
    "llm_worker.domain.entities.agent_config": ("AgentConfig", "AgentType"),
    "llm_worker.domain.value_objects.provider": ("ProviderType",),
    "llm_worker.domain.value_objects.model_name": ("ModelName",),
    "llm_worker.domain.value_objects.temperature": ("Temperature",),
    "llm_worker.domain.services.llm_selector": (),
    "llm_worker.application.services.processing_service": ("ProcessingService",),
    "llm_worker.application.dto.processing_dto": (),
    "llm_worker.infrastructure.llm.llm_factory": ("LLMFactory",),
    "llm_worker.infrastructure.llm.langgraph_runner": ("LangGraphRunner",),
    "llm_worker.infrastructure.llm.agent_state": ("AgentState",),
    "llm_worker.infrastructure.llm.agent_nodes": (
        "moderation_node",
        "router_node",
        "main_agent_node",
        "fallback_agent_node",
        "followup_agent_node",
    ),
    "llm_worker.infrastructure.llm.timeout": ("with_timeout", "LLMTimeoutError"),
    "llm_worker.infrastructure.llm.backoff": ("BackoffConfig", "retry_with_backoff"),
    "llm_worker.infrastructure.llm.circuit_breaker": (
        "CircuitState",
        "CircuitBreaker",
        "CircuitBreakerConfig",
        "CircuitBreakerRegistry",
        "CircuitOpenError",
    ),
    "llm_worker.infrastructure.llm.response_validator": (
        "ResponseQuality",
        "ValidationResult",
        "validate_response",
    ),
    "llm_worker.interface.handlers.message_handler": (),
}
"""Module → names. Those of the shop, of payments and of tickets come with their own parts."""

METHODS = {
    ("gateway.application.services.job_service", "JobService.__init__"): (
        "job_repository",
        "message_publisher",
        "cache_client",
    ),
    (
        "gateway.infrastructure.messaging.delayed_publisher",
        "DelayedTaskPublisher.schedule_retry",
    ): ("job_id", "message", "delay_seconds"),
    ("gateway.crm.publishers", "CRMTaskPublisher.publish_webhook_task"): (),
    ("gateway.domain.entities.job", "Job.mark_for_retry"): ("delay_seconds",),
    ("gateway.domain.value_objects.job_status", "JobStatus.can_transition_to"): (),
    ("llm_worker.domain.entities.prompt_template", "PromptTemplate.render"): ("variables",),
    ("llm_worker.infrastructure.llm.llm_factory", "LLMFactory.create"): ("config",),
    ("llm_worker.infrastructure.llm.langgraph_runner", "LangGraphRunner.run"): (
        "config",
        "system_prompt",
        "user_prompt",
    ),
    ("llm_worker.infrastructure.llm.langgraph_runner", "LangGraphRunner.run_multi_agent"): (
        "config",
        "agent_configs",
        "user_prompt",
        "context",
        "needs_moderation",
    ),
    (
        "llm_worker.infrastructure.llm.langgraph_runner",
        "LangGraphRunner._build_multi_agent_workflow",
    ): (),
    ("llm_worker.infrastructure.llm.langgraph_runner", "LangGraphRunner._route_after_router"): (
        "state",
    ),
    ("llm_worker.infrastructure.llm.langgraph_runner", "LangGraphRunner._route_after_main"): (
        "state",
    ),
    ("llm_worker.infrastructure.llm.timeout", "with_timeout"): (
        "coro",
        "timeout_seconds",
        "operation",
    ),
    ("llm_worker.infrastructure.llm.backoff", "retry_with_backoff"): (
        "coro_factory",
        "max_retries",
        "backoff_config",
        "retryable_exceptions",
    ),
    ("llm_worker.infrastructure.llm.circuit_breaker", "CircuitBreaker.call"): ("coro_factory",),
    ("llm_worker.infrastructure.llm.circuit_breaker", "CircuitBreakerRegistry.get_or_create"): (
        "name",
    ),
    ("llm_worker.infrastructure.llm.response_validator", "validate_response"): (),
    ("llm_worker.application.services.processing_service", "ProcessingService.process"): (),
    (
        "llm_worker.application.services.processing_service",
        "ProcessingService.process_multi_agent",
    ): ("request", "context", "needs_moderation"),
}
"""(module, name) → the first parameters after ``self``."""

FIELDS = {
    ("llm_worker.infrastructure.llm.backoff", "BackoffConfig"): (
        "initial_delay",
        "max_delay",
        "multiplier",
        "jitter_factor",
    ),
    ("llm_worker.infrastructure.llm.circuit_breaker", "CircuitBreakerConfig"): (
        "failure_threshold",
        "success_threshold",
        "timeout_seconds",
    ),
    ("llm_worker.infrastructure.llm.agent_state", "AgentState"): (
        "messages",
        "agent_type",
        "context",
        "needs_moderation",
        "moderation_result",
        "retry_count",
        "final_response",
        "error",
    ),
}


@pytest.mark.parametrize("module", KEPT)
def test_kept_names_are_imported_from_their_paths(module: str) -> None:
    found = import_module(module)
    assert [name for name in KEPT[module] if not hasattr(found, name)] == []


@pytest.mark.parametrize(("module", "name"), METHODS, ids=lambda part: part.rpartition(".")[2])
def test_parameters_keep_their_names_and_their_places(module: str, name: str) -> None:
    found = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
    names = [each for each in inspect.signature(found).parameters if each != "self"]
    kept = METHODS[module, name]
    assert tuple(names[: len(kept)]) == kept


@pytest.mark.parametrize(("module", "name"), FIELDS, ids=lambda part: part.rpartition(".")[2])
def test_fields_keep_their_names(module: str, name: str) -> None:
    annotated = getattr(import_module(module), name).__annotations__
    assert [field for field in FIELDS[module, name] if field not in annotated] == []
