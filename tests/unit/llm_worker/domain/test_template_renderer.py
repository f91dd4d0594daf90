import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from llm_worker.domain.services.template_renderer import (
    InvalidTemplate,
    Place,
    RenderedTooLong,
    TemplateValueInvalid,
    TemplateValuesMissing,
    places,
    render,
)

VALUES: dict[str, Any] = {
    "name": "Ani",
    "empty": "",
    "nothing": None,
    "count": 3,
    "price": 1.5,
    "yes": True,
    "tags": ["a", "é"],
    "order": {"total": 150000, "buyer": {"name": "Budi"}, "7": "seven", "items": [{"sku": "x"}]},
}


@pytest.mark.parametrize(
    ("body", "rendered"),
    [
        ("Halo", "Halo"),
        ("Halo {{ name }}!", "Halo Ani!"),
        ("{{name}}{{\tname\n}}", "AniAni"),
        ("{{ order.buyer.name }} {{ order.7 }}", "Budi seven"),
        ("{{ count }} {{ price }} {{ yes }}", "3 1.5 true"),
        ("{{ tags }} {{ order.buyer }}", '["a","é"] {"name":"Budi"}'),
        ("[{{ empty }}]", "[]"),
        ("[{{ gone? }}{{ nothing? }}{{ order.gone? }}{{ name.first? }}]", "[]"),
        ("[{{ name? }}]", "[Ani]"),
        ('{"verdict": {"a": 1}} }}', '{"verdict": {"a": 1}} }}'),
    ],
)
def test_values_take_their_places(body: str, rendered: str) -> None:
    assert render(body, VALUES) == rendered


def test_all_that_is_missing_is_named_at_once() -> None:
    body = "{{ b }} {{ a }} {{ name }} {{ b }} {{ c? }} {{ order.gone }} {{ nothing }}"
    with pytest.raises(TemplateValuesMissing, match=r"missing: a, b, nothing, order\.gone") as told:
        render(body, VALUES)
    assert told.value.data == {"names": ["a", "b", "nothing", "order.gone"]}


def test_what_is_needed_somewhere_is_needed() -> None:
    with pytest.raises(TemplateValuesMissing):
        render("{{ a? }} {{ a }}", {})


def test_a_value_is_never_read_as_a_template() -> None:
    values = {"a": "{{ b }} {{ gone }}", "b": "secret", "c": {"d": "{{ b }}"}}
    assert render("{{ a }} {{ c }}", values) == '{{ b }} {{ gone }} {"d":"{{ b }}"}'


@dataclass
class Thing:
    secret: str = "s3cr3t"


class Cheating(dict[str, Any]):
    secret = "s3cr3t"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x.secret", Thing()),
        ("x.secret", Cheating(a=1)),
        ("x.keys", {"a": 1}),
        ("x.__class__", {"a": 1}),
        ("x.__class__", "text"),
        ("x.0", ["a"]),
        ("x.upper", "text"),
        ("x.real", 1),
    ],
)
def test_no_attribute_is_reached(name: str, value: Any) -> None:
    with pytest.raises(TemplateValuesMissing):
        render(f"{{{{ {name} }}}}", {"x": value})
    assert render(f"[{{{{ {name}? }}}}]", {"x": value}) == "[]"


@pytest.mark.parametrize(
    "value", [Thing(), {"a": Thing()}, {1, 2}, b"x", float("nan"), print, [float("inf")]]
)
def test_only_json_goes_in(value: Any) -> None:
    with pytest.raises(TemplateValueInvalid) as refused:
        render("{{ x }}", {"x": value})
    assert refused.value.data == {"name": "x"}


def test_a_value_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TemplateValueInvalid):
        render("{{ x }}", {"x": endless})


@pytest.mark.parametrize(
    ("place", "position"),
    [
        ("{{ }}", 0),
        ("{{}}", 0),
        ("a {{ b", 2),
        ("{{ a + b }}", 0),
        ("{{ a() }}", 0),
        ("{{ a['b'] }}", 0),
        ("{{ a | upper }}", 0),
        ("{{ a. }}", 0),
        ("{{ .a }}", 0),
        ("{{ 1a }}", 0),
        ("{{ naïve }}", 0),
        ("{{ a }} {{{ b }}}", 8),
        ("{{ a ? }}", 0),
        ("{{% if a %}}", 0),
        ("{{" * 20_000, 0),
        ("{{" + " " * 50_000, 0),
    ],
)
def test_a_place_is_a_name_and_nothing_else(place: str, position: int) -> None:
    for reading in (lambda: places(place), lambda: render(place, VALUES)):
        with pytest.raises(InvalidTemplate) as refused:
            reading()
        assert refused.value.data == {"position": position}


def test_places_are_told_in_order() -> None:
    assert places("{{ a }} x {{ b.c? }}{{ a }}") == [
        Place("a", optional=False),
        Place("b.c", optional=True),
        Place("a", optional=False),
    ]


def test_what_is_rendered_has_a_longest_size() -> None:
    assert len(render("{{ a }}{{ a }}", {"a": "x" * 100_000})) == 200_000
    with pytest.raises(RenderedTooLong):
        render("{{ a }}{{ a }}.", {"a": "x" * 100_000})


def test_a_large_value_is_written_once_however_often_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a template of 50 000 characters would cost 8 000 times its largest value."""
    written = []
    real = json.dumps

    def counting(value: Any, **options: Any) -> str:
        written.append(value)
        return real(value, **options)

    monkeypatch.setattr(json, "dumps", counting)
    value: Mapping[str, Any] = {"big": list(range(1000))}
    with pytest.raises(RenderedTooLong):
        render("{{ a }}" * 7_000, {"a": value})
    assert written == [value]
