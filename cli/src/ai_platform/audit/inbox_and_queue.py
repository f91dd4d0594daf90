"""What came in is kept once and comes to an end, and so does every piece of work."""

from ai_platform.audit.rules import Rule

RULES = (
    Rule(
        name="inbox-event-twice",
        promise="The same body at the same endpoint is one row of the inbox.",
        query="""
            SELECT tenant_id, array_agg('inbox:' || id ORDER BY sequence) AS ids,
                   'one delivery was stored ' || count(*) || ' times' AS detail
            FROM inbox_events WHERE tenant_id = ANY(:tenants)
            GROUP BY tenant_id, source, endpoint_id, body_sha256 HAVING count(*) > 1
            """,
    ),
    Rule(
        name="inbox-event-open",
        promise="Every inbox row is stored, ignored or parked within its bound; work whose retry"
        " is planned is not late.",
        query="""
            SELECT i.tenant_id, ARRAY['inbox:' || i.id] AS ids,
                   CASE WHEN q.id IS NULL THEN 'received and nobody has work for it'
                        ELSE 'received and not settled' END AS detail
            FROM inbox_events i
            LEFT JOIN queue_messages q ON q.tenant_id = i.tenant_id AND q.queue = 'crm_tasks'
                 AND q.kind = 'inbox.' || i.source AND q.key = i.id::text
            WHERE i.tenant_id = ANY(:tenants) AND i.state = 'received'
              AND (:settled
                   OR greatest(i.received_at, q.available_at, q.lease_until, :since) + :late
                      < platform_now())
            """,
    ),
    Rule(
        name="inbox-event-without-reason",
        promise="What is ignored or parked says why.",
        query="""
            SELECT tenant_id, ARRAY['inbox:' || id] AS ids, state || ' without a reason' AS detail
            FROM inbox_events
            WHERE tenant_id = ANY(:tenants) AND state IN ('ignored', 'parked')
              AND coalesce(reason, '') = ''
            """,
    ),
    Rule(
        name="queue-row-open",
        promise="Every queue row that is due, first in its order and held by nobody alive comes to"
        " an end within its bound.",
        query="""
            SELECT q.tenant_id, ARRAY['queue:' || q.id] AS ids,
                   q.kind || ' on ' || q.queue || ', ' || q.attempts || ' failed attempts' AS detail
            FROM queue_messages q
            WHERE q.tenant_id = ANY(:tenants)
              AND (:settled OR (
                   greatest(q.available_at, q.lease_until, :since) + :late < platform_now()
                   AND NOT EXISTS (
                       SELECT FROM queue_messages e WHERE e.tenant_id = q.tenant_id
                       AND e.queue = q.queue AND e.ordering_key = q.ordering_key
                       AND e.position < q.position)))
            """,
    ),
    Rule(
        name="domain-event-twice",
        promise="What happens once is told once: a message received, a reply committed, a bubble"
        " ended, an owner changed.",
        query="""
            WITH told AS (
                SELECT id, tenant_id, name, CASE
                    WHEN name = 'conversation.message_received' THEN body->>'message_id'
                    WHEN name IN ('conversation.replied', 'conversation.staff_replied')
                        THEN body->>'reply_id'
                    WHEN name IN ('send.sent', 'send.failed', 'send.cancelled')
                        THEN body->>'send_id'
                    WHEN name IN ('conversation.taken_over', 'conversation.paused',
                                  'conversation.returned', 'conversation.handed_over')
                        THEN (body->>'conversation_id') || ' ' || (body->>'owner_epoch')
                    END AS identity
                FROM domain_events WHERE tenant_id = ANY(:tenants)
            )
            SELECT tenant_id, array_agg('event:' || id ORDER BY id) AS ids,
                   min(name) || ' was told ' || count(*) || ' times' AS detail
            FROM told WHERE identity IS NOT NULL
            GROUP BY tenant_id, identity,
                     CASE WHEN name IN ('send.sent', 'send.failed', 'send.cancelled') THEN 'ended'
                          WHEN name IN ('conversation.taken_over', 'conversation.paused',
                                        'conversation.returned', 'conversation.handed_over')
                          THEN 'owner' ELSE name END
            HAVING count(*) > 1
            """,
    ),
)
