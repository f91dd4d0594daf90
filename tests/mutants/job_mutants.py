"""Faults of LLM jobs: what counts as an answer, who is left alone, whose run may write."""

from tests.mutants.mutant import Mutant

WORKER = "services/llm-worker/src/llm_worker"
PATHS = "tests/integration/llm_worker/jobs/test_job_paths.py"
DESK = "tests/integration/llm_worker/jobs/test_job_desk.py"
HANDLER = f"{WORKER}/interface/handlers/message_handler.py"
STATEMENTS = f"{WORKER}/infrastructure/persistence/jobs.py"
RETRY = f"{WORKER}/domain/services/job_retry.py"

JOBS = (
    Mutant(
        name="validator-off",
        breaks="whatever a model sends is an answer",
        file=f"{WORKER}/infrastructure/llm/response_validator.py",
        old="    if ended in _REFUSED:\n",
        new="    return ValidationResult(ResponseQuality.VALID)\n    if ended in _REFUSED:\n",
        tests=(f"{PATHS}::test_what_does_not_get_better_by_waiting_fails_at_once",),
        says='assert (job["status"], job["error_code"], job["result"]) == ("FAILED", code, None)',
    ),
    Mutant(
        name="circuit-never-opens",
        breaks="a provider that is down is asked again and again",
        file=f"{WORKER}/infrastructure/llm/circuit_breaker.py",
        old="self._failures >= self.config.failure_threshold",
        new="False",
        tests=(f"{PATHS}::test_an_open_circuit_is_waited_for_and_no_retry_counts",),
        says="assert list(path.worker.circuits.states().values()) == [CircuitState.OPEN]",
    ),
    Mutant(
        name="retry-after-ignored",
        breaks="a provider that said when is asked before",
        file=RETRY,
        old="told = error.retry_after",
        new="told = None",
        tests=(f"{PATHS}::test_a_provider_that_says_when_is_waited_for_and_no_retry_counts",),
        says='assert (job["status"], job["retry_count"]) == ("RETRYING", 0)',
    ),
    Mutant(
        name="outage-completed",
        breaks="when the retries are spent the job is completed with an apology",
        file=HANDLER,
        old="failed = partial(self.desk.fail, claim, job, record, code=what.code, "
        'error=what.error)\n            return failed, "FAILED"',
        new="failed = partial(\n"
        "                self.desk.complete, claim, job, record, text=what.error, "
        'agent_type="fallback"\n'
        "            )\n"
        '            return failed, "COMPLETED"',
        tests=(f"{PATHS}::test_an_outage_is_retried_on_the_ladder_until_the_retries_are_spent",),
        says='assert (job["status"], job["error_code"]) == ("FAILED", "model_unavailable")',
    ),
    Mutant(
        name="outage-excused-by-the-fallback",
        breaks="a main agent that is away is taken for one that answered badly",
        file=f"{WORKER}/infrastructure/llm/agent_nodes.py",
        old="except (InvalidResponse, ModelRefused) as error:\n"
        '        return {"error": error.code}',
        new='except Exception:\n        return {"error": "x"}',
        tests=(
            "tests/fault/test_job_faults.py"
            "::test_20_an_outage_in_the_pipeline_is_no_excuse_of_its_fallback",
        ),
        says='assert "fallback" not in agents',
    ),
    Mutant(
        name="run-not-fenced",
        breaks="a worker that lost its job still ends it",
        file=STATEMENTS,
        old="_STILL_OURS = \"id = :job AND status = 'PROCESSING' AND run = :run\"",
        new="_STILL_OURS = \"id = :job AND status = 'PROCESSING' AND run >= :run\"",
        tests=(f"{DESK}::test_an_end_names_its_run",),
        says="DID NOT RAISE ClaimLost",
    ),
    Mutant(
        name="stopped-run-takes-the-work-along",
        breaks="a worker that lost its job deletes the work of the one that does it",
        file=STATEMENTS,
        old='if (await tx.connection.execute(_IS_OPEN, {"job": job.id})).scalar_one():',
        new="if False:",
        tests=(f"{DESK}::test_a_stopped_run_leaves_the_work_of_the_run_that_goes_on",),
        says="DID NOT RAISE ClaimLost",
    ),
    Mutant(
        name="stale-claim-takes-over",
        breaks="a worker that woke up takes the job from the one that does it",
        file=STATEMENTS,
        old="if not seen.held:",
        new="if False:",
        tests=(f"{DESK}::test_a_stale_claim_takes_no_job_from_whoever_does_it",),
        says="DID NOT RAISE ClaimLost",
    ),
    Mutant(
        name="dead-run-forgotten",
        breaks="a run whose worker died leaves no trace among the attempts",
        file=STATEMENTS,
        old='if seen.status == "PROCESSING":  # by somebody whose lease has run out',
        new="if False:",
        tests=(f"{PATHS}::test_a_job_whose_worker_lost_its_lease_is_done_once_by_another",),
        says='assert attempts == [(1, "interrupted"), (2, "ok")]',
    ),
    Mutant(
        name="waiting-costs-retries",
        breaks="a wait for an open circuit uses up the job's retries",
        file=RETRY,
        old="counted = called and told is None",
        new="counted = True",
        tests=(f"{PATHS}::test_an_open_circuit_is_waited_for_and_no_retry_counts",),
        says='assert (job["status"], job["retry_count"], job["run"]) == ("RETRYING", 0, 1)',
    ),
    Mutant(
        name="budget-not-asked",
        breaks="a tenant whose day's budget is spent goes on",
        file=STATEMENTS,
        old='if seen.is_spent and seen.over_budget == "refuse":',
        new="if False:",
        tests=(f"{PATHS}::test_over_budget_a_job_is_refused",),
        says='assert (job["status"], job["error_code"]) == ("FAILED", "llm_budget_spent")',
    ),
)
