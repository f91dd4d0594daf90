"""Money as integers in the minor units that payment providers count."""

from dataclasses import dataclass

from shared.kernel.errors import Invalid


class CurrencyMismatch(Invalid):
    """Amounts of different currencies do not add up."""

    code = "currency_mismatch"


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount in minor units of its currency; never a float. IDR has no minor unit: rupiah."""

    amount: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} do not add up")
        return Money(self.amount + other.amount, self.currency)

    def __mul__(self, quantity: int) -> "Money":
        return Money(self.amount * quantity, self.currency)
