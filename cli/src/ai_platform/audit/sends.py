"""Bubbles leave in the order in which they were committed, one at a time, while they may."""

from ai_platform.audit.rules import Rule

RULES = (
    Rule(
        name="send-place-twice",
        promise="Each bubble of a conversation has a place of its own.",
        query="""
            SELECT tenant_id, array_agg('send:' || id ORDER BY id) AS ids,
                   count(*) || ' bubbles at place ' || seq AS detail
            FROM sends WHERE tenant_id = ANY(:tenants)
            GROUP BY tenant_id, conversation_id, seq HAVING count(*) > 1
            """,
    ),
    Rule(
        name="send-missing",
        promise="No bubble that was committed is gone: there are as many as were counted.",
        query="""
            SELECT c.tenant_id, ARRAY['conversation:' || c.id] AS ids,
                   count(s.id) || ' bubbles of ' || c.out_seq AS detail
            FROM conversations c
            LEFT JOIN sends s ON s.tenant_id = c.tenant_id AND s.conversation_id = c.id
            WHERE c.tenant_id = ANY(:tenants)
            GROUP BY c.tenant_id, c.id HAVING count(s.id) <> c.out_seq
            """,
    ),
    Rule(
        name="send-open",
        promise="Every bubble that has not ended has work; when everything has come to rest it has"
        " ended.",
        query="""
            SELECT s.tenant_id, ARRAY['send:' || s.id] AS ids,
                   s.state || CASE WHEN q.id IS NULL THEN ' and nobody has work for it' ELSE '' END
                   AS detail
            FROM sends s
            LEFT JOIN queue_messages q ON q.tenant_id = s.tenant_id AND q.queue = 'wa_messages'
                 AND q.kind = 'send' AND q.key = s.id::text
            WHERE s.tenant_id = ANY(:tenants) AND s.state IN ('pending', 'sending', 'unknown')
              AND (:settled
                   OR q.id IS NULL AND greatest(s.created_at, :since) + :late < platform_now())
            """,
    ),
    Rule(
        name="send-overtaken",
        promise="A bubble is claimed only after every earlier one of its conversation has ended.",
        query="""
            SELECT s.tenant_id, ARRAY['send:' || e.id, 'send:' || s.id] AS ids,
                   'place ' || s.seq || ' was claimed before place ' || e.seq || ' ended' AS detail
            FROM sends s
            JOIN sends e ON e.tenant_id = s.tenant_id AND e.conversation_id = s.conversation_id
                 AND e.seq < s.seq AND (e.ended_at IS NULL OR e.ended_at > s.claimed_at)
            WHERE s.tenant_id = ANY(:tenants) AND s.claimed_at IS NOT NULL
              AND NOT EXISTS (
                  SELECT FROM domain_events d WHERE d.tenant_id = s.tenant_id
                  AND d.name = 'conversation.merged' AND d.occurred_at >= s.claimed_at
                  AND d.body->>'conversation_id' = s.conversation_id::text)
            """,
    ),
    Rule(
        name="send-after-owner-change",
        promise="No text of the AI is claimed after the conversation got another owner.",
        query="""
            SELECT s.tenant_id, ARRAY['send:' || s.id, 'event:' || d.id] AS ids,
                   'claimed after ' || d.name AS detail
            FROM sends s
            JOIN domain_events d ON d.tenant_id = s.tenant_id
                 AND d.name IN ('conversation.taken_over', 'conversation.paused',
                                'conversation.handed_over', 'conversation.returned')
                 AND d.body->>'conversation_id' = s.conversation_id::text
                 AND (d.body->>'owner_epoch')::bigint > s.owner_epoch
                 AND d.occurred_at < s.claimed_at
            WHERE s.tenant_id = ANY(:tenants) AND s.kind IN ('ai', 'holding')
              AND NOT EXISTS (
                  SELECT FROM domain_events g WHERE g.tenant_id = s.tenant_id
                  AND g.name = 'conversation.merged' AND g.occurred_at >= s.claimed_at
                  AND g.body->>'conversation_id' = s.conversation_id::text)
            """,
    ),
    Rule(
        name="send-after-revocation",
        promise="No text of the AI is claimed after all that it answers was revoked.",
        query="""
            SELECT s.tenant_id, ARRAY['send:' || s.id] AS ids,
                   'claimed after all that it answers was revoked' AS detail
            FROM sends s
            WHERE s.tenant_id = ANY(:tenants) AND s.kind = 'ai' AND s.claimed_at IS NOT NULL
              AND EXISTS (
                  SELECT FROM messages m WHERE m.tenant_id = s.tenant_id
                  AND m.answered_by = s.reply_id)
              AND NOT EXISTS (
                  SELECT FROM messages m WHERE m.tenant_id = s.tenant_id
                  AND m.answered_by = s.reply_id
                  AND (m.revoked_at IS NULL OR m.revoked_at > s.claimed_at))
            """,
    ),
    Rule(
        name="send-repeated",
        promise="Only a notice is repeated when nobody knows whether it left.",
        query="""
            SELECT tenant_id, ARRAY['send:' || id] AS ids,
                   'a bubble of kind ' || kind || ' was repeated' AS detail
            FROM sends WHERE tenant_id = ANY(:tenants) AND resent AND kind <> 'notice'
            """,
    ),
    Rule(
        name="send-to-no-person",
        promise="Nothing is sent to groups, status, newsletters or the shop's own number.",
        query="""
            SELECT s.tenant_id, ARRAY['send:' || s.id, 'conversation:' || c.id] AS ids,
                   'the conversation is with no person' AS detail
            FROM sends s
            JOIN conversations c ON c.tenant_id = s.tenant_id AND c.id = s.conversation_id
            JOIN channels h ON h.tenant_id = s.tenant_id AND h.id = s.channel_id
            WHERE s.tenant_id = ANY(:tenants)
              AND (c.address !~ '^[0-9]+@(c[.]us|lid)$'
                   OR split_part(c.address, '@', 1) = ltrim(h.phone, '+'))
            """,
    ),
)
