"""Work of the kind ``llm.probe``: somebody waits at a settings page to see if a model works."""

from dataclasses import dataclass
from datetime import timedelta

import orjson

from llm_worker.application.probe import Probe
from shared.cache.port import Cache
from shared.kernel.errors import Invalid
from shared.messaging.port import Claim
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction

KIND = "llm.probe"

_KEPT = timedelta(seconds=60)


class UnreadableProbe(Invalid):
    """The payload of a probe names no configuration, or nobody to answer."""

    code = "unreadable_probe"


def topic(probe_id: str) -> str:
    """Where the outcome is announced, and under which key it lies for 60 s."""
    return f"probe:{probe_id}"


@dataclass(frozen=True, slots=True)
class ProbeHandler:
    """Payload: ``{"config": name, "id": whom to answer}``.

    The outcome lives in the cache alone: it is about this minute, and nobody reads it later.
    """

    database: Database
    cache: Cache
    probe: Probe

    async def __call__(self, claim: Claim) -> None:
        config, probe_id = claim.payload.get("config"), claim.payload.get("id")
        if not isinstance(config, str) or not isinstance(probe_id, str):
            raise UnreadableProbe
        outcome = await self.probe(claim.tenant_id, config)
        body = orjson.dumps(outcome.body())
        await self.cache.set(topic(probe_id), body, _KEPT)
        await self.cache.publish(topic(probe_id), body)
        async with Transaction(self.database, claim.tenant_id) as tx:
            await tx.finish(claim)
            await tx.commit()
