"""The name by which a provider knows a model."""

from dataclasses import dataclass

from shared.kernel.errors import Invalid


class InvalidModelName(Invalid, ValueError):
    """A model name is 1 to 200 printable characters without spaces around it."""

    code = "invalid_model_name"


@dataclass(frozen=True, slots=True)
class ModelName:
    """Taken as the provider writes it: ``gpt-5-mini``, ``qwen3:8b``, ``meta/llama-4``."""

    value: str

    def __post_init__(self) -> None:
        name = self.value
        if not 1 <= len(name) <= 200 or name != name.strip() or not name.isprintable():
            raise InvalidModelName

    def __str__(self) -> str:
        return self.value
