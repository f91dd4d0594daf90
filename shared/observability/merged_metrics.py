"""The metrics of all processes of one machine on one page, each sample with its process' name."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from shared.observability.metrics import SOCKET_SUFFIX, own_sockets, read_metrics


async def read_all(process: str, run_dir: Path | None) -> bytes:
    """Our own metrics and those of the neighbours in ``run_dir``, in Prometheus' text format.

    ``process`` is our name; where we answer on a socket ourselves, that socket's name counts. A
    neighbour that does not answer is left out.
    """
    sockets = [] if run_dir is None else sorted(run_dir.glob(f"*{SOCKET_SUFFIX}"))
    ours = own_sockets()
    neighbours = [socket for socket in sockets if socket not in ours]
    answers = await asyncio.gather(*(read_metrics(socket) for socket in neighbours))
    told = {next((_name(socket) for socket in ours), process): generate_latest(REGISTRY)}
    told.update((_name(socket), text) for socket, text in zip(neighbours, answers, strict=True))
    return await asyncio.to_thread(merge, told)


def merge(told: Mapping[str, bytes]) -> bytes:
    """One page of several processes' pages: each family once, ``process`` in every sample."""
    families: dict[str, Metric] = {}
    for process, text in told.items():
        for family in text_string_to_metric_families(text.decode()):
            known = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            known.samples += [
                sample._replace(labels=sample.labels | {"process": process})
                for sample in family.samples
            ]
    return generate_latest(_Families(families.values()))


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _name(socket: Path) -> str:
    return socket.name.removesuffix(SOCKET_SUFFIX)
