"""The pipeline of jobs over scripted models: who answers, what is kept, what is an error."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import pytest
from langchain_core.messages import AIMessage, BaseMessage

from llm_worker.application.dto.processing_dto import RunRecord
from llm_worker.application.services.processing_service import Agent
from llm_worker.domain.entities.agent_config import AgentType
from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.domain.value_objects.structured_output import StructuredOutput
from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry
from llm_worker.infrastructure.llm.errors import ModelRefused, ModelUnavailable
from llm_worker.infrastructure.llm.langgraph_runner import LangGraphRunner
from llm_worker.infrastructure.llm.llm_factory import LLMFactory
from llm_worker.infrastructure.llm.model_call import ModelCaller
from llm_worker.infrastructure.llm.response_validator import (
    AnswerRefused,
    AnswerTruncated,
    InvalidResponse,
)
from shared.config.settings import LlmSettings
from shared.security.outbound import safe_transport
from tests.support.scripted_model import Answer, ScriptedModel
from tests.unit.llm_worker.infrastructure.fake_time import Dice, FakeTime

ALLOWED = '{"verdict": "allowed"}'
VIOLATION = '{"verdict": "violation", "categories": ["illegal"], "reason": "asks for malware"}'
DOWN = ModelUnavailable()
PRICED = {"price_in_per_million": Decimal(2), "price_out_per_million": Decimal(10)}


def a_config(name: str, **changes: object) -> LLMConfig:
    values: dict[str, object] = {
        "name": name,
        "provider": ProviderType.SCRIPTED,
        "model": ModelName(f"{name}-model"),
        "structured_output": StructuredOutput.JSON_TEXT,
    }
    return LLMConfig(**(values | changes))  # type: ignore[arg-type]


def agents(**changes: object) -> Mapping[AgentType, Agent]:
    return {
        kind: Agent(system_prompt=f"You are {kind}.", models=(a_config(kind.value, **changes),))
        for kind in AgentType
    }


class Models:
    """One scripted model for each agent, by the name of its configuration."""

    def __init__(self, **answers: list[Answer]) -> None:
        self.models = {kind.value: ScriptedModel() for kind in AgentType}
        for name, script in answers.items():
            self.models[name] = ScriptedModel(*script)
        time = FakeTime()
        factory = LLMFactory(
            LlmSettings(),
            transport=lambda: safe_transport(()),
            scripted=lambda config: self.models[config.name],
        )
        caller = ModelCaller(
            factory,
            CircuitBreakerRegistry(monotonic=time.monotonic),
            LlmSettings(llm_max_retries=0),
            sleep=time.sleep,
            dice=Dice(0.0),
            monotonic=time.monotonic,
        )
        self.runner = LangGraphRunner(caller, monotonic=time.monotonic)
        self.record = RunRecord()

    async def answer(
        self, prompt: str = "Apa itu kopi luwak?", **options: object
    ) -> tuple[str, AgentType]:
        values: dict[str, object] = {"needs_moderation": False, "record": self.record}
        text, tokens, agent = await self.runner.run_multi_agent(
            a_config("main"),
            agents(),
            prompt,
            **(values | options),  # type: ignore[arg-type]
        )
        assert tokens == self.record.tokens
        assert all(model.left == 0 for model in self.models.values())
        return text, agent

    def asked(self, name: str, call: int = -1) -> list[BaseMessage]:
        return self.models[name].calls[call]

    @property
    def speakers(self) -> list[tuple[str, str]]:
        return [(each.agent, each.outcome) for each in self.record.attempts]


def said(text: str, *, tokens: tuple[int, int] = (0, 0), finish: str = "stop") -> AIMessage:
    return AIMessage(
        text,
        usage_metadata={
            "input_tokens": tokens[0],
            "output_tokens": tokens[1],
            "total_tokens": sum(tokens),
        },
        response_metadata={"finish_reason": finish},
    )


async def test_the_main_agent_answers_what_needs_no_moderation() -> None:
    models = Models(main=["Kopi dari luwak."])
    assert await models.answer() == ("Kopi dari luwak.", AgentType.MAIN)
    assert models.record.moderation is None
    system, question = models.asked("main")
    assert (system.text, question.text) == ("You are main.", "Apa itu kopi luwak?")


async def test_a_request_that_is_allowed_is_answered_after_the_verdict() -> None:
    models = Models(moderation=[ALLOWED], main=["Kopi dari luwak."])
    assert await models.answer(needs_moderation=True) == ("Kopi dari luwak.", AgentType.MAIN)
    assert models.record.moderation == {"verdict": "allowed", "categories": [], "reason": ""}
    assert models.speakers == [("moderation", "ok"), ("main", "ok")]


async def test_a_violation_is_answered_by_the_fallback_and_never_reaches_the_main_agent() -> None:
    models = Models(moderation=[VIOLATION], fallback=["Itu tidak bisa saya bantu ya, kak."])
    text, agent = await models.answer("Tulis virus", needs_moderation=True)
    assert (text, agent) == ("Itu tidak bisa saya bantu ya, kak.", AgentType.FALLBACK)
    assert models.record.moderation == {
        "verdict": "violation",
        "categories": ["illegal"],
        "reason": "asks for malware",
    }
    assert models.models["main"].calls == []


async def test_a_verdict_that_cannot_be_read_is_asked_for_once_more() -> None:
    models = Models(moderation=["Looks fine to me!", ALLOWED], main=["Kopi dari luwak."])
    assert await models.answer(needs_moderation=True) == ("Kopi dari luwak.", AgentType.MAIN)
    *_, theirs, repair = models.asked("moderation")
    assert theirs.text == "Looks fine to me!"
    assert "there is no JSON object in the answer" in repair.text


@pytest.mark.parametrize("second", ["Still fine!", '{"verdict": "maybe"}'])
async def test_a_verdict_unreadable_after_one_repair_goes_to_the_fallback(second: str) -> None:
    models = Models(moderation=["Fine!", second], fallback=["Coba tanyakan dengan cara lain, ya."])
    text, agent = await models.answer(needs_moderation=True)
    assert (text, agent) == ("Coba tanyakan dengan cara lain, ya.", AgentType.FALLBACK)
    assert models.record.moderation is not None
    assert models.record.moderation["verdict"] == "unreadable"
    assert len(models.record.attempts) == 3


async def test_what_the_moderators_provider_refuses_to_read_is_a_violation() -> None:
    models = Models(moderation=[ModelRefused()], fallback=["Itu tidak bisa saya bantu ya, kak."])
    assert (await models.answer(needs_moderation=True))[1] is AgentType.FALLBACK
    assert models.record.moderation is not None
    assert models.record.moderation["categories"] == ["refused_by_provider"]


@pytest.mark.parametrize(
    "invalid",
    [
        pytest.param(["", ""], id="nothing, twice"),
        pytest.param(["Internal Server Error"] * 2, id="an error, twice"),
        pytest.param(["I'm sorry, but I can't help with that."], id="a refusal"),
        pytest.param([said("Kopi luwak itu", finish="length")], id="cut off"),
        pytest.param([ModelRefused()], id="refused by the provider"),
    ],
)
async def test_an_invalid_answer_of_the_main_agent_goes_to_the_fallback(
    invalid: list[Answer],
) -> None:
    models = Models(main=invalid, fallback=["Coba tanyakan dengan cara lain, ya."])
    text, agent = await models.answer()
    assert (text, agent) == ("Coba tanyakan dengan cara lain, ya.", AgentType.FALLBACK)


@pytest.mark.parametrize("speaker", ["moderation", "main"])
async def test_an_outage_is_an_error_and_never_an_apology(speaker: str) -> None:
    models = Models(**{"moderation": [ALLOWED], "main": ["Kopi."], speaker: [DOWN]})
    with pytest.raises(ModelUnavailable):
        await models.answer(needs_moderation=True)
    assert models.models["fallback"].calls == []
    assert models.speakers[-1] == (speaker, "model_unavailable")


async def test_a_fallback_without_a_usable_answer_is_an_error() -> None:
    models = Models(main=["", ""], fallback=["", ""])
    with pytest.raises(InvalidResponse):
        await models.answer()


HISTORY = [
    {"role": "user", "content": "Ada kopi?"},
    {"role": "assistant", "content": "Ada kopi susu."},
]


@pytest.mark.parametrize(
    ("context", "agent"),
    [
        ({}, "main"),
        ({"history": []}, "main"),
        ({"is_followup": True}, "followup"),
        ({"is_followup": False, "history": HISTORY}, "main"),
        ({"is_followup": True, "history": HISTORY}, "followup"),
    ],
)
async def test_the_context_decides_who_answers_without_asking_a_model(
    context: Mapping[str, object], agent: str
) -> None:
    models = Models(**{agent: ["Berapa cangkir?"]})
    assert await models.answer(context=context) == ("Berapa cangkir?", AgentType(agent))
    assert models.speakers == [(agent, "ok")]


@pytest.mark.parametrize("agent", ["main", "followup"])
async def test_a_model_routes_what_the_context_leaves_open(agent: str) -> None:
    scripts: dict[str, list[Answer]] = {"main": [f'{{"agent": "{agent}"}}']}
    scripts.setdefault(agent, []).append("Berapa cangkir?")
    models = Models(**scripts)
    assert await models.answer("Yang itu", context={"history": HISTORY}) == (
        "Berapa cangkir?",
        AgentType(agent),
    )
    assert models.speakers == [("router", "ok"), (agent, "ok")]
    assert [message.text for message in models.asked(agent)[1:]] == [
        "Ada kopi?",
        "Ada kopi susu.",
        "Yang itu",
    ]


async def test_an_unreadable_route_is_the_main_agents() -> None:
    models = Models(main=["whoever", "somebody", "Berapa cangkir?"])
    assert (await models.answer(context={"history": HISTORY}))[1] is AgentType.MAIN


async def test_the_context_is_shown_as_data_in_the_system_prompt() -> None:
    models = Models(main=["Rp25.000"])
    await models.answer(context={"customer": "Ibu Sari", "is_followup": False})
    system = models.asked("main")[0].text
    assert '<context>\n{"customer": "Ibu Sari"}\n</context>' in system
    assert "is_followup" not in system


async def test_a_single_question_is_one_call_and_its_tokens() -> None:
    models = Models(main=[said("4", tokens=(12, 3))])
    answer = await models.runner.run(
        a_config("main", **PRICED), "Be brief.", "2+2?", record=models.record
    )
    assert answer == ("4", 15)
    [attempt] = models.record.attempts
    assert (attempt.config_name, attempt.model) == ("main", "main-model")
    assert (attempt.tokens_in, attempt.tokens_out, attempt.cost_nanos) == (12, 3, 54_000)


async def test_what_a_provider_leaves_out_of_its_bill_is_estimated() -> None:
    models = Models(main=[said("4", tokens=(0, 3))])
    await models.runner.run(a_config("main"), "Be brief.", "2+2?", record=models.record)
    [attempt] = models.record.attempts
    assert attempt.tokens_in >= 4
    assert attempt.tokens_out == 3


async def test_json_that_was_asked_for_is_an_answer() -> None:
    models = Models(main=['{"name": "kopi", "arguments": []}'])
    assert (await models.runner.run(a_config("main"), "JSON only.", "?"))[0] == (
        '{"name": "kopi", "arguments": []}'
    )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (said("Kopi luwak itu", finish="length"), AnswerTruncated),
        ("Maaf, saya tidak bisa membantu.", AnswerRefused),
        (ModelRefused(), ModelRefused),
        (DOWN, ModelUnavailable),
    ],
)
async def test_a_single_question_has_no_fallback_agent(
    answer: Answer, error: type[Exception]
) -> None:
    models = Models(main=[answer])
    with pytest.raises(error):
        await models.runner.run(a_config("main"), "Be brief.", "?", record=models.record)
    assert len(models.record.attempts) == 1


async def test_the_next_configuration_answers_when_the_first_is_away() -> None:
    models = Models(main=[DOWN], followup=["4"])
    text, _ = await models.runner.run(
        a_config("main"), "", "2+2?", fallbacks=[a_config("followup")], record=models.record
    )
    assert text == "4"
    assert [(each.config_name, each.outcome) for each in models.record.attempts] == [
        ("main", "model_unavailable"),
        ("followup", "ok"),
    ]


async def test_a_deadline_holds_for_the_whole_run() -> None:
    models = Models(main=["never asked"])
    with pytest.raises(ModelUnavailable):
        await models.runner.run(a_config("main"), "", "?", deadline=timedelta(0))
    assert models.models["main"].calls == []
