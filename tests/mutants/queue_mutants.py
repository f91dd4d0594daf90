"""Faults of the work queue: rows, hints, attempts, dead letters."""

from tests.mutants.mutant import Mutant

MIGRATION = "shared/persistence/migrations/versions/0001_foundation.py"
RULES = "tests/fault/test_model_rules.py"

QUEUE = (
    Mutant(
        name="generation-ignored",
        breaks="work that came meanwhile is deleted with the work that was done",
        file=MIGRATION,
        old="DELETE FROM queue_messages WHERE id = p_id AND generation = p_generation;",
        new="DELETE FROM queue_messages WHERE id = p_id;",
        tests=(f"{RULES}::test_nogen_a_bubble_after_the_last_look_is_not_lost",),
        says='assert [row["generation"] for row in await desk.queued(CRM)] == [2]',
        rule="NOGEN",
    ),
    Mutant(
        name="row-id-used-again",
        breaks="an old claim finishes a new row of the same key",
        file=MIGRATION,
        old="VALUES (p_id, p_tenant, p_queue, p_kind, p_key, p_payload,",
        new="VALUES (md5(p_queue || p_kind || p_key)::uuid, p_tenant, p_queue, p_kind, p_key,"
        " p_payload,",
        tests=(f"{RULES}::test_rowid_an_old_claim_never_finishes_a_new_entry_of_the_same_key",),
        says='assert await desk.do(stale) == "lost"',
        rule="ROWID",
    ),
    Mutant(
        name="row-deleted-before-the-handlers-commit",
        breaks="the turn's row goes with the lease, not with the reply",
        file="services/commerce-agent/src/commerce_agent/application/services/turn_reader.py",
        old="await uow.commit()\n        return reading",
        new="uow.tx.finish_with_commit(self.claim)\n        await uow.commit()\n"
        "        return reading",
        tests=(f"{RULES}::test_earlydelete_work_lives_until_the_transaction_that_did_it",),
        says='assert [row["kind"] for row in await desk.queued(CRM)] == [TURN]',
        rule="EARLYDELETE",
    ),
    Mutant(
        name="attempts-never-forgiven",
        breaks="an orderly end does not begin the attempts anew",
        file="shared/messaging/rows.py",
        old="lease_until = NULL, attempts = 0, published_at = NULL,",
        new="lease_until = NULL, published_at = NULL,",
        tests=(f"{RULES}::test_att_an_orderly_end_forgives_failed_tries",),
        says='assert await desk.count("dead_letters") == 0',
        rule="ATT",
    ),
    Mutant(
        name="attempts-inherited-by-later-work",
        breaks="work that came meanwhile pays for the failures of the work before it",
        file=MIGRATION,
        old="SET lease_id = NULL, lease_until = NULL, attempts = 0, published_at = NULL",
        new="SET lease_id = NULL, lease_until = NULL, published_at = NULL",
        tests=(f"{RULES}::test_att_work_that_came_meanwhile_begins_with_no_attempts",),
        says='assert (row["id"], row["attempts"]) == (claim.id, 0)',
        rule="ATT",
    ),
    Mutant(
        name="order-ignored",
        breaks="several bubbles of one conversation are claimable at once",
        file="shared/messaging/fair_pick.py",
        old="AND (q.ordering_key IS NULL OR NOT EXISTS (",
        new="AND (true OR NOT EXISTS (",
        tests=(f"{RULES}::test_pick_of_one_conversation_only_the_oldest_bubble_is_claimable",),
        says="assert len(claims) == 1",
        rule="PICK",
    ),
    Mutant(
        name="published-mark-kept",
        breaks="a moved due time keeps the mark of the hint for the earlier one",
        file=MIGRATION,
        old="published_at = NULL,\n            -- a relay",
        new="published_at = q.published_at,\n            -- a relay",
        tests=(f"{RULES}::test_pub_moving_the_due_time_clears_the_mark",),
        says='assert moved["published_at"] is None',
        rule="PUB",
    ),
    Mutant(
        name="early-mark-counts",
        breaks="a hint from before the due time counts as published when it is due",
        file="shared/messaging/relay.py",
        old="q.published_at IS NULL OR q.published_at < q.available_at OR",
        new="q.published_at IS NULL OR",
        tests=(f"{RULES}::test_pub_a_hint_sent_ahead_and_lost_is_given_again_when_its_time_comes",),
        says="assert [again.id for again in await desk.follow(CRM, broker.take(CRM))]"
        " == [claim.id]",
        rule="PUB",
    ),
    Mutant(
        name="sweep-blind",
        breaks="hints that the broker lost are not given again",
        file="shared/messaging/relay.py",
        old="missing = settled - ready",
        new="missing = 0",
        tests=(f"{RULES}::test_repost_a_lost_hint_is_given_again",),
        says="assert [claim.kind for claim in claims] == [TURN]",
        rule="REPOST",
    ),
    Mutant(
        name="transient-publish",
        breaks="a confirmed hint does not survive the broker's restart",
        file="shared/messaging/topology.py",
        old="delivery_mode=DeliveryMode.PERSISTENT",
        new="delivery_mode=DeliveryMode.NOT_PERSISTENT",
        tests=(
            "tests/unit/shared/messaging/test_topology.py"
            "::test_a_hint_says_version_kind_tenant_and_id",
        ),
        says="assert message.delivery_mode is DeliveryMode.PERSISTENT",
    ),
    Mutant(
        name="dead-turn-forgotten",
        breaks="nobody looks at a conversation whose turn was given up",
        file="services/commerce-agent/src/commerce_agent/interface/handlers/routes.py",
        old="handle=turns.handle, give_up=_joined(join, turns.give_up),",
        new="handle=turns.handle,",
        tests=(f"{RULES}::test_dead_a_turn_that_is_given_up_hands_the_conversation_over",),
        says='assert (await desk.conversation())["owner"] == "person"',
        rule="DEAD",
    ),
    Mutant(
        name="dead-bubble-stays-pending",
        breaks="a bubble without a row holds back all behind it",
        file="services/messenger/src/messenger/bootstrap.py",
        old="handle=handler.handle, give_up=give_up,",
        new="handle=handler.handle,",
        tests=(f"{RULES}::test_dead_a_bubble_that_is_given_up_fails_and_frees_its_line",),
        says='assert (await desk.bubble(first))["state"] == "failed"',
        rule="DEAD",
    ),
)
