"""A planted fault: one line of the product changed, and the assertion that must notice."""

from dataclasses import dataclass

DID_NOT_RAISE = "DID NOT RAISE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """``old``, which stands exactly once in ``file``, becomes ``new``."""

    name: str
    breaks: str
    """What is no longer true, in a few words."""
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    """Those that must run; one of them must fail."""
    says: str
    """A piece of the assertion that must fail, as its test has it; or what `pytest.raises` says
    when nothing was raised."""
    rule: str | None = None
    """The rule of docs/models/turn.pml that this takes away, where it is one."""
