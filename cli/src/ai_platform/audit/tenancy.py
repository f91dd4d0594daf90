"""Nothing of one tenant stands at another's, and the database itself would not let it."""

from ai_platform.audit.rules import Rule

RULES = (
    Rule(
        name="row-of-another-tenant",
        promise="What names a row without a foreign key names one of its own tenant.",
        query="""
            SELECT m.tenant_id, ARRAY['message:' || m.id, 'inbox:' || i.id] AS ids,
                   'a message came from another tenant''s inbox' AS detail
            FROM messages m JOIN inbox_events i ON i.id = m.inbox_id
            WHERE m.tenant_id = ANY(:tenants) AND i.tenant_id <> m.tenant_id
            UNION ALL
            SELECT s.tenant_id, ARRAY['send:' || s.id, 'turn:' || t.id],
                   'a bubble was written by another tenant''s turn'
            FROM sends s JOIN turns t ON t.id = s.turn_id
            WHERE s.tenant_id = ANY(:tenants) AND t.tenant_id <> s.tenant_id
            UNION ALL
            SELECT m.tenant_id, ARRAY['message:' || m.id, 'send:' || s.id],
                   'a message was answered by another tenant''s bubble'
            FROM messages m JOIN sends s ON s.reply_id = m.answered_by
            WHERE m.tenant_id = ANY(:tenants) AND s.tenant_id <> m.tenant_id
            UNION ALL
            SELECT s.tenant_id, ARRAY['turn:' || s.turn_id, 'message:' || m.id],
                   'a turn read another tenant''s message'
            FROM turn_steps s JOIN messages m ON m.id::text = s.body->>'message_id'
            WHERE s.tenant_id = ANY(:tenants) AND s.kind = 'read' AND m.tenant_id <> s.tenant_id
            UNION ALL
            SELECT q.tenant_id, ARRAY['queue:' || q.id, 'inbox:' || i.id],
                   'work for another tenant''s delivery'
            FROM queue_messages q JOIN inbox_events i ON i.id::text = q.key
            WHERE q.tenant_id = ANY(:tenants) AND q.kind LIKE 'inbox.%'
              AND i.tenant_id <> q.tenant_id
            UNION ALL
            SELECT q.tenant_id, ARRAY['queue:' || q.id, 'send:' || s.id],
                   'work for another tenant''s bubble'
            FROM queue_messages q JOIN sends s ON s.id::text = q.key
            WHERE q.tenant_id = ANY(:tenants) AND q.kind = 'send' AND s.tenant_id <> q.tenant_id
            UNION ALL
            SELECT q.tenant_id, ARRAY['queue:' || q.id, 'conversation:' || c.id],
                   'work for another tenant''s conversation'
            FROM queue_messages q JOIN conversations c ON c.id::text = q.key
            WHERE q.tenant_id = ANY(:tenants) AND q.kind = 'conversation.turn'
              AND c.tenant_id <> q.tenant_id
            UNION ALL
            SELECT q.tenant_id, ARRAY['queue:' || q.id, 'job:' || j.id],
                   'work for another tenant''s job'
            FROM queue_messages q JOIN jobs j ON j.id::text = q.key
            WHERE q.tenant_id = ANY(:tenants) AND q.kind = 'job.run'
              AND j.tenant_id <> q.tenant_id
            UNION ALL
            SELECT d.tenant_id, ARRAY['event:' || d.id, 'job:' || j.id],
                   'an event of another tenant''s job'
            FROM domain_events d JOIN jobs j ON j.id::text = d.body->>'job_id'
            WHERE d.tenant_id = ANY(:tenants) AND d.name LIKE 'job.%'
              AND j.tenant_id <> d.tenant_id
            UNION ALL
            SELECT d.tenant_id, ARRAY['event:' || d.id, 'conversation:' || c.id],
                   'an event of another tenant''s conversation'
            FROM domain_events d JOIN conversations c ON c.id::text = d.body->>'conversation_id'
            WHERE d.tenant_id = ANY(:tenants) AND c.tenant_id <> d.tenant_id
            """,
    ),
    Rule(
        name="table-without-wall",
        promise="Every table with tenant_id has forced row-level security whose only policy for"
        " the services' role compares the tenant.",
        query="""
            SELECT NULL::uuid AS tenant_id, ARRAY['table:' || c.relname] AS ids,
                   CASE WHEN NOT c.relrowsecurity THEN 'row-level security is off'
                        WHEN NOT c.relforcerowsecurity THEN 'row-level security is not forced'
                        ELSE 'its policies let other tenants'' rows through' END AS detail
            FROM pg_class c
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
                 AND NOT a.attisdropped
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
              AND (NOT c.relrowsecurity OR NOT c.relforcerowsecurity
                   OR NOT EXISTS (
                       SELECT FROM pg_policies p
                       WHERE p.schemaname = 'public' AND p.tablename = c.relname
                         AND 'platform_app' = ANY(p.roles))
                   OR EXISTS (
                       SELECT FROM pg_policies p
                       WHERE p.schemaname = 'public' AND p.tablename = c.relname
                         AND p.roles && '{platform_app,public}'::name[]
                         AND (coalesce(p.qual, '') NOT LIKE '%app.tenant%'
                              OR coalesce(p.with_check, '') NOT LIKE '%app.tenant%')))
            """,
    ),
)
