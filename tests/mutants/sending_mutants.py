"""Faults of sending: the claim and what it checks, outcomes, echoes, repeats."""

from tests.mutants.mutant import Mutant
from tests.mutants.queue_mutants import MIGRATION, RULES

MESSENGER = "services/messenger/src/messenger"
CLAIMNO = f"{RULES}::test_claimno_the_outcome_of_an_older_claim_ends_nothing"
STILL_SENDING = (
    'assert (running["state"], running["claim_no"], running["resent"]) == ("sending", 2, True)'
)
POSTPONED = 'assert await desk.send(await desk.claim_bubble()) == "postponed"'

SENDING = (
    Mutant(
        name="claim-without-the-lock",
        breaks="a takeover that commits during the claim is not seen by it",
        file=MIGRATION,
        old="WHERE b.id = p_send FOR NO KEY UPDATE OF v;",
        new="WHERE b.id = p_send;",
        tests=(f"{RULES}::test_lock_a_claim_waits_for_the_takeover_that_is_being_committed",),
        says='assert await claiming == "cancelled"',
        rule="LOCK",
    ),
    Mutant(
        name="owner-check-dropped",
        breaks="the AI's text leaves after a takeover",
        file=MIGRATION,
        old="AND (c.owner <> 'ai' OR c.owner_epoch <> s.owner_epoch) THEN",
        new="AND false THEN",
        tests=(f"{RULES}::test_owneratcommit_a_takeover_after_the_commit_is_seen_by_the_claim",),
        says='assert await desk.claim_send(send) == "cancelled"',
        rule="OWNERATCOMMIT",
    ),
    Mutant(
        name="owner-epoch-ignored",
        breaks="a reply from before a takeover leaves when the AI owns again",
        file=MIGRATION,
        old="AND (c.owner <> 'ai' OR c.owner_epoch <> s.owner_epoch) THEN",
        new="AND (c.owner <> 'ai') THEN",
        tests=(f"{RULES}::test_owneratcommit_nor_is_it_sendable_when_the_conversation_comes_back",),
        says='assert await desk.claim_send(send) == "cancelled"',
    ),
    Mutant(
        name="revoke-check-dropped",
        breaks="an answer to messages that were all deleted is sent",
        file=MIGRATION,
        old="refusal := 'all_revoked';",
        new="refusal := NULL;",
        tests=(f"{RULES}::test_revoke_a_reply_goes_unless_everything_it_answers_was_revoked",),
        says='assert await desk.claim_send(send) == "cancelled"',
        rule="REVOKE",
    ),
    Mutant(
        name="one-revoked-refuses-all",
        breaks="an answer is void because one of its messages was deleted",
        file=MIGRATION,
        old="ELSIF s.kind = 'ai' AND NOT EXISTS (\n"
        "            SELECT FROM messages m WHERE m.tenant_id = s.tenant_id\n"
        "            AND m.answered_by = s.reply_id AND m.revoked_at IS NULL",
        new="ELSIF s.kind = 'ai' AND EXISTS (\n"
        "            SELECT FROM messages m WHERE m.tenant_id = s.tenant_id\n"
        "            AND m.answered_by = s.reply_id AND m.revoked_at IS NOT NULL",
        tests=(f"{RULES}::test_revoke_a_reply_goes_unless_everything_it_answers_was_revoked",),
        says='assert await connection.fetchval(claims, send) == "claimed"',
        rule="REVOKE",
    ),
    Mutant(
        name="head-of-line-not-asked",
        breaks="a bubble is called while one before it is open",
        file=MIGRATION,
        old="outcome := 'blocked';\n            RETURN;",
        new="NULL;",
        tests=(
            f"{RULES}::test_pick_nothing_is_claimed_past_an_open_bubble_even_if_its_entry_is_held",
        ),
        says='assert await desk.claim_send(notice[0]) == "blocked"',
    ),
    Mutant(
        name="no-bubble-too-old",
        breaks="a restored backup sends what it held",
        file=MIGRATION,
        old="IF s.created_at < platform_now() - interval '1 hour' AND s.released_by IS NULL THEN",
        new="IF false THEN",
        tests=(
            "tests/integration/messenger/test_claims.py"
            "::test_the_claim_itself_refuses_what_is_too_old",
        ),
        says='assert claimed["outcome"] == "failed"',
    ),
    Mutant(
        name="unknown-names-no-claim",
        breaks="a messenger that woke up makes another's call unknown",
        file=f"{MESSENGER}/infrastructure/send_sql.py",
        old="AND claim_no = :number AND state = 'sending'",
        new="AND claim_no >= :number AND state = 'sending'",
        tests=(f"{CLAIMNO}[unclear]",),
        says=STILL_SENDING,
        rule="CLAIMNO",
    ),
    Mutant(
        name="outcome-names-no-claim",
        breaks="a messenger that woke up ends another's call",
        file=f"{MESSENGER}/infrastructure/send_sql.py",
        old="AND claim_no = :number\n"
        "      AND state IN ('sending', 'unknown')\n    RETURNING ended_at",
        new="AND claim_no >= :number\n"
        "      AND state IN ('sending', 'unknown')\n    RETURNING ended_at",
        tests=(f"{CLAIMNO}[refused]",),
        says=STILL_SENDING,
        rule="CLAIMNO",
    ),
    Mutant(
        name="put-back-names-no-claim",
        breaks="a messenger that woke up makes another's bubble pending during its call",
        file=f"{MESSENGER}/infrastructure/send_sql.py",
        old="AND claim_no = :number\n      AND state IN ('sending', 'unknown')\n    RETURNING id",
        new="AND claim_no >= :number\n      AND state IN ('sending', 'unknown')\n    RETURNING id",
        tests=(f"{CLAIMNO}[put-back]",),
        says=STILL_SENDING,
        rule="CLAIMNO",
    ),
    Mutant(
        name="old-claim-used",
        breaks="a call is made on what was true before the process slept",
        file=f"{MESSENGER}/application/send_handler.py",
        old="late = self.monotonic() - claimed_at >= self.windows.claim.total_seconds()",
        new="late = False",
        tests=(f"{RULES}::test_late_no_call_is_made_on_an_old_claim",),
        says=POSTPONED,
        rule="LATE",
    ),
    Mutant(
        name="unknown-ended-too-soon",
        breaks="a bubble is given up while its call may still arrive",
        file=f"{MESSENGER}/application/send_handler.py",
        old="if send.since_claim < self.windows.unknown:",
        new="if False:",
        tests=(f"{RULES}::test_late_unknown_is_not_ended_while_a_call_may_be_running",),
        says=POSTPONED,
        rule="LATE",
    ),
    Mutant(
        name="call-outlasts-unknown",
        breaks="with short settings a call is still running when unknown ends",
        file=f"{MESSENGER}/domain.py",
        old="call=min(call, timedelta(seconds=30), unknown / 2),",
        new="call=min(call, timedelta(seconds=30)),",
        tests=(f"{RULES}::test_late_unknown_outlasts_every_call_whatever_is_set",),
        says="assert windows.claim + windows.call < windows.unknown",
        rule="LATE",
    ),
    Mutant(
        name="dead-messengers-bubble-forgotten",
        breaks="the row of a bubble whose messenger died is deleted",
        file=f"{MESSENGER}/application/send_handler.py",
        old='await self._unclear(send, send.claim_no, "the messenger that claimed it is gone")',
        new="await self.sends.finish(claim)",
        tests=(
            f"{RULES}"
            "::test_sending_a_bubble_whose_messenger_died_becomes_unknown_and_keeps_its_entry",
        ),
        says=POSTPONED,
        rule="SENDING",
    ),
    Mutant(
        name="blind-re-send",
        breaks="a reply of which nobody knows whether it left is sent again",
        file=f"{MESSENGER}/domain.py",
        old='return self.kind == "notice" and not self.resent',
        new="return not self.resent",
        tests=(f"{RULES}::test_blindresend_an_unclear_reply_is_called_once",),
        says='assert desk.waha.paths("sendText") == ["sendText"]',
        rule="BLINDRESEND",
    ),
    Mutant(
        name="server-error-taken-for-not-sent",
        breaks="after a 500 the message is sent again, although it may have left",
        file="shared/waha/send.py",
        old="raise SendUnknown(detail, status=status)",
        new="raise NotSent(detail, status=status)",
        tests=(f"{RULES}::test_blindresend_an_unclear_reply_is_called_once",),
        says='assert desk.waha.paths("sendText") == ["sendText"]',
        rule="BLINDRESEND",
    ),
    Mutant(
        name="echo-ends-a-running-call",
        breaks="the next bubble is called while this call still runs",
        file="services/commerce-agent/src/commerce_agent/infrastructure/persistence/sends.py",
        old="claimed_at < platform_now() - CAST(:window AS interval)",
        new="CAST(:window AS interval) IS NOT NULL",
        tests=(f"{RULES}::test_echo_ends_nothing_while_its_call_is_running",),
        says='assert (during["state"], during["echoed_id"]) == ("sending", sent.native_id)',
        rule="ECHO",
    ),
)
