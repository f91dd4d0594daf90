"""Journal steps survive their way through JSON."""

from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commerce_agent.application.ports.shop_agent import (
    Checked,
    Discarded,
    Fact,
    FactKind,
    Handle,
    Heard,
    JournalStep,
    Spoken,
    ToolDone,
    ToolRequest,
)
from commerce_agent.domain.value_objects.conversation_state import ConversationState
from commerce_agent.domain.value_objects.ids import MessageId, ProductId, VariantId
from commerce_agent.infrastructure.persistence.journal_codec import from_json, kind_of, to_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
REQUESTS = st.builds(
    ToolRequest,
    id=TEXT,
    name=TEXT,
    args=st.dictionaries(TEXT, JSON, max_size=3),
    problem=st.none() | TEXT,
)
HANDLES = st.builds(
    Handle,
    code=TEXT,
    product_id=st.uuids().map(ProductId),
    variant_id=st.none() | st.uuids().map(VariantId),
)
STEPS: st.SearchStrategy[JournalStep] = st.one_of(
    st.builds(
        Heard,
        message_id=st.uuids().map(MessageId),
        text=TEXT,
        at=st.datetimes(timezones=st.just(UTC)),
        content_type=TEXT,
        reply_to=st.none() | TEXT,
    ),
    st.builds(
        Spoken,
        text=TEXT,
        tool_calls=st.lists(REQUESTS, max_size=3).map(tuple),
        model=TEXT,
        tokens_in=st.integers(0, 10**6),
        tokens_out=st.integers(0, 10**6),
        milliseconds=st.integers(0, 10**6),
    ),
    st.builds(
        ToolDone,
        request=REQUESTS,
        result=TEXT,
        facts=st.lists(st.builds(Fact, st.sampled_from(FactKind), TEXT), max_size=3).map(tuple),
        handles=st.lists(HANDLES, max_size=3).map(tuple),
        state=st.none() | st.sampled_from(ConversationState),
    ),
    st.builds(Checked, problems=st.lists(TEXT, max_size=3).map(tuple)),
    st.builds(Discarded, draft=TEXT),
)


@given(STEPS)
def test_every_step_comes_back_as_it_went_in(step: JournalStep) -> None:
    stored = orjson.loads(orjson.dumps(to_json(step)))
    assert from_json(kind_of(step), stored) == step


def test_kinds_are_those_of_the_table() -> None:
    heard = Heard(message_id=MessageId(UUID(int=1)), text="", at=datetime.now(UTC))
    assert kind_of(heard) == "read"
    with pytest.raises(ValueError, match="no journal step"):
        from_json("rumour", {})
