"""One live turn per conversation, only its present worker writes, and every effect happens once."""

from ai_platform.audit.rules import Rule

RULES = (
    Rule(
        name="turn-two-live",
        promise="A conversation has at most one open turn.",
        query="""
            SELECT tenant_id, array_agg('turn:' || id ORDER BY id) AS ids,
                   count(*) || ' open turns in one conversation' AS detail
            FROM turns WHERE tenant_id = ANY(:tenants) AND state = 'open'
            GROUP BY tenant_id, conversation_id HAVING count(*) > 1
            """,
    ),
    Rule(
        name="turn-left-open",
        promise="A turn is open only while something waits for the AI or somebody else has the"
        " conversation; when everything has come to rest none of the AI's is.",
        query="""
            SELECT t.tenant_id, ARRAY['turn:' || t.id, 'conversation:' || c.id] AS ids,
                   'open, and the AI has nothing more to do for it' AS detail
            FROM turns t
            JOIN conversations c ON c.tenant_id = t.tenant_id AND c.id = t.conversation_id
            LEFT JOIN queue_messages q ON q.tenant_id = c.tenant_id AND q.queue = 'crm_tasks'
                 AND q.kind = 'conversation.turn' AND q.key = c.id::text
            WHERE t.tenant_id = ANY(:tenants) AND t.state = 'open' AND c.owner = 'ai'
              AND (:settled
                   OR greatest(t.started_at, q.available_at, q.lease_until, c.lease_until, :since)
                      + :late < platform_now())
            """,
    ),
    Rule(
        name="turn-ended-for-nothing",
        promise="A turn that ended with a reply has that reply.",
        query="""
            SELECT t.tenant_id, ARRAY['turn:' || t.id] AS ids,
                   'ended as replied, and there is no bubble' AS detail
            FROM turns t
            WHERE t.tenant_id = ANY(:tenants) AND t.outcome = 'replied'
              AND NOT EXISTS (SELECT FROM sends s WHERE s.tenant_id = t.tenant_id
                              AND s.reply_id = t.reply_id)
            """,
    ),
    Rule(
        name="turn-replied-twice",
        promise="A turn has one reply; one that was taken back was cancelled first.",
        query="""
            SELECT tenant_id,
                   array_agg(DISTINCT 'reply:' || reply_id) || ('turn:' || turn_id) AS ids,
                   count(DISTINCT reply_id) || ' replies of one turn' AS detail
            FROM sends
            WHERE tenant_id = ANY(:tenants) AND kind = 'ai' AND state <> 'cancelled'
              AND turn_id IS NOT NULL
            GROUP BY tenant_id, turn_id HAVING count(DISTINCT reply_id) > 1
            """,
    ),
    Rule(
        name="turn-stale-reply",
        promise="A reply commits under the conversation's present lease_epoch.",
        query="""
            WITH merged AS (
                SELECT tenant_id, body->>'conversation_id' AS conversation, max(occurred_at) AS at
                FROM domain_events
                WHERE tenant_id = ANY(:tenants) AND name = 'conversation.merged' GROUP BY 1, 2
            ), replied AS (
                SELECT d.id, d.tenant_id, d.occurred_at, (d.body->>'turn_id')::uuid AS turn,
                       (d.body->>'lease_epoch')::bigint AS epoch,
                       (d.body->>'fence')::bigint AS fence,
                       coalesce(m.at, '-infinity') AS merged_at
                FROM domain_events d
                LEFT JOIN merged m ON m.tenant_id = d.tenant_id
                     AND m.conversation = d.body->>'conversation_id'
                WHERE d.tenant_id = ANY(:tenants) AND d.name = 'conversation.replied'
            ), newer AS (
                SELECT r.id, max(s.lease_epoch) AS epoch FROM replied r
                JOIN turn_steps s ON s.tenant_id = r.tenant_id AND s.turn_id = r.turn
                     AND s.created_at < r.occurred_at AND s.created_at > r.merged_at
                GROUP BY r.id
            )
            SELECT r.tenant_id, ARRAY['event:' || r.id, 'turn:' || r.turn] AS ids,
                   'a reply was committed by lease epoch ' || r.epoch || ' while '
                   || greatest(r.fence, n.epoch) || ' had the conversation' AS detail
            FROM replied r LEFT JOIN newer n ON n.id = r.id
            WHERE r.fence <> r.epoch OR n.epoch > r.epoch
            """,
    ),
    Rule(
        name="turn-stale-step",
        promise="No step of a journal is written under a lease_epoch that a later one had ended.",
        query="""
            WITH written AS (
                SELECT s.*, t.conversation_id,
                       max(s.lease_epoch) OVER (PARTITION BY s.tenant_id, s.turn_id
                                                ORDER BY s.created_at, s.lease_epoch) AS newest
                FROM turn_steps s
                JOIN turns t ON t.tenant_id = s.tenant_id AND t.id = s.turn_id
                WHERE s.tenant_id = ANY(:tenants) AND s.kind <> 'discard'
            )
            SELECT tenant_id, ARRAY['turn:' || turn_id, 'step:' || step || '.' || call] AS ids,
                   kind || ' step of lease epoch ' || lease_epoch || ' after one of ' || newest
                   AS detail
            FROM written w
            WHERE lease_epoch < newest
              AND NOT EXISTS (
                  SELECT FROM domain_events d WHERE d.tenant_id = w.tenant_id
                  AND d.name = 'conversation.merged' AND d.occurred_at >= w.created_at
                  AND d.body->>'conversation_id' = w.conversation_id::text)
            """,
    ),
    Rule(
        name="effect-twice",
        promise="(turn, step, call) is the key of a tool's effect: each call of an answer has one"
        " result, under its own key.",
        query="""
            SELECT tenant_id,
                   ARRAY['turn:' || turn_id, 'step:' || step || '.' || call] AS ids,
                   count(*) || ' results of one tool call' AS detail
            FROM turn_steps WHERE tenant_id = ANY(:tenants) AND kind = 'tool'
            GROUP BY tenant_id, turn_id, step, call HAVING count(*) > 1
            UNION ALL
            SELECT d.tenant_id,
                   ARRAY['turn:' || d.turn_id, 'step:' || d.step || '.' || d.call],
                   'the result of ' || d.name || ' stands where no answer asked for it'
            FROM turn_steps d
            LEFT JOIN turn_steps a ON a.tenant_id = d.tenant_id AND a.turn_id = d.turn_id
                 AND a.step = d.step - 1 AND a.kind = 'model'
            WHERE d.tenant_id = ANY(:tenants) AND d.kind = 'tool'
              AND (a.body->'tool_calls'->d.call->>'name') IS DISTINCT FROM d.name
            """,
    ),
)
