"""Trying a model out: does this configuration answer?"""

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from shared.kernel.ids import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOutcome:
    """What came of it. ``code`` and ``detail`` are the error's when ``ok`` is false."""

    config: str
    ok: bool
    model: str = ""
    milliseconds: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    code: str | None = None
    detail: str | None = None

    def body(self) -> dict[str, Any]:
        return asdict(self)


class Probe(Protocol):
    """Asks a tenant's model one short question."""

    async def __call__(self, tenant_id: TenantId, config_name: str) -> ProbeOutcome:
        """Never raises what the model or its configuration is to blame for: that is the outcome."""
        ...
