"""Faults between tenants, and at the doors to the outside."""

from tests.mutants.mutant import Mutant
from tests.mutants.queue_mutants import MIGRATION
from tests.mutants.turn_mutants import PERSISTENCE

WALL = "tests/integration/shared/persistence/test_row_level_security.py"
UNIQUE = "tests/integration/shared/persistence/test_unique_walls.py"
FILTERS = "tests/integration/commerce_agent/test_tenant_filters.py"
RACES = "tests/integration/shared/test_inbox_races.py"
UNIQUE_VIOLATION = "DID NOT RAISE UniqueViolationError"

TENANCY = (
    Mutant(
        name="set-instead-of-set-local",
        breaks="the next user of the pooled connection is the tenant before",
        file="shared/persistence/unit_of_work.py",
        old="SET LOCAL app.tenant",
        new="SET app.tenant",
        tests=(f"{WALL}::test_the_tenant_ends_with_the_transaction",),
        says='assert (await opened.execute(text("SELECT count(*) FROM customers")))'
        ".scalar_one() == 0",
    ),
    Mutant(
        name="system-role-kept",
        breaks="the next user of the pooled connection sees across tenants",
        file="shared/persistence/database.py",
        old="SET LOCAL ROLE {role.value}",
        new="SET ROLE {role.value}",
        tests=(f"{WALL}::test_a_system_role_ends_with_its_transaction",),
        says='assert (await opened.execute(text("SELECT current_user"))).scalar_one() == RUNTIME',
    ),
    Mutant(
        name="row-level-security-off",
        breaks="the second wall is not there",
        file=MIGRATION,
        old="ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        new="ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        tests=(f"{WALL}::test_a_tenant_sees_its_own_rows_and_no_others",),
        says='assert await names(tx) == ["Budi 0"]',
    ),
    Mutant(
        name="policy-lets-all-pass",
        breaks="the second wall compares nothing",
        file=MIGRATION,
        old='f" USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})"',
        new='f" USING (true) WITH CHECK (tenant_id = {TENANT})"',
        tests=(f"{WALL}::test_a_tenant_sees_its_own_rows_and_no_others",),
        says='assert await names(tx) == ["Budi 0"]',
    ),
    Mutant(
        name="owner-not-bound",
        breaks="the second wall does not bind the owner of the tables",
        file=MIGRATION,
        old="ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        new="ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
        tests=(f"{WALL}::test_every_table_of_tenants_has_the_wall",),
        says="assert walled == expected",
    ),
    Mutant(
        name="tenant-filter-dropped",
        breaks="a conversation is found by its id alone",
        file=f"{PERSISTENCE}/conversation_repository.py",
        old="_LOCK = select(conversations).where(*_MINE)",
        new='_LOCK = select(conversations).where(conversations.c.id == bindparam("conversation"))',
        tests=(f"{FILTERS}::test_nothing_of_another_tenant_is_found",),
        says="assert await work.conversations.find(conversation.id) is None",
    ),
    Mutant(
        name="tenant-filter-dropped-in-an-update",
        breaks="another tenant's messages are marked as answered",
        file=f"{PERSISTENCE}/message_store.py",
        old="messages.c.tenant_id == self._tenant_id,\n"
        "            messages.c.conversation_id == conversation_id,",
        new="messages.c.id.is_not(None),\n"
        "            messages.c.conversation_id == conversation_id,",
        tests=(f"{FILTERS}::test_nothing_of_another_tenant_is_changed",),
        says="assert await work.messages.settle(conversation.id, AnsweredHow.PERSON) == 0",
    ),
    Mutant(
        name="tenant-filter-dropped-in-the-messenger",
        breaks="another tenant's bubble is loaded",
        file="services/messenger/src/messenger/infrastructure/send_sql.py",
        old="ch.id = s.channel_id\n    WHERE s.tenant_id = :tenant AND s.id = :send",
        new="ch.id = s.channel_id\n    WHERE CAST(:tenant AS uuid) IS NOT NULL AND s.id = :send",
        tests=(f"{FILTERS}::test_nothing_of_another_tenant_is_found",),
        says="assert await SqlSends(as_owner).load(ours, theirs.send) is None",
    ),
)

