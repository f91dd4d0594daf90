"""How freely a model may choose its words."""

from dataclasses import dataclass

from shared.kernel.errors import Invalid


class InvalidTemperature(Invalid, ValueError):
    """Temperature must be between 0.0 and 2.0."""

    code = "invalid_temperature"


@dataclass(frozen=True, slots=True)
class Temperature:
    """0.0 repeats itself, 2.0 is the widest any provider takes."""

    value: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 2.0:  # also refuses NaN
            raise InvalidTemperature

    def __float__(self) -> float:
        return float(self.value)
