from dataclasses import replace
from typing import Any

import pytest

from llm_worker.domain.entities.prompt_template import InvalidPromptTemplate, PromptTemplate
from llm_worker.domain.services.template_renderer import InvalidTemplate, TemplateValuesMissing
from llm_worker.domain.value_objects.name import InvalidName

GREETING = PromptTemplate(name="greeting", body="Halo {{ name }}, {{ order.total? }}")


def test_it_renders_and_knows_its_names() -> None:
    assert GREETING.render({"name": "Ani"}) == "Halo Ani, "
    assert GREETING.names == {"name", "order.total"}
    with pytest.raises(TemplateValuesMissing):
        GREETING.render({})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": ""}, InvalidName),
        ({"name": "x" * 101}, InvalidName),
        ({"name": "a\nb"}, InvalidName),
        ({"body": ""}, InvalidPromptTemplate),
        ({"body": " \n"}, InvalidPromptTemplate),
        ({"body": "x" * 50_001}, InvalidPromptTemplate),
        ({"body": "a\0"}, InvalidPromptTemplate),
        ({"body": "Halo {{ name"}, InvalidTemplate),
        ({"description": "x" * 501}, InvalidPromptTemplate),
        ({"description": "\0"}, InvalidPromptTemplate),
    ],
)
def test_what_cannot_be_kept_is_refused(changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        replace(GREETING, **changes)


def test_the_longest_body_is_in() -> None:
    assert replace(GREETING, body="x" * 50_000).render({}) == "x" * 50_000
