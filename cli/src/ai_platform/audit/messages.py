"""Every customer's message is one message, and somebody answers for it."""

from ai_platform.audit.rules import Rule

RULES = (
    Rule(
        name="message-twice",
        promise="A native id is one message per channel, direction and kind; an inbox row makes at"
        " most one.",
        query="""
            SELECT tenant_id, array_agg('message:' || id ORDER BY id) AS ids,
                   'one native id was stored ' || count(*) || ' times' AS detail
            FROM messages WHERE tenant_id = ANY(:tenants)
            GROUP BY tenant_id, channel_id, direction, kind, native_id HAVING count(*) > 1
            UNION ALL
            SELECT tenant_id, array_agg('message:' || id ORDER BY id),
                   'one inbox row made ' || count(*) || ' messages'
            FROM messages
            WHERE tenant_id = ANY(:tenants) AND inbox_id IS NOT NULL
            GROUP BY tenant_id, inbox_id HAVING count(*) > 1
            """,
    ),
    Rule(
        name="message-unanswered",
        promise="A message that waits for the AI has work that is planned or under way; in the end"
        " it is answered, merged, handed over, revoked or refused.",
        query="""
            SELECT m.tenant_id, ARRAY['message:' || m.id, 'conversation:' || c.id] AS ids,
                   CASE WHEN q.id IS NULL THEN 'waits for the AI and no turn is planned'
                        ELSE 'waits for the AI' END AS detail
            FROM messages m
            JOIN conversations c ON c.tenant_id = m.tenant_id AND c.id = m.conversation_id
            LEFT JOIN queue_messages q ON q.tenant_id = c.tenant_id AND q.queue = 'crm_tasks'
                 AND q.kind = 'conversation.turn' AND q.key = c.id::text
            WHERE m.tenant_id = ANY(:tenants) AND c.owner = 'ai'
              AND m.direction = 'in' AND m.answered_how IS NULL
              AND (:settled
                   OR greatest(m.received_at, q.available_at, q.lease_until, c.lease_until, :since)
                      + :late < platform_now())
            """,
    ),
    Rule(
        name="message-answered-by-nothing",
        promise="What counts as answered by the AI, a person or a hand-over has that answer.",
        query="""
            SELECT m.tenant_id, ARRAY['message:' || m.id] AS ids,
                   'answered (' || m.answered_how || ') by nothing that leaves' AS detail
            FROM messages m
            WHERE m.tenant_id = ANY(:tenants)
              AND m.answered_how IN ('ai', 'person', 'handed_over')
              AND NOT EXISTS (
                  SELECT FROM sends s WHERE s.tenant_id = m.tenant_id
                  AND s.reply_id = m.answered_by AND s.state <> 'cancelled')
              AND NOT EXISTS (
                  SELECT FROM messages o WHERE o.tenant_id = m.tenant_id
                  AND o.id = m.answered_by AND o.direction = 'out')
            """,
    ),
    Rule(
        name="message-place-twice",
        promise="What a customer said has a place of its own, no higher than the conversation has"
        " counted.",
        query="""
            SELECT tenant_id, array_agg('message:' || id ORDER BY id) AS ids,
                   count(*) || ' messages at place ' || seq AS detail
            FROM messages WHERE tenant_id = ANY(:tenants) AND seq IS NOT NULL
            GROUP BY tenant_id, conversation_id, seq HAVING count(*) > 1
            UNION ALL
            SELECT m.tenant_id, ARRAY['message:' || m.id, 'conversation:' || c.id],
                   'at place ' || m.seq || ' of ' || c.inbound_seq
            FROM messages m
            JOIN conversations c ON c.tenant_id = m.tenant_id AND c.id = m.conversation_id
            WHERE m.tenant_id = ANY(:tenants) AND m.seq > c.inbound_seq
            """,
    ),
    Rule(
        name="message-answered-twice",
        promise="No two replies that left cover the same message.",
        query="""
            SELECT t.tenant_id,
                   array_agg(DISTINCT 'reply:' || t.reply_id)
                   || ('message:' || (s.body->>'message_id')) AS ids,
                   count(DISTINCT t.reply_id) || ' replies were made from one message' AS detail
            FROM turns t
            JOIN turn_steps s ON s.tenant_id = t.tenant_id AND s.turn_id = t.id AND s.kind = 'read'
            WHERE t.tenant_id = ANY(:tenants) AND t.outcome = 'replied'
              AND EXISTS (SELECT FROM sends b WHERE b.tenant_id = t.tenant_id
                          AND b.reply_id = t.reply_id AND b.state <> 'cancelled')
            GROUP BY t.tenant_id, s.body->>'message_id' HAVING count(DISTINCT t.reply_id) > 1
            """,
    ),
    Rule(
        name="reply-without-message",
        promise="A reply of the AI that was claimed answers the messages that its turn read.",
        query="""
            SELECT s.tenant_id, ARRAY['reply:' || s.reply_id] AS ids,
                   'left, and no message counts as answered by it' AS detail
            FROM sends s
            WHERE s.tenant_id = ANY(:tenants) AND s.kind = 'ai' AND s.claimed_at IS NOT NULL
              AND s.state NOT IN ('pending', 'cancelled')
              AND NOT EXISTS (SELECT FROM messages m WHERE m.tenant_id = s.tenant_id
                              AND m.answered_by = s.reply_id)
            GROUP BY s.tenant_id, s.reply_id
            UNION ALL
            SELECT m.tenant_id, ARRAY['message:' || m.id, 'reply:' || m.answered_by],
                   'counts as answered by a reply whose turn never read it'
            FROM messages m
            JOIN turns t ON t.tenant_id = m.tenant_id AND t.reply_id = m.answered_by
            WHERE m.tenant_id = ANY(:tenants) AND m.answered_how = 'ai'
              AND NOT EXISTS (SELECT FROM turn_steps s WHERE s.tenant_id = t.tenant_id
                              AND s.turn_id = t.id AND s.kind = 'read'
                              AND s.body->>'message_id' = m.id::text)
            """,
    ),
)
