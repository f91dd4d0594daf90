"""Faults of the turn: lease, fencing, journal, effects, the conditions of its commit."""

from tests.mutants.mutant import Mutant
from tests.mutants.queue_mutants import MIGRATION, RULES

SERVICES = "services/commerce-agent/src/commerce_agent/application/services"
PERSISTENCE = "services/commerce-agent/src/commerce_agent/infrastructure/persistence"
TURNS = "tests/integration/commerce_agent/conversation/test_turns.py"

TURN = (
    Mutant(
        name="return-makes-no-work",
        breaks="what waits is not looked at when the conversation comes back to the AI",
        file=f"{SERVICES}/conversation_service.py",
        old="if await uow.messages.first_waiting_since(conversation_id) is not None:",
        new="if False:",
        tests=(f"{RULES}::test_return_makes_the_waiting_message_due_again",),
        says='assert [row["kind"] for row in await desk.queued(CRM)] == [TURN]',
        rule="RETURN",
    ),
    Mutant(
        name="void-reply-stays-an-answer",
        breaks="the messages of a cancelled reply count as answered",
        file=MIGRATION,
        old="PERFORM take_back_reply(s.tenant_id, s.conversation_id, s.reply_id);",
        new="NULL;",
        tests=(f"{RULES}::test_cancel_makes_the_messages_of_a_void_reply_due_again",),
        says='assert await desk.answered() == {"halo": None}',
        rule="CANCEL",
    ),
    Mutant(
        name="void-reply-makes-no-work",
        breaks="the messages of a cancelled reply wait, and nobody looks at them",
        file=MIGRATION,
        old="PERFORM enqueue_task(gen_random_uuid(), p_tenant, 'crm_tasks', 'conversation.turn',\n"
        "                             p_conversation::text, '{}', NULL, NULL, 0, NULL, 0);",
        new="NULL;",
        tests=(f"{RULES}::test_cancel_makes_the_messages_of_a_void_reply_due_again",),
        says='assert [row["kind"] for row in await desk.queued(CRM)] == [TURN]',
        rule="CANCEL",
    ),
    Mutant(
        name="stopped-turn-ended",
        breaks="a takeover ends the turn, and its effects happen again in the next one",
        file=f"{SERVICES}/turn_reader.py",
        old="await self.close(uow, lease)\n            return None",
        new="await uow.turns.end_open(conversation.id, TurnOutcome.NOTHING_LEFT)\n"
        "            await self.close(uow, lease)\n"
        "            return None",
        tests=(f"{RULES}::test_journal_of_a_turn_that_lost_its_owner_goes_on_with_its_effect",),
        says="""assert await desk.count("turns", "state = 'open'") == 1""",
        rule="JOURNAL",
    ),
    Mutant(
        name="void-reply-begun-anew",
        breaks="the turn of a cancelled reply is not opened again",
        file=MIGRATION,
        old="UPDATE turns SET state = 'open', outcome = NULL, reply_id = NULL, ended_at = NULL",
        new="UPDATE turns SET outcome = NULL, reply_id = NULL",
        tests=(f"{RULES}::test_journal_of_a_void_reply_is_reopened_with_its_effect",),
        says="""assert await desk.count("turns", "state = 'open'") == 1""",
        rule="JOURNAL",
    ),
    Mutant(
        name="draft-discarded-for-ever",
        breaks="a customer who goes on writing never gets an answer",
        file=f"{SERVICES}/turn_reply.py",
        old="inbound_seq=None if reading.last_draft else reading.inbound_seq,",
        new="inbound_seq=reading.inbound_seq,",
        tests=(f"{RULES}::test_disc_the_third_draft_answers_what_it_has_read",),
        says="assert len(desk.agent.turns) == 3",
        rule="DISC",
    ),
    Mutant(
        name="journal-not-fenced",
        breaks="a worker that lost the conversation goes on writing its journal",
        file=f"{PERSISTENCE}/turn_store.py",
        old="AND lease_epoch = :epoch FOR NO KEY UPDATE",
        new="FOR NO KEY UPDATE",
        tests=(f"{TURNS}::test_every_write_of_a_stale_worker_raises_fenced",),
        says="DID NOT RAISE Fenced",
        rule="NOFENCE",
    ),
    Mutant(
        name="commit-not-fenced",
        breaks="a worker that lost the conversation commits its reply",
        file=f"{PERSISTENCE}/conversation_repository.py",
        old="_BEGIN_COMMIT = _RELEASE_LEASE.where(",
        new="_BEGIN_COMMIT = _ONE.values(lease_owner=None, lease_until=None).where(",
        tests=(f"{RULES}::test_nofence_the_commit_itself_asks_for_the_lease",),
        says="assert stale is None",
        rule="NOFENCE",
    ),
    Mutant(
        name="effect-not-fenced",
        breaks="a worker that lost the conversation still changes things",
        file=f"{PERSISTENCE}/unit_of_work.py",
        old="or conversation.lease_epoch != effect.lease_epoch",
        new="or False",
        tests=(f"{RULES}::test_nofence_nor_does_its_tool_do_anything",),
        says="assert await desk.effects() == 0",
        rule="NOFENCE",
    ),
    Mutant(
        name="effect-of-the-former-owner",
        breaks="a tool changes things after staff took over",
        file=f"{PERSISTENCE}/unit_of_work.py",
        old="or conversation.owner_epoch != effect.owner_epoch",
        new="or False",
        tests=(f"{RULES}::test_effowner_a_tool_does_nothing_more_after_a_takeover",),
        says="assert await desk.effects() == 0",
        rule="EFFOWNER",
    ),
    Mutant(
        name="effect-key-dropped",
        breaks="a tool that is called again under its key does not know its result",
        file=f"{PERSISTENCE}/unit_of_work.py",
        old="self.replayed = await self.turns.find_result(\n"
        "            effect.turn_id, step=effect.step, call=effect.call\n        )",
        new="self.replayed = None",
        tests=(f"{RULES}::test_nokey_an_effect_asked_for_again_says_what_it_said",),
        says="""assert said == ['{"updated":["note"]}'] * 2""",
        rule="NOKEY",
    ),
    Mutant(
        name="effect-without-its-journal",
        breaks="an effect commits without its step, and the next worker repeats it",
        file=f"{PERSISTENCE}/unit_of_work.py",
        old="if self._effect is not None and effect_done is not None:",
        new="if self._effect is not None and effect_done is None:",
        tests=(f"{RULES}::test_nokey_an_effect_whose_worker_died_is_not_repeated",),
        says="assert await desk.effects() == 1",
        rule="NOKEY",
    ),
    Mutant(
        name="effect-key-not-unique",
        breaks="the database would take the same effect twice",
        file=MIGRATION,
        old="CONSTRAINT pk_turn_steps PRIMARY KEY (tenant_id, turn_id, step, call),",
        new="",
        tests=(
            "tests/integration/shared/persistence/test_unique_walls.py"
            "::test_a_step_of_a_turn_is_there_once",
        ),
        says="DID NOT RAISE UniqueViolationError",
    ),
    Mutant(
        name="lease-for-ever",
        breaks="the conversation of a worker that died is never taken again",
        file=f"{PERSISTENCE}/conversation_repository.py",
        old="or_(conversations.c.lease_until.is_(None), conversations.c.lease_until <= _NOW)",
        new="or_(conversations.c.lease_until.is_(None))",
        tests=(f"{RULES}::test_leaseforever_a_dead_workers_conversation_is_taken_by_the_next",),
        says='assert await desk.drain() == ["conversation.turn done"]',
        rule="LEASEFOREVER",
    ),
    Mutant(
        name="lease-taken-from-its-holder",
        breaks="two workers answer one conversation at the same time",
        file=f"{PERSISTENCE}/conversation_repository.py",
        old="or_(conversations.c.lease_until.is_(None), conversations.c.lease_until <= _NOW)",
        new="or_(conversations.c.lease_epoch >= 0, conversations.c.lease_until <= _NOW)",
        tests=(f"{TURNS}::test_one_turn_at_a_time_a_taken_lease_postpones",),
        says='assert await desk.do(await desk.claim(TURN)) == "postponed"',
    ),
    Mutant(
        name="owner-not-asked-at-the-commit",
        breaks="a reply is committed although staff have taken over",
        file=f"{PERSISTENCE}/conversation_repository.py",
        old='conversations.c.owner == bindparam("ai"),\n'
        '    conversations.c.owner_epoch == bindparam("as_owner"),\n',
        new='conversations.c.owner >= func.left(bindparam("ai"), 0),\n'
        '    conversations.c.owner_epoch + 9 > bindparam("as_owner"),\n',
        tests=(
            f"{TURNS}::test_takeover_while_the_model_thinks_sends_nothing_and_keeps_the_turn_open",
        ),
        says="assert await desk.bubbles() == []",
    ),
    Mutant(
        name="history-answered",
        breaks="what was said hours ago is answered as if it were new",
        file="services/commerce-agent/src/commerce_agent/domain/services/turn_rules.py",
        old="return from_history or now - sent_at > TOO_OLD",
        new="return from_history",
        tests=(
            "tests/unit/commerce_agent/domain/test_turn_rules.py"
            "::test_old_and_history_messages_are_only_kept",
        ),
        says="assert is_recovered(sent_at=NOW - age, now=NOW, from_history=from_history)"
        " is recovered",
    ),
)
