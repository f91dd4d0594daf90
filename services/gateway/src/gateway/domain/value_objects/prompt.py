"""What a job asks."""

from dataclasses import dataclass

from gateway.domain.value_objects.plain_json import is_storable
from shared.kernel.errors import Invalid

LONGEST_PROMPT = 100_000


class InvalidPrompt(Invalid, ValueError):
    """A prompt has 1 to 100000 characters and is not blank."""

    code = "invalid_prompt"


@dataclass(frozen=True, slots=True)
class Prompt:
    """Kept as it was written. Blanks alone are refused here, as every provider refuses them."""

    content: str

    def __post_init__(self) -> None:
        if len(self.content) > LONGEST_PROMPT or not self.content.strip():
            raise InvalidPrompt
        if not is_storable(self.content):
            raise InvalidPrompt("a prompt holds no NUL and no half characters")

    def __str__(self) -> str:
        return self.content
