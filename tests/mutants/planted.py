"""All planted faults."""

from collections.abc import Sequence

from tests.mutants.edge_mutants import DOORS, TENANCY
from tests.mutants.job_mutants import JOBS
from tests.mutants.mutant import Mutant
from tests.mutants.queue_mutants import QUEUE
from tests.mutants.sending_mutants import SENDING
from tests.mutants.turn_mutants import TURN

AREAS: tuple[tuple[str, Sequence[Mutant]], ...] = (
    ("The work queue", QUEUE),
    ("The turn", TURN),
    ("Sending", SENDING),
    ("LLM jobs", JOBS),
    ("Between tenants", TENANCY),
    ("The doors", DOORS),
)

PLANTED = tuple(mutant for _, mutants in AREAS for mutant in mutants)
