"""System prompts that people write and change while the platform runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_worker.domain.services.template_renderer import places, render
from llm_worker.domain.value_objects.name import checked_name
from shared.kernel.errors import Invalid
from shared.kernel.ids import TenantId

LONGEST_BODY = 50_000
_LONGEST_DESCRIPTION = 500


class InvalidPromptTemplate(Invalid, ValueError):
    """The template cannot be kept as it stands."""

    code = "invalid_prompt_template"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    """One version of a named prompt. ``tenant_id`` ``None`` is the platform's.

    Raises:
        InvalidName, InvalidTemplate: its name, or a place in it, is none.
        InvalidPromptTemplate: the body is blank or longer than 50000 characters.
    """

    name: str
    body: str
    tenant_id: TenantId | None = None
    description: str = ""
    version: int = 1
    active: bool = True
    """Whether this is the published version, the one that answers."""

    def __post_init__(self) -> None:
        checked_name(self.name)
        if not self.body.strip() or len(self.body) > LONGEST_BODY:
            raise InvalidPromptTemplate(f"body has 1 to {LONGEST_BODY} characters")
        if len(self.description) > _LONGEST_DESCRIPTION:
            raise InvalidPromptTemplate(
                f"description has at most {_LONGEST_DESCRIPTION} characters"
            )
        if "\0" in self.body + self.description:
            raise InvalidPromptTemplate("a template holds no NUL")
        places(self.body)

    @property
    def names(self) -> frozenset[str]:
        """The values that it asks for, the optional ones too."""
        return frozenset(place.name for place in places(self.body))

    def render(self, variables: Mapping[str, Any]) -> str:
        """The prompt with its values in place; see `template_renderer.render`."""
        return render(self.body, variables)
