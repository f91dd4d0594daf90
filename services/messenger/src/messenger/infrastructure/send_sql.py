"""What the messenger asks of PostgreSQL. Due times and ages are by the database's clock.

``sends`` and ``claim_send`` are the contract with the commerce agent. Of a conversation only its
owner, its address and the ids of its messages are read beside, never what they say.
"""

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import INTERVAL

LOAD = text(
    """
    SELECT s.*, c.address, ch.kind AS channel_kind,
           platform_now() - s.created_at AS age,
           coalesce(platform_now() - s.claimed_at, interval '0') AS since_claim,
           (s.created_at < platform_now() - interval '1 hour' AND s.released_by IS NULL)
           OR (s.kind IN ('ai', 'holding')
               AND (c.owner <> 'ai' OR c.owner_epoch <> s.owner_epoch))
           OR (s.kind = 'ai' AND NOT EXISTS (
               SELECT FROM messages m WHERE m.tenant_id = s.tenant_id
               AND m.answered_by = s.reply_id AND m.revoked_at IS NULL)) AS doomed,
           ARRAY(SELECT m.native_id FROM messages m
                 WHERE m.tenant_id = s.tenant_id AND m.conversation_id = s.conversation_id
                 AND m.direction = 'in' AND m.kind = 'message' AND m.revoked_at IS NULL
                 ORDER BY m.received_at DESC LIMIT 5) AS unread
    FROM sends s
    JOIN conversations c ON c.tenant_id = s.tenant_id AND c.id = s.conversation_id
    JOIN channels ch ON ch.tenant_id = s.tenant_id AND ch.id = s.channel_id
    WHERE s.tenant_id = :tenant AND s.id = :send
    """
)

TAKE_SLOT = text(
    """
    WITH wanting AS (
        SELECT FROM sends WHERE tenant_id = :tenant AND id = :send AND state = 'pending'
        AND coalesce(slot_at < platform_now() - interval '30 seconds', true)
    ), place AS (
        UPDATE channels SET next_send_at = greatest(next_send_at, platform_now()) + :gap
        WHERE tenant_id = :tenant AND id = :channel AND EXISTS (SELECT FROM wanting)
        RETURNING next_send_at - :gap AS at
    ), taken AS (
        UPDATE sends SET slot_at = place.at FROM place
        WHERE tenant_id = :tenant AND id = :send
        RETURNING slot_at
    )
    SELECT coalesce((SELECT slot_at FROM taken),
                    (SELECT slot_at FROM sends WHERE tenant_id = :tenant AND id = :send))
           - platform_now() AS wait
    """
).bindparams(bindparam("gap", type_=INTERVAL))
"""A place that was not used for half a minute (nobody worked) is given up: otherwise everything
that waited would leave at once."""

KEEP_ID = text(
    """
    UPDATE sends SET reserved_id = coalesce(reserved_id, :native_id)
    WHERE tenant_id = :tenant AND id = :send RETURNING reserved_id
    """
)

CLAIM = text("SELECT outcome, claim FROM claim_send(:send)")

END = text(
    """
    UPDATE sends SET state = :state, ended_at = platform_now(), error_code = :error_code,
                     error_detail = :error_detail,
                     native_id = CASE WHEN :state = 'sent'
                                 THEN coalesce(:native_id, echoed_id, reserved_id) END
    WHERE tenant_id = :tenant AND id = :send AND claim_no = :number
      AND state IN ('sending', 'unknown')
    RETURNING ended_at
    """
)

MARK_UNKNOWN = text(
    """
    UPDATE sends SET state = 'unknown', unknown_since = platform_now(), error_detail = :detail
    WHERE tenant_id = :tenant AND id = :send AND claim_no = :number AND state = 'sending'
    RETURNING unknown_since
    """
)

PUT_BACK = text(
    """
    UPDATE sends SET state = 'pending', slot_at = NULL, unknown_since = NULL,
                     error_code = :error_code, resent = resent OR :resend
    WHERE tenant_id = :tenant AND id = :send AND claim_no = :number
      AND state IN ('sending', 'unknown')
    RETURNING id
    """
)

LOCK = text("SELECT FROM sends WHERE tenant_id = :tenant AND id = :send FOR UPDATE")
"""Waits for a commit that nobody waits for any more."""

TAKE_BACK = text(
    """
    UPDATE sends s SET state = 'pending', slot_at = NULL
    WHERE s.tenant_id = :tenant AND s.id = :send AND s.claim_no = :number AND s.state = 'sending'
      AND EXISTS (SELECT FROM queue_messages q WHERE q.tenant_id = s.tenant_id
                  AND q.id = :task AND q.lease_id = :lease)
    """
)
"""While the row's lease is ours, nobody else can have made this claim."""

OTHER_IDS = text(
    """
    SELECT unnest(ARRAY[native_id, echoed_id, reserved_id]) AS id FROM sends
    WHERE tenant_id = :tenant AND conversation_id = :conversation AND id <> :send
    UNION
    SELECT native_id FROM messages
    WHERE tenant_id = :tenant AND conversation_id = :conversation AND direction = 'out'
    """
)

REPORT = text(
    """
    UPDATE channels SET state = :state
    WHERE tenant_id = :tenant AND id = :channel AND state <> :state RETURNING id
    """
)

GIVE_UP = text(
    """
    UPDATE sends SET state = 'failed', error_code = :code, ended_at = platform_now()
    WHERE tenant_id = :tenant AND id = :send
      AND (state = 'pending'
           OR state IN ('sending', 'unknown') AND claimed_at < platform_now() - interval '1 hour')
    RETURNING ended_at, conversation_id, channel_id, kind
    """
)

STATE = text("SELECT state FROM sends WHERE tenant_id = :tenant AND id = :send")
