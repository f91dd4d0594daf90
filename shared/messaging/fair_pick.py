"""Which rows come next: round robin over the tenants, then priority, then age.

One statement text shared by all who take rows from the queue. It walks the tenants that have rows
in a ring, starting behind the one served last, by two index probes a tenant; takes each one's best
due rows, twice its share of what is asked for; and locks the first of them in turn order, passing
over what somebody else is locking. Where one tenant has less than its share the answer is shorter
than it could be, and the next one brings the rest.
"""

CLOCK = "clock AS MATERIALIZED (SELECT platform_now() AS now)"

DUE = """
    q.available_at <= (SELECT now FROM clock)
    AND (q.ordering_key IS NULL OR NOT EXISTS (
        SELECT FROM queue_messages h
        WHERE h.tenant_id = q.tenant_id AND h.queue = q.queue
          AND h.ordering_key = q.ordering_key AND (h.position, h.id) < (q.position, q.id)))
"""
"""Its time has come, and nothing stands before it in its order."""

_FREE = "(q.lease_until IS NULL OR q.lease_until <= (SELECT now FROM clock))"

NEXT_DUE = """
    (SELECT min(f.available_at) - (SELECT now FROM clock) FROM queue_messages f
     WHERE f.queue = :queue AND f.available_at > (SELECT now FROM clock))
"""
"""How long until the next row of the queue falls due."""


def fair_pick(*, which: str = "true", room: str = "CAST(:limit AS integer)") -> str:
    """The ``WITH`` clause that locks as many rows as there is ``room`` for, in fair order.

    Rows that nobody holds, whose time has come, first in their order. The clause ends in
    ``locked (id, turn, tenant_rank)`` and also has ``candidates``: what was seen before locking,
    and ``room (free)``. Parameters: ``:queue``, ``:served`` (the tenant served last), and what
    ``room`` names. ``which`` narrows the rows, over the alias ``q``.
    """
    limit = "(SELECT free FROM room)"
    wanted = f"{DUE} AND {_FREE} AND ({which})"
    # A turn is a place in the ring; lap 1 begins when no tenant is left behind the starting point.
    # Each tenant is probed with a LIMIT: of an EXISTS the planner makes a join over all due rows.
    return f"""
    WITH RECURSIVE {CLOCK}, room AS MATERIALIZED (SELECT {room} AS free),
    ring (tenant_id, lap, turn) AS (
        SELECT CAST(:served AS uuid), 0, 0
        UNION ALL
        SELECT n.tenant_id, n.lap, r.turn + 1 FROM ring r CROSS JOIN LATERAL (
            (SELECT q.tenant_id, r.lap FROM queue_messages q
             WHERE q.queue = :queue AND q.tenant_id > r.tenant_id
               AND (r.lap = 0 OR q.tenant_id <= :served)
             ORDER BY q.tenant_id LIMIT 1)
            UNION ALL
            (SELECT q.tenant_id, 1 FROM queue_messages q
             WHERE q.queue = :queue AND r.lap = 0 AND q.tenant_id <= :served
             ORDER BY q.tenant_id LIMIT 1)
            LIMIT 1
        ) n
    ),
    tenants_due AS MATERIALIZED (
        SELECT r.tenant_id, r.turn FROM ring r CROSS JOIN LATERAL (
            SELECT FROM queue_messages q
            WHERE q.queue = :queue AND q.tenant_id = r.tenant_id AND {wanted}
            LIMIT 1
        ) due
        WHERE r.turn > 0
        LIMIT {limit}
    ),
    candidates AS MATERIALIZED (
        SELECT d.id, t.turn, d.tenant_rank FROM tenants_due t CROSS JOIN LATERAL (
            SELECT b.id, row_number() OVER () AS tenant_rank FROM (
                SELECT q.id FROM queue_messages q
                WHERE q.queue = :queue AND q.tenant_id = t.tenant_id AND {wanted}
                ORDER BY q.priority DESC, q.available_at, q.id
                LIMIT (SELECT 2 * (({limit} - 1) / count(*) + 1) FROM tenants_due)
            ) b
        ) d
        ORDER BY d.tenant_rank, t.turn LIMIT 2 * {limit}
    ),
    locked AS MATERIALIZED (
        SELECT q.id, c.turn, c.tenant_rank FROM candidates c
        JOIN queue_messages q ON q.id = c.id
        WHERE {wanted}
        ORDER BY c.tenant_rank, c.turn
        LIMIT {limit}
        FOR UPDATE OF q SKIP LOCKED
    )
    """  # noqa: S608 - put together from constants of this module and its callers
