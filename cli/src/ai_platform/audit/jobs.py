"""Every LLM job comes to one end, is told as it happened, and costs what its calls cost."""

from ai_platform.audit.rules import Rule

_ENDS = "('job.completed', 'job.failed', 'job.cancelled')"
_OPEN = "('QUEUED', 'PROCESSING', 'RETRYING')"

RULES = (
    Rule(
        name="job-open",
        promise="A job that has not ended has work that is planned or under way, and ends within"
        " its bound after its deadline.",
        query=f"""
            SELECT j.tenant_id, ARRAY['job:' || j.id] AS ids,
                   j.status || CASE WHEN q.id IS NULL THEN ' and nobody has work for it'
                                    WHEN j.deadline_at <= platform_now() THEN ' past its deadline'
                                    ELSE ' and not ended' END AS detail
            FROM jobs j
            LEFT JOIN queue_messages q ON q.tenant_id = j.tenant_id AND q.queue = 'ai_tasks'
                 AND q.kind = 'job.run' AND q.key = j.id::text
            WHERE j.tenant_id = ANY(:tenants) AND j.status IN {_OPEN}
              AND (:settled OR q.id IS NULL
                   OR greatest(j.deadline_at, q.lease_until, :since) + :late < platform_now())
            """,  # noqa: S608 - constants
    ),
    Rule(
        name="job-ended-twice",
        promise="A job has one end, and so one result.",
        query=f"""
            SELECT d.tenant_id, ARRAY['job:' || min(d.body->>'job_id')]
                       || array_agg('event:' || d.id ORDER BY d.id) AS ids,
                   'ended ' || count(*) || ' times' AS detail
            FROM domain_events d
            WHERE d.tenant_id = ANY(:tenants) AND d.name IN {_ENDS}
            GROUP BY d.tenant_id, d.body->>'job_id' HAVING count(*) > 1
            """,  # noqa: S608 - constants
    ),
    Rule(
        name="job-state-untold",
        promise="A job stands where its events say: accepted once, waiting again as often as it"
        " was tried again, ended as it was told.",
        query=f"""
            WITH told AS (
                SELECT d.tenant_id, d.body->>'job_id' AS job_id,
                       count(*) FILTER (WHERE d.name = 'job.created') AS created,
                       count(*) FILTER (WHERE d.name = 'job.retrying') AS retrying,
                       count(*) FILTER (WHERE d.name IN {_ENDS}) AS ends,
                       min(d.name) FILTER (WHERE d.name IN {_ENDS}) AS ended
                FROM domain_events d
                WHERE d.tenant_id = ANY(:tenants) AND d.name LIKE 'job.%'
                GROUP BY d.tenant_id, d.body->>'job_id'
            )
            SELECT j.tenant_id, ARRAY['job:' || j.id] AS ids,
                   j.status || ' with ' || j.retry_count || ' retries, and told: created '
                   || coalesce(t.created, 0) || ', retrying ' || coalesce(t.retrying, 0)
                   || ', ' || coalesce(t.ended, 'no end') AS detail
            FROM jobs j
            LEFT JOIN told t ON t.tenant_id = j.tenant_id AND t.job_id = j.id::text
            WHERE j.tenant_id = ANY(:tenants) AND coalesce(t.ends, 0) < 2
              AND (coalesce(t.created, 0) <> 1
                   OR coalesce(t.ended, '') <> CASE WHEN j.status IN {_OPEN} THEN ''
                                                    ELSE 'job.' || lower(j.status) END
                   OR j.retry_count > coalesce(t.retrying, 0)
                   OR (j.status = 'RETRYING' AND coalesce(t.retrying, 0) = 0)
                   OR (j.status = 'RETRYING') <> (j.next_retry_at IS NOT NULL)
                   OR (j.status IN ('PROCESSING', 'COMPLETED', 'RETRYING') AND j.run = 0))
            """,  # noqa: S608 - constants
    ),
    Rule(
        name="job-graph-unguarded",
        promise="The database lets no job leave the graph of its states.",
        query="""
            SELECT NULL::uuid AS tenant_id, ARRAY['table:jobs'] AS ids,
                   'the trigger jobs_follow_the_graph is off or gone' AS detail
            WHERE NOT EXISTS (
                SELECT FROM pg_trigger t WHERE t.tgrelid = 'public.jobs'::regclass
                AND t.tgname = 'jobs_follow_the_graph' AND t.tgenabled IN ('O', 'A'))
            """,
    ),
    Rule(
        name="job-sum-wrong",
        promise="A job's tokens and cost are the sums of its attempts, which are numbered without"
        " a gap and belong to runs that there were.",
        query="""
            SELECT j.tenant_id, ARRAY['job:' || j.id] AS ids,
                   CASE WHEN a.count > 0 AND (a.count <> a.last OR a.count <> a.numbers)
                        THEN 'an attempt is missing or stands there twice'
                        WHEN a.run > j.run THEN 'an attempt of a run that there was not'
                        ELSE 'its attempts took ' || a.tokens_in || ' + ' || a.tokens_out
                             || ' tokens and ' || a.cost || ' billionths, the job says '
                             || j.tokens_in || ' + ' || j.tokens_out || ' and ' || j.cost_nanos
                        END AS detail
            FROM jobs j
            CROSS JOIN LATERAL (
                SELECT count(*) AS count, max(number) AS last, coalesce(max(run), 0) AS run,
                       count(DISTINCT number) AS numbers,
                       coalesce(sum(tokens_in), 0) AS tokens_in,
                       coalesce(sum(tokens_out), 0) AS tokens_out,
                       coalesce(sum(cost_nanos), 0) AS cost
                FROM job_attempts WHERE tenant_id = j.tenant_id AND job_id = j.id
            ) a
            WHERE j.tenant_id = ANY(:tenants)
              AND (a.tokens_in <> j.tokens_in OR a.tokens_out <> j.tokens_out
                   OR a.cost <> j.cost_nanos OR a.run > j.run
                   OR a.count <> coalesce(a.last, 0) OR a.count <> a.numbers)
            """,
    ),
    Rule(
        name="job-use-uncounted",
        promise="What a tenant's jobs have used counts against its budgets.",
        query="""
            SELECT j.tenant_id, ARRAY['tenant:' || j.tenant_id] AS ids,
                   'its jobs used ' || j.tokens || ' tokens and ' || j.cost || ' billionths, '
                   || coalesce(u.tokens, 0) || ' and ' || coalesce(u.cost, 0) || ' are counted'
                   AS detail
            FROM (SELECT tenant_id, sum(tokens_in + tokens_out) AS tokens, sum(cost_nanos) AS cost
                  FROM job_attempts WHERE tenant_id = ANY(:tenants) GROUP BY tenant_id) j
            LEFT JOIN (SELECT tenant_id, sum(tokens) AS tokens, sum(cost_nanos) AS cost
                       FROM llm_usage WHERE tenant_id = ANY(:tenants) GROUP BY tenant_id) u
                 ON u.tenant_id = j.tenant_id
            WHERE j.tokens > coalesce(u.tokens, 0) OR j.cost > coalesce(u.cost, 0)
            """,
    ),
    Rule(
        name="job-answered-by-nobody",
        promise="What is completed was answered: the agent that is named made a call in the last"
        " run, and a model answered it.",
        query="""
            SELECT j.tenant_id, ARRAY['job:' || j.id] AS ids,
                   'completed by ' || coalesce(j.agent_type, 'nobody')
                   || ', whom no model answered' AS detail
            FROM jobs j
            WHERE j.tenant_id = ANY(:tenants) AND j.status = 'COMPLETED'
              AND NOT EXISTS (
                  SELECT FROM job_attempts a WHERE a.tenant_id = j.tenant_id AND a.job_id = j.id
                  AND a.run = j.run AND a.agent = j.agent_type AND a.outcome = 'ok')
            """,
    ),
    Rule(
        name="job-excused",
        promise="The fallback agent answers only a violation, a verdict that could not be read, or"
        " an invalid answer of the main agent: never an outage.",
        query="""
            SELECT j.tenant_id, ARRAY['job:' || j.id] AS ids,
                   'excused although its request was allowed and the main agent gave no invalid'
                   || ' answer' AS detail
            FROM jobs j
            WHERE j.tenant_id = ANY(:tenants) AND j.agent_type = 'fallback'
              AND coalesce(j.moderation->>'verdict', 'allowed') = 'allowed'
              AND NOT EXISTS (
                  SELECT FROM job_attempts a WHERE a.tenant_id = j.tenant_id AND a.job_id = j.id
                  AND a.run = j.run AND a.agent = 'main' AND a.outcome IN ('ok', 'model_refused'))
            """,
    ),
)