DOORS = (
    Mutant(
        name="signature-compare-skipped",
        breaks="anybody may say what WhatsApp said",
        file="shared/security/signatures.py",
        old="return hmac.compare_digest(hmac_sha512(secret, body), signature.strip().lower())",
        new="return True",
        tests=("tests/unit/shared/security/test_signatures.py::test_anything_else_is_refused",),
        says="assert not hmac_sha512_matches(SECRET, BODY, signature)",
    ),
    Mutant(
        name="acknowledged-before-the-commit",
        breaks="WAHA hears 200 for an event that may still be lost",
        file="shared/inbox.py",
        old="await waiting.stored",
        new="await asyncio.sleep(0)",
        tests=(f"{RACES}::test_nobody_is_told_yes_before_the_commit",),
        says="assert not accepting.done()",
    ),
    Mutant(
        name="inbox-looks-before-it-inserts",
        breaks="of two deliveries at the same moment one is refused",
        file="shared/inbox.py",
        old="FROM given ORDER BY body_sha256, tenant_id, endpoint_id"
        " -- no deadlock between gateways\n"
        "        ON CONFLICT (tenant_id, source, endpoint_id, body_sha256) DO NOTHING",
        new="FROM given WHERE NOT EXISTS (SELECT FROM inbox_events e WHERE\n"
        "            (e.tenant_id, e.source, e.endpoint_id, e.body_sha256) = (given.tenant_id,\n"
        "            given.source, given.endpoint_id, given.body_sha256)) ORDER BY body_sha256",
        tests=(
            f"{RACES}::test_an_event_that_another_gateway_is_storing_is_accepted_and_makes_no_second_work",
        ),
        says="assert await asyncio.gather(accepting, return_exceptions=True) == [None]",
    ),
    Mutant(
        name="inbox-takes-events-twice",
        breaks="the inbox has no unique index",
        file=MIGRATION,
        old="CONSTRAINT uq_inbox_events_tenant_id_source_endpoint_id_body_sha256 UNIQUE"
        " (tenant_id, source, endpoint_id, body_sha256),",
        new="",
        tests=(f"{UNIQUE}::test_an_event_of_the_inbox_is_there_once",),
        says=UNIQUE_VIOLATION,
    ),
    Mutant(
        name="store-looks-before-it-inserts",
        breaks="of two workers with the same message one fails",
        file=f"{PERSISTENCE}/message_store.py",
        old=".on_conflict_do_nothing(\n"
        '                index_elements=["tenant_id", "channel_id", "direction", "kind",'
        ' "native_id"]\n            )',
        new="",
        tests=(
            "tests/integration/commerce_agent/conversation/test_store_races.py"
            "::test_who_comes_second_hears_that_it_is_stored",
        ),
        says="assert set(outcomes) == {True, False}",
    ),
    Mutant(
        name="store-takes-messages-twice",
        breaks="messages have no unique index",
        file=MIGRATION,
        old="CONSTRAINT uq_messages_tenant_id_channel_id_direction_kind_native_id UNIQUE"
        " (tenant_id, channel_id, direction, kind, native_id),",
        new="",
        tests=(f"{UNIQUE}::test_a_message_of_whatsapp_is_there_once",),
        says=UNIQUE_VIOLATION,
    ),
    Mutant(
        name="retries-in-two-layers",
        breaks="the provider's SDK tries again by itself",
        file="services/llm-worker/src/llm_worker/infrastructure/llm/providers/openai_chat.py",
        old="base_url=base_url, api_key=api_key, http_client=http, max_retries=0, timeout=None",
        new="base_url=base_url, api_key=api_key, http_client=http, max_retries=2, timeout=None",
        tests=(
            "tests/integration/llm_worker/test_providers.py"
            "::test_the_sdk_tries_nothing_again[openai]",
        ),
        says="assert len(provider.llm.requests) == 1",
    ),
    Mutant(
        name="groups-answered",
        breaks="what people say among themselves in a group becomes a customer's message",
        file="shared/waha/addresses.py",
        old='"g.us": AddressKind.GROUP',
        new='"g.us": AddressKind.PERSON',
        tests=("tests/unit/shared/waha/test_parsing.py::test_what_is_not_for_the_shop_is_ignored",),
        says='assert event == IgnoredEvent(session="shop", reason=kind, event="message.any")',
    ),
    Mutant(
        name="secret-not-bound-to-its-row",
        breaks="a sealed secret opens in another channel's row",
        file="shared/security/crypto.py",
        old='return f"{self._tenant_id}|{table}|{column}|{row}".encode()',
        new='return f"{self._tenant_id}|{table}|{column}".encode()',
        tests=(
            "tests/unit/shared/security/test_crypto.py"
            "::test_moved_to_another_place_it_does_not_open",
        ),
        says="DID NOT RAISE Undecipherable",
    ),
    Mutant(
        name="draft-not-checked",
        breaks="the AI names a price that nobody supplied",
        file="services/commerce-agent/src/commerce_agent/domain/services/outgoing_check.py",
        old="if not any((kind, claim.value) in known for kind in claim.kinds):",
        new="if False:",
        tests=(
            "tests/unit/commerce_agent/domain/test_outgoing_check.py"
            "::test_a_sum_that_no_tool_made_is_refused",
        ),
        says='assert check_draft(draft, [Fact(AMOUNT, "25000")]) == [Problem(AMOUNT, "Rp50.000")]',
    ),
)
