"""Which models are asked, and in which order."""

from collections.abc import Iterable

from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.repositories.llm_config_repository import LLMConfigNotFound
from shared.kernel.errors import Invalid

_USUAL_ANSWER_TOKENS = 500


class NoModelFits(Invalid):
    """No model that is active takes a prompt of this size."""

    code = "llm_prompt_too_large"


def select_models(
    requested: str, configs: Iterable[LLMConfig], *, prompt_tokens: int = 0
) -> tuple[LLMConfig, ...]:
    """The requested model and its fallbacks in their order: those that are active and take a
    prompt of ``prompt_tokens``.

    When none of them is left, the cheapest active model that takes it, so that a job need not fail
    because one model was switched off. Models in this process are never taken that way: the demo
    model answers only who asks for it. A fallback that does not exist is passed over.

    ``configs`` are the models of the tenant and the platform, one of each name, the inactive ones
    too.

    Raises:
        LLMConfigNotFound: there is no model with the requested name.
        NoModelFits: nobody is left.
    """
    by_name = {config.name: config for config in configs}
    wanted = by_name.get(requested)
    if wanted is None:
        raise LLMConfigNotFound(f"There is no model named {requested}")
    chain = [wanted, *(by_name[name] for name in wanted.fallbacks if name in by_name)]
    able = tuple(config for config in chain if _is_able(config, prompt_tokens))
    if able:
        return able
    rest = [
        config
        for config in by_name.values()
        if config.provider.is_remote and _is_able(config, prompt_tokens)
    ]
    if not rest:
        raise NoModelFits(prompt_tokens=prompt_tokens)
    return (min(rest, key=lambda config: _price_of(config, prompt_tokens)),)


def _is_able(config: LLMConfig, prompt_tokens: int) -> bool:
    return config.active and config.fits(prompt_tokens)


def _price_of(config: LLMConfig, prompt_tokens: int) -> tuple[bool, int, str]:
    """What the prompt and a usual answer would cost; models without a price come last."""
    cost = config.cost_nanos(prompt_tokens, _USUAL_ANSWER_TOKENS)
    return not config.has_price, cost, config.name
