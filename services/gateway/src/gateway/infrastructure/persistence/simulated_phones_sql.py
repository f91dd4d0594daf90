"""The statements behind the simulator's phones. ``:tenant`` and ``:channel`` say whose they are."""

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

_SHOPS = """
    SELECT DISTINCT ON (t.id) t.id AS tenant_id, t.slug, t.name, c.id AS channel_id, c.session
    FROM tenants t JOIN channels c ON c.tenant_id = t.id AND c.kind = 'simulator' AND c.active
    WHERE t.status = 'active' {which} ORDER BY t.id, c.id
"""
ALL_SHOPS = text(_SHOPS.format(which=""))
SHOP_OF_ID = text(_SHOPS.format(which="AND t.id = :tenant"))
SHOP_OF_SLUG = text(_SHOPS.format(which="AND t.slug = :tenant"))
LANGUAGE_AND_MODEL = text(
    """
    SELECT t.language, m.model, m.provider
    FROM tenants t LEFT JOIN LATERAL (
        SELECT model, provider FROM llm_configs l
        WHERE l.name = t.llm_config_name AND l.active
        ORDER BY l.tenant_id NULLS LAST, l.version DESC LIMIT 1
    ) m ON true WHERE t.id = :tenant
    """
)
CUSTOMERS = text(
    """
    SELECT p.address, p.name, m.body, m.created_at, m.content->>'type' AS type,
           (SELECT count(*) FROM simulator_messages u
            WHERE u.tenant_id = p.tenant_id AND u.channel_id = p.channel_id
              AND u.address = p.address AND NOT u.from_customer AND u.seen_at IS NULL) AS unseen
    FROM simulator_customers p LEFT JOIN LATERAL (
        SELECT body, created_at, content - 'data' AS content FROM simulator_messages l
        WHERE l.tenant_id = p.tenant_id AND l.channel_id = p.channel_id AND l.address = p.address
        ORDER BY l.created_at DESC, l.native_id DESC LIMIT 1
    ) m ON true
    WHERE p.tenant_id = :tenant AND p.channel_id = :channel
    ORDER BY coalesce(m.created_at, p.created_at) DESC LIMIT 200
    """
)
ADD_CUSTOMER = text(
    """
    INSERT INTO simulator_customers (tenant_id, channel_id, address, name)
    VALUES (:tenant, :channel, :address, :name)
    ON CONFLICT (tenant_id, channel_id, address) DO UPDATE SET name = excluded.name
    """
)
NAME = text(
    "SELECT name FROM simulator_customers"
    " WHERE tenant_id = :tenant AND channel_id = :channel AND address = :address"
)
MESSAGES = text(
    """
    SELECT * FROM (
        SELECT s.native_id, s.from_customer, s.body, s.content - 'data' AS content, s.created_at,
               s.seen_at IS NOT NULL AS seen,
               EXISTS (SELECT FROM messages m WHERE m.tenant_id = s.tenant_id
                       AND m.channel_id = s.channel_id AND m.direction = 'in'
                       AND m.kind = 'message' AND m.native_id = s.native_id) AS stored
        FROM simulator_messages s
        WHERE s.tenant_id = :tenant AND s.channel_id = :channel AND s.address = :address
          AND (cast(:after AS text) IS NULL OR (s.created_at, s.native_id) > (
                SELECT a.created_at, a.native_id FROM simulator_messages a
                WHERE a.tenant_id = :tenant AND a.channel_id = :channel AND a.native_id = :after))
        ORDER BY s.created_at DESC, s.native_id DESC LIMIT :limit
    ) latest ORDER BY created_at, native_id
    """
)
OWNER = text(
    "SELECT owner FROM conversations"
    " WHERE tenant_id = :tenant AND channel_id = :channel AND address = :address"
)
PUT = text(
    """
    INSERT INTO simulator_messages
        (tenant_id, channel_id, native_id, address, from_customer, body, content)
    VALUES (:tenant, :channel, :native_id, :address, true, :body, :content)
    """
).bindparams(bindparam("content", type_=JSONB))
TAKE_BACK = text(
    "DELETE FROM simulator_messages"
    " WHERE tenant_id = :tenant AND channel_id = :channel AND native_id = :native_id"
)
SEE = text(
    """
    UPDATE simulator_messages SET seen_at = platform_now()
    WHERE tenant_id = :tenant AND channel_id = :channel AND address = :address
      AND NOT from_customer AND seen_at IS NULL RETURNING native_id, created_at
    """
)
PICTURE = text(
    """
    SELECT content->>'mimetype' AS mimetype, content->>'data' AS data FROM simulator_messages
    WHERE tenant_id = :tenant AND channel_id = :channel AND native_id = :native_id
      AND content ? 'data'
    """
)
SENT = text(
    """
    SELECT m.answered_how, m.answered_by FROM simulator_messages s
    LEFT JOIN messages m ON m.tenant_id = s.tenant_id AND m.channel_id = s.channel_id
         AND m.direction = 'in' AND m.kind = 'message' AND m.native_id = s.native_id
    WHERE s.tenant_id = :tenant AND s.channel_id = :channel AND s.native_id = :native_id
      AND s.address = :address AND s.from_customer
    """
)
BUBBLES = text(
    "SELECT id, body, state, kind FROM sends"
    " WHERE tenant_id = :tenant AND reply_id = :reply ORDER BY seq"
)
STAMP = text(
    """
    SELECT concat_ws('.', count(*), count(s.seen_at), count(m.id), max(s.created_at),
           (SELECT owner FROM conversations WHERE tenant_id = :tenant
            AND channel_id = :channel AND address = :address))
    FROM simulator_messages s
    LEFT JOIN messages m ON m.tenant_id = s.tenant_id AND m.channel_id = s.channel_id
         AND m.direction = 'in' AND m.kind = 'message' AND m.native_id = s.native_id
    WHERE s.tenant_id = :tenant AND s.channel_id = :channel AND s.address = :address
    """
)
