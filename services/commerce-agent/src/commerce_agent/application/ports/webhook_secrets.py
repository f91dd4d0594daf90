"""What a tenant's webhooks are signed with."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from shared.kernel.ids import TenantId

OVERLAP: Final = timedelta(days=1)
"""How long the secret before the present one signs too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSecretStatus:
    """What may be shown of it at any time."""

    created_at: datetime | None
    """``None``: there is none yet."""
    previous_valid_until: datetime | None
    """Until then the one before signs beside it."""


class WebhookSecrets(Protocol):
    async def status(self, tenant_id: TenantId) -> WebhookSecretStatus:
        """Since when there is one; never the secret itself."""
        ...

    async def rotate(self, tenant_id: TenantId) -> tuple[str, WebhookSecretStatus]:
        """Make a new secret, shown this once. The present one signs too for `OVERLAP`."""
        ...
