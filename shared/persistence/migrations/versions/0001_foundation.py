"""Foundation: tenants, inbox, queue, conversations, catalogue; roles and row-level security.

Runs as the owner on PostgreSQL 15 to 18 with core features only.
"""

from alembic import op

revision = "0001"
down_revision = None

CLOCK = """
    CREATE FUNCTION platform_now() RETURNS timestamptz LANGUAGE plpgsql STABLE
    AS 'BEGIN RETURN clock_timestamp(); END'
    """
"""The clock of every due time, lease and expiry. STABLE, so that an index on a due time serves
``<= platform_now()``; tests replace it in their own database to jump in time. In PL/pgSQL, because
a function in SQL that cannot be inlined costs three times as much with each call."""

TABLES = (
    """
    CREATE TABLE tenants (
        id uuid NOT NULL,
        slug text NOT NULL,
        name text NOT NULL,
        status text DEFAULT 'active' NOT NULL,
        currency text DEFAULT 'IDR' NOT NULL,
        timezone text DEFAULT 'Asia/Jakarta' NOT NULL,
        language text DEFAULT 'id' NOT NULL,
        profile jsonb DEFAULT '{}' NOT NULL,
        llm_config_name text DEFAULT 'offline' NOT NULL,
        wrapped_key bytea NOT NULL,
        version integer DEFAULT '1' NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_tenants PRIMARY KEY (id),
        CONSTRAINT ck_tenants_status CHECK (status in ('active', 'suspended')),
        CONSTRAINT ck_tenants_slug CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
        CONSTRAINT uq_tenants_slug UNIQUE (slug)
    )
    """,
    """
    CREATE TABLE channels (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        kind text NOT NULL,
        name text NOT NULL,
        session text NOT NULL,
        base_url text,
        api_key_ciphertext bytea,
        webhook_secret_ciphertext bytea NOT NULL,
        previous_webhook_secret_ciphertext bytea,
        state text DEFAULT 'unknown' NOT NULL,
        phone text,
        active boolean DEFAULT true NOT NULL,
        next_send_at timestamptz DEFAULT platform_now() NOT NULL,
        history_watermark timestamptz,
        gap_repair text DEFAULT 'unknown' NOT NULL,
        version integer DEFAULT '1' NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_channels PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_channels_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id),
        CONSTRAINT uq_channels_tenant_id_name UNIQUE (tenant_id, name),
        CONSTRAINT ck_channels_kind CHECK (kind in ('waha', 'simulator')),
        CONSTRAINT ck_channels_waha_has_server CHECK (kind <> 'waha' or base_url is not null)
    )
    """,
    """
    CREATE TABLE inbox_events (
        id uuid NOT NULL,
        sequence bigint GENERATED ALWAYS AS IDENTITY,
        tenant_id uuid NOT NULL,
        source text NOT NULL,
        endpoint_id uuid NOT NULL,
        body bytea NOT NULL,
        body_sha256 bytea NOT NULL,
        headers jsonb DEFAULT '{}' NOT NULL,
        state text DEFAULT 'received' NOT NULL,
        reason text,
        received_at timestamptz DEFAULT platform_now() NOT NULL,
        processed_at timestamptz,
        CONSTRAINT pk_inbox_events PRIMARY KEY (id),
        CONSTRAINT uq_inbox_events_tenant_id_source_endpoint_id_body_sha256 UNIQUE (tenant_id, source, endpoint_id, body_sha256),
        CONSTRAINT ck_inbox_events_source CHECK (source in ('waha', 'midtrans', 'xendit', 'sandbox')),
        CONSTRAINT ck_inbox_events_state CHECK (state in ('received', 'stored', 'ignored', 'parked'))
    )
    """,
    """
    CREATE INDEX ix_inbox_events_waiting ON inbox_events (received_at) WHERE state = 'received'
    """,
    """
    CREATE TABLE queue_messages (
        id uuid NOT NULL,
        tenant_id uuid NOT NULL,
        queue text NOT NULL,
        kind text NOT NULL,
        key text NOT NULL,
        payload jsonb DEFAULT '{}' NOT NULL,
        generation bigint DEFAULT '1' NOT NULL,
        priority smallint DEFAULT '0' NOT NULL,
        ordering_key text,
        position bigint DEFAULT '0' NOT NULL,
        available_at timestamptz DEFAULT platform_now() NOT NULL,
        attempts integer DEFAULT '0' NOT NULL,
        lease_id uuid,
        lease_until timestamptz,
        published_at timestamptz,
        v smallint DEFAULT '1' NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_queue_messages PRIMARY KEY (id),
        CONSTRAINT uq_queue_messages_tenant_id_queue_kind_key UNIQUE (tenant_id, queue, kind, key)
    )
    """,
    """
    CREATE INDEX ix_queue_messages_due ON queue_messages (queue, available_at)
    """,
    """
    CREATE INDEX ix_queue_messages_ordering
        ON queue_messages (tenant_id, queue, ordering_key, position)
        WHERE ordering_key IS NOT NULL
    """,
    """
    CREATE INDEX ix_queue_messages_pick
        ON queue_messages (queue, tenant_id, priority DESC, available_at, id)
    """,
    """
    CREATE INDEX ix_queue_messages_published
        ON queue_messages (queue, published_at)
        WHERE published_at IS NOT NULL
    """,
    # Every row is written a few times and deleted: leave room on its page, and clean up by count,
    # as a share of a table that is mostly empty means nothing.
    """
    ALTER TABLE queue_messages SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0,
                                    autovacuum_vacuum_threshold = 2000)
    """,
    """
    CREATE TABLE dead_letters (
        id uuid NOT NULL,
        tenant_id uuid NOT NULL,
        queue text NOT NULL,
        kind text NOT NULL,
        key text NOT NULL,
        payload jsonb NOT NULL,
        v smallint DEFAULT '1' NOT NULL,
        priority smallint DEFAULT '0' NOT NULL,
        ordering_key text,
        position bigint DEFAULT '0' NOT NULL,
        attempts integer NOT NULL,
        code text NOT NULL,
        detail text DEFAULT '' NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        redriven_at timestamptz,
        CONSTRAINT pk_dead_letters PRIMARY KEY (id)
    )
    """,
    """
    CREATE INDEX ix_dead_letters_tenant_id_created_at ON dead_letters (tenant_id, created_at)
    """,
    """
    CREATE TABLE domain_events (
        id uuid NOT NULL,
        tx xid8 DEFAULT pg_current_xact_id() NOT NULL,
        tenant_id uuid NOT NULL,
        name text NOT NULL,
        version smallint NOT NULL,
        body jsonb NOT NULL,
        occurred_at timestamptz NOT NULL,
        CONSTRAINT pk_domain_events PRIMARY KEY (id)
    )
    """,
    """
    CREATE INDEX ix_domain_events_stream ON domain_events (tenant_id, tx, id)
    """,
    """
    CREATE TABLE customers (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        name text,
        phone text,
        address text,
        language text,
        note text,
        opted_out boolean DEFAULT false NOT NULL,
        version integer DEFAULT '1' NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_customers PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_customers_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
    )
    """,
    """
    CREATE INDEX ix_customers_tenant_id_phone ON customers (tenant_id, phone)
    """,
    """
    CREATE TABLE customer_aliases (
        tenant_id uuid NOT NULL,
        address text NOT NULL,
        customer_id uuid NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_customer_aliases PRIMARY KEY (tenant_id, address),
        CONSTRAINT fk_customer_aliases_tenant_id_customer_id_customers FOREIGN KEY(tenant_id, customer_id) REFERENCES customers (tenant_id, id)
    )
    """,
    """
    CREATE INDEX ix_customer_aliases_customer ON customer_aliases (tenant_id, customer_id)
    """,
    """
    CREATE TABLE conversations (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        channel_id uuid NOT NULL,
        customer_id uuid NOT NULL,
        address text NOT NULL,
        owner text DEFAULT 'ai' NOT NULL,
        owner_epoch bigint DEFAULT '1' NOT NULL,
        owner_reason text,
        lease_owner uuid,
        lease_until timestamptz,
        lease_epoch bigint DEFAULT '0' NOT NULL,
        inbound_seq bigint DEFAULT '0' NOT NULL,
        out_seq bigint DEFAULT '0' NOT NULL,
        first_unanswered_at timestamptz,
        state text DEFAULT 'greeting' NOT NULL,
        handles jsonb DEFAULT '[]' NOT NULL,
        failed_turns integer DEFAULT '0' NOT NULL,
        incident_since timestamptz,
        trouble text,
        handover jsonb,
        last_message_at timestamptz,
        version integer DEFAULT '1' NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_conversations PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_conversations_tenant_id_channel_id_channels FOREIGN KEY(tenant_id, channel_id) REFERENCES channels (tenant_id, id),
        CONSTRAINT fk_conversations_tenant_id_customer_id_customers FOREIGN KEY(tenant_id, customer_id) REFERENCES customers (tenant_id, id),
        CONSTRAINT uq_conversations_tenant_id_channel_id_customer_id UNIQUE (tenant_id, channel_id, customer_id),
        CONSTRAINT ck_conversations_owner CHECK (owner in ('ai', 'person', 'paused'))
    )
    """,
    """
    CREATE INDEX ix_conversations_recent ON conversations (tenant_id, last_message_at DESC, id)
    """,
    """
    CREATE TABLE messages (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        channel_id uuid NOT NULL,
        conversation_id uuid NOT NULL,
        direction text NOT NULL,
        kind text DEFAULT 'message' NOT NULL,
        native_id text NOT NULL,
        sender text NOT NULL,
        seq bigint,
        content_type text NOT NULL,
        body text,
        content jsonb DEFAULT '{}' NOT NULL,
        reply_to text,
        inbox_id uuid,
        inbox_sequence bigint,
        recovered boolean DEFAULT false NOT NULL,
        answered_by uuid,
        answered_how text,
        sent_at timestamptz NOT NULL,
        received_at timestamptz DEFAULT platform_now() NOT NULL,
        edited_at timestamptz,
        revoked_at timestamptz,
        CONSTRAINT pk_messages PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_messages_tenant_id_channel_id_channels FOREIGN KEY(tenant_id, channel_id) REFERENCES channels (tenant_id, id),
        CONSTRAINT fk_messages_tenant_id_conversation_id_conversations FOREIGN KEY(tenant_id, conversation_id) REFERENCES conversations (tenant_id, id),
        CONSTRAINT uq_messages_tenant_id_channel_id_direction_kind_native_id UNIQUE (tenant_id, channel_id, direction, kind, native_id),
        CONSTRAINT ck_messages_direction CHECK (direction in ('in', 'out')),
        CONSTRAINT ck_messages_kind CHECK (kind in ('message', 'reaction')),
        CONSTRAINT ck_messages_answered_how CHECK (answered_how in ('ai', 'person', 'handed_over', 'revoked', 'recovered', 'refused', 'nothing_to_answer'))
    )
    """,
    """
    CREATE INDEX ix_messages_answered_by ON messages (tenant_id, answered_by)
    """,
    """
    CREATE INDEX ix_messages_thread ON messages (tenant_id, conversation_id, received_at)
    """,
    """
    CREATE INDEX ix_messages_unanswered
        ON messages (tenant_id, conversation_id, seq)
        WHERE direction = 'in' and answered_how is null
    """,
    """
    CREATE TABLE message_anomalies (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        channel_id uuid NOT NULL,
        message_id uuid NOT NULL,
        inbox_id uuid NOT NULL,
        reason text NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_message_anomalies PRIMARY KEY (tenant_id, id),
        CONSTRAINT uq_message_anomalies_tenant_id_inbox_id UNIQUE (tenant_id, inbox_id)
    )
    """,
    """
    CREATE TABLE early_events (
        tenant_id uuid NOT NULL,
        channel_id uuid NOT NULL,
        native_id text NOT NULL,
        kind text NOT NULL,
        body jsonb NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_early_events PRIMARY KEY (tenant_id, channel_id, native_id, kind),
        CONSTRAINT ck_early_events_kind CHECK (kind in ('revoked', 'edited', 'ack', 'reaction'))
    )
    """,
    """
    CREATE TABLE sends (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        channel_id uuid NOT NULL,
        conversation_id uuid NOT NULL,
        seq bigint NOT NULL,
        kind text NOT NULL,
        reply_id uuid NOT NULL,
        turn_id uuid,
        author text,
        body text NOT NULL,
        media jsonb,
        reply_to text,
        owner_epoch bigint NOT NULL,
        state text DEFAULT 'pending' NOT NULL,
        claim_no integer DEFAULT '0' NOT NULL,
        claimed_at timestamptz,
        slot_at timestamptz,
        reserved_id text,
        native_id text,
        echoed_id text,
        ack smallint,
        resent boolean DEFAULT false NOT NULL,
        released_by text,
        error_code text,
        error_detail text,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        unknown_since timestamptz,
        ended_at timestamptz,
        CONSTRAINT pk_sends PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_sends_tenant_id_channel_id_channels FOREIGN KEY(tenant_id, channel_id) REFERENCES channels (tenant_id, id),
        CONSTRAINT uq_sends_tenant_id_conversation_id_seq UNIQUE (tenant_id, conversation_id, seq),
        CONSTRAINT ck_sends_kind CHECK (kind in ('ai', 'staff', 'notice', 'holding')),
        CONSTRAINT ck_sends_state CHECK (state in ('pending', 'sending', 'unknown', 'sent', 'failed', 'cancelled'))
    )
    """,
    """
    CREATE INDEX ix_sends_native ON sends (tenant_id, channel_id, native_id)
    """,
    """
    CREATE INDEX ix_sends_reply ON sends (tenant_id, reply_id)
    """,
    """
    CREATE INDEX ix_sends_unfinished
        ON sends (tenant_id, conversation_id, seq)
        WHERE state in ('pending', 'sending', 'unknown')
    """,
    """
    CREATE TABLE simulator_customers (
        tenant_id uuid NOT NULL,
        channel_id uuid NOT NULL,
        address text NOT NULL,
        name text NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_simulator_customers PRIMARY KEY (tenant_id, channel_id, address),
        CONSTRAINT fk_simulator_customers_tenant_id_channel_id_channels FOREIGN KEY(tenant_id, channel_id) REFERENCES channels (tenant_id, id)
    )
    """,
    """
    CREATE TABLE simulator_messages (
        tenant_id uuid NOT NULL,
        channel_id uuid NOT NULL,
        native_id text NOT NULL,
        address text NOT NULL,
        from_customer boolean NOT NULL,
        body text DEFAULT '' NOT NULL,
        content jsonb DEFAULT '{}' NOT NULL,
        seen_at timestamptz,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_simulator_messages PRIMARY KEY (tenant_id, channel_id, native_id),
        CONSTRAINT fk_simulator_messages_tenant_id_channel_id_channels FOREIGN KEY(tenant_id, channel_id) REFERENCES channels (tenant_id, id)
    )
    """,
    """
    CREATE INDEX ix_simulator_messages_chat
        ON simulator_messages (tenant_id, channel_id, address, created_at, native_id)
    """,
    """
    CREATE TABLE turns (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        conversation_id uuid NOT NULL,
        state text DEFAULT 'open' NOT NULL,
        outcome text,
        discards smallint DEFAULT '0' NOT NULL,
        reply_id uuid,
        llm_config_name text,
        model text,
        prompt_version text,
        tokens_in integer DEFAULT '0' NOT NULL,
        tokens_out integer DEFAULT '0' NOT NULL,
        started_at timestamptz DEFAULT platform_now() NOT NULL,
        ended_at timestamptz,
        CONSTRAINT pk_turns PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_turns_tenant_id_conversation_id_conversations FOREIGN KEY(tenant_id, conversation_id) REFERENCES conversations (tenant_id, id),
        CONSTRAINT ck_turns_state CHECK (state in ('open', 'ended'))
    )
    """,
    """
    CREATE INDEX ix_turns_reply ON turns (tenant_id, reply_id)
    """,
    """
    CREATE UNIQUE INDEX uq_turns_open ON turns (tenant_id, conversation_id) WHERE state = 'open'
    """,
    """
    CREATE TABLE turn_steps (
        tenant_id uuid NOT NULL,
        turn_id uuid NOT NULL,
        step integer NOT NULL,
        call integer DEFAULT '0' NOT NULL,
        kind text NOT NULL,
        name text,
        body jsonb DEFAULT '{}' NOT NULL,
        result text,
        lease_epoch bigint NOT NULL,
        milliseconds integer,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_turn_steps PRIMARY KEY (tenant_id, turn_id, step, call),
        CONSTRAINT fk_turn_steps_tenant_id_turn_id_turns FOREIGN KEY(tenant_id, turn_id) REFERENCES turns (tenant_id, id),
        CONSTRAINT ck_turn_steps_kind CHECK (kind in ('read', 'model', 'tool', 'check', 'discard'))
    )
    """,
    """
    CREATE TABLE products (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        name text NOT NULL,
        category text DEFAULT '' NOT NULL,
        description text DEFAULT '' NOT NULL,
        active boolean DEFAULT true NOT NULL,
        images jsonb DEFAULT '[]' NOT NULL,
        search tsvector GENERATED ALWAYS AS
            (setweight(to_tsvector('simple', translate(name, '/._&+-', '      ')), 'A')
            || setweight(to_tsvector('indonesian', translate(name || ' ' || category, '/._&+-', '      ')), 'B')
            || setweight(to_tsvector('simple', translate(category, '/._&+-', '      ')), 'B')
            || setweight(to_tsvector('indonesian', description), 'D')) STORED,
        version integer DEFAULT '1' NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        updated_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_products PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_products_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
    )
    """,
    """
    CREATE INDEX ix_products_search ON products USING gin (search)
    """,
    """
    CREATE INDEX ix_products_tenant_id_category ON products (tenant_id, category)
    """,
    """
    CREATE TABLE variants (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        product_id uuid NOT NULL,
        position integer DEFAULT '0' NOT NULL,
        sku text NOT NULL,
        name text DEFAULT '' NOT NULL,
        price bigint NOT NULL,
        currency text DEFAULT 'IDR' NOT NULL,
        on_hand integer DEFAULT '0' NOT NULL,
        reserved integer DEFAULT '0' NOT NULL,
        attributes jsonb DEFAULT '{}' NOT NULL,
        active boolean DEFAULT true NOT NULL,
        CONSTRAINT pk_variants PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_variants_tenant_id_product_id_products FOREIGN KEY(tenant_id, product_id) REFERENCES products (tenant_id, id),
        CONSTRAINT uq_variants_tenant_id_sku UNIQUE (tenant_id, sku),
        CONSTRAINT ck_variants_price CHECK (price >= 0),
        CONSTRAINT ck_variants_stock CHECK (0 <= reserved and reserved <= on_hand)
    )
    """,
    """
    CREATE INDEX ix_variants_product ON variants (tenant_id, product_id, position)
    """,
    """
    CREATE TABLE search_synonyms (
        tenant_id uuid NOT NULL,
        word text NOT NULL,
        means text[] NOT NULL,
        CONSTRAINT pk_search_synonyms PRIMARY KEY (tenant_id, word),
        CONSTRAINT fk_search_synonyms_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
    )
    """,
    """
    CREATE TABLE llm_configs (
        id uuid NOT NULL,
        tenant_id uuid,
        name text NOT NULL,
        version integer DEFAULT '1' NOT NULL,
        provider text NOT NULL,
        model text NOT NULL,
        base_url text,
        api_key_env text,
        api_key_ciphertext bytea,
        temperature FLOAT DEFAULT '0.3' NOT NULL,
        max_tokens integer DEFAULT '1024' NOT NULL,
        timeout_seconds FLOAT,
        active boolean DEFAULT true NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_llm_configs PRIMARY KEY (id),
        CONSTRAINT uq_llm_configs_tenant_id_name_version UNIQUE NULLS NOT DISTINCT (tenant_id, name, version),
        CONSTRAINT ck_llm_configs_temperature CHECK (temperature between 0 and 2),
        CONSTRAINT ck_llm_configs_provider CHECK (provider in ('openai', 'anthropic', 'openai_compatible', 'offline', 'scripted')),
        CONSTRAINT ck_llm_configs_tenant_brings_its_own_key CHECK (tenant_id is null or api_key_env is null)
    )
    """,
    """
    CREATE TABLE api_keys (
        id uuid NOT NULL,
        tenant_id uuid,
        name text NOT NULL,
        prefix text NOT NULL,
        digest bytea NOT NULL,
        scopes text[] NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        expires_at timestamptz,
        revoked_at timestamptz,
        last_used_at timestamptz,
        CONSTRAINT pk_api_keys PRIMARY KEY (id),
        CONSTRAINT fk_api_keys_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id),
        CONSTRAINT ck_api_keys_only_operators_span_tenants CHECK (tenant_id is not null or scopes = array['platform']),
        CONSTRAINT uq_api_keys_prefix UNIQUE (prefix)
    )
    """,
    """
    CREATE TABLE idempotency_keys (
        tenant_id uuid NOT NULL,
        route text NOT NULL,
        key text NOT NULL,
        fingerprint bytea NOT NULL,
        status integer,
        body bytea,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_idempotency_keys PRIMARY KEY (tenant_id, route, key)
    )
    """,
    """
    CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at)
    """,
    """
    CREATE TABLE audit_log (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        actor text NOT NULL,
        action text NOT NULL,
        subject text NOT NULL,
        data jsonb DEFAULT '{}' NOT NULL,
        created_at timestamptz DEFAULT platform_now() NOT NULL,
        CONSTRAINT pk_audit_log PRIMARY KEY (tenant_id, id)
    )
    """,
)

FUNCTIONS = (
    # Put work in, or add to it: the generation tells a worker that it did not see everything. In
    # PL/pgSQL, which keeps its plan: a function in SQL plans its body again with each call.
    """
    CREATE FUNCTION enqueue_task(
        p_id uuid, p_tenant uuid, p_queue text, p_kind text, p_key text, p_payload jsonb,
        p_available_at timestamptz, p_delay interval, p_priority integer,
        p_ordering_key text, p_position bigint
    ) RETURNS uuid LANGUAGE plpgsql VOLATILE AS $$
    DECLARE
        present timestamptz := platform_now();
        kept uuid;
    BEGIN
        INSERT INTO queue_messages AS q (id, tenant_id, queue, kind, key, payload, available_at,
                                         priority, ordering_key, position, created_at)
        VALUES (p_id, p_tenant, p_queue, p_kind, p_key, p_payload,
                coalesce(p_available_at, present + coalesce(p_delay, interval '0')),
                p_priority, p_ordering_key, p_position, present)
        ON CONFLICT (tenant_id, queue, kind, key) DO UPDATE
        SET generation = q.generation + 1, payload = excluded.payload,
            available_at = excluded.available_at, priority = excluded.priority,
            published_at = NULL,
            -- a relay that is just publishing the old due time must not mark the new one
            lease_until = CASE WHEN q.lease_id IS NOT NULL THEN q.lease_until END
        RETURNING id INTO kept;
        RETURN kept;
    END
    $$
    """,
    # Completion names row id and generation: a row id is never used again, a key is.
    """
    CREATE FUNCTION finish_task(p_id uuid, p_generation bigint, p_lease uuid)
    RETURNS text LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
        DELETE FROM queue_messages WHERE id = p_id AND generation = p_generation;
        IF FOUND THEN
            RETURN 'deleted';
        END IF;
        UPDATE queue_messages
        SET lease_id = NULL, lease_until = NULL, attempts = 0, published_at = NULL
        WHERE id = p_id AND lease_id = p_lease;
        IF FOUND THEN
            RETURN 'released';
        END IF;
        RETURN 'lost';
    END
    $$
    """,
    # May this bubble be sent now? Takes the conversation's lock first, so that a takeover, a
    # revocation or a commit is either wholly before or wholly after the answer.
    """
    CREATE FUNCTION claim_send(p_send uuid, OUT outcome text, OUT claim integer)
    LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
    DECLARE
        s sends%ROWTYPE;
        c conversations%ROWTYPE;
        refusal text;
    BEGIN
        SELECT v.* INTO c FROM conversations v
        JOIN sends b ON b.tenant_id = v.tenant_id AND b.conversation_id = v.id
        WHERE b.id = p_send FOR NO KEY UPDATE OF v;
        IF NOT FOUND THEN
            outcome := 'gone';
            RETURN;
        END IF;
        SELECT * INTO c FROM conversations WHERE tenant_id = c.tenant_id AND id = c.id;
        SELECT * INTO s FROM sends WHERE tenant_id = c.tenant_id AND id = p_send FOR UPDATE;
        IF s.state <> 'pending' THEN
            outcome := s.state;
            claim := s.claim_no;
            RETURN;
        END IF;
        IF EXISTS (
            SELECT FROM sends e WHERE e.tenant_id = s.tenant_id
            AND e.conversation_id = s.conversation_id AND e.seq < s.seq
            AND e.state IN ('pending', 'sending', 'unknown')
        ) THEN
            outcome := 'blocked';
            RETURN;
        END IF;
        IF s.created_at < platform_now() - interval '1 hour' AND s.released_by IS NULL THEN
            UPDATE sends SET state = 'failed', error_code = 'too_old', ended_at = platform_now()
            WHERE tenant_id = s.tenant_id AND id = s.id;
            outcome := 'failed';
            RETURN;
        END IF;
        IF s.kind IN ('ai', 'holding')
           AND (c.owner <> 'ai' OR c.owner_epoch <> s.owner_epoch) THEN
            refusal := 'owner_changed';
        ELSIF s.kind = 'ai' AND NOT EXISTS (
            SELECT FROM messages m WHERE m.tenant_id = s.tenant_id
            AND m.answered_by = s.reply_id AND m.revoked_at IS NULL
        ) THEN
            refusal := 'all_revoked';
        END IF;
        IF refusal IS NULL THEN
            UPDATE sends SET state = 'sending', claim_no = claim_no + 1,
                             claimed_at = platform_now()
            WHERE tenant_id = s.tenant_id AND id = s.id RETURNING claim_no INTO claim;
            outcome := 'claimed';
            RETURN;
        END IF;
        UPDATE sends SET state = 'cancelled', error_code = refusal, ended_at = platform_now()
        WHERE tenant_id = s.tenant_id AND id = s.id;
        outcome := 'cancelled';
        IF s.kind = 'ai' AND NOT EXISTS (
            SELECT FROM sends e WHERE e.tenant_id = s.tenant_id
            AND e.reply_id = s.reply_id AND e.id <> s.id AND e.claim_no > 0
        ) THEN
            PERFORM take_back_reply(s.tenant_id, s.conversation_id, s.reply_id);
        END IF;
    END
    $$
    """,
    # A reply of which nothing left answers nothing: its messages wait again, its turn goes on with
    # its journal, only the draft is gone. Where the customer's next turn has begun meanwhile, that
    # one gets the journal, so that no effect in it happens again; its worker is fenced.
    """
    CREATE FUNCTION take_back_reply(p_tenant uuid, p_conversation uuid, p_reply uuid)
    RETURNS void LANGUAGE plpgsql VOLATILE AS $$
    DECLARE
        waiting_again integer;
        taken_back uuid;
        begun uuid;
    BEGIN
        UPDATE messages SET answered_by = NULL, answered_how = 'revoked'
        WHERE tenant_id = p_tenant AND answered_by = p_reply AND answered_how = 'ai'
          AND revoked_at IS NOT NULL;
        UPDATE messages SET answered_by = NULL, answered_how = NULL
        WHERE tenant_id = p_tenant AND answered_by = p_reply AND answered_how = 'ai';
        GET DIAGNOSTICS waiting_again = ROW_COUNT;
        IF waiting_again = 0 THEN
            UPDATE turns SET outcome = 'nothing_left'
            WHERE tenant_id = p_tenant AND reply_id = p_reply;
            RETURN;
        END IF;
        SELECT id INTO taken_back FROM turns
        WHERE tenant_id = p_tenant AND conversation_id = p_conversation AND reply_id = p_reply;
        SELECT id INTO begun FROM turns
        WHERE tenant_id = p_tenant AND conversation_id = p_conversation AND state = 'open';
        IF taken_back IS NOT NULL THEN
            INSERT INTO turn_steps (tenant_id, turn_id, step, kind, body, lease_epoch)
            SELECT p_tenant, taken_back, coalesce(max(step), -1) + 1, 'discard',
                   jsonb_build_object('draft', coalesce((
                       SELECT string_agg(body, E'\\n\\n' ORDER BY seq) FROM sends
                       WHERE tenant_id = p_tenant AND reply_id = p_reply), '')),
                   coalesce(max(lease_epoch), 0)
            FROM turn_steps WHERE tenant_id = p_tenant AND turn_id = taken_back;
            IF begun IS NULL THEN
                UPDATE turns SET state = 'open', outcome = NULL, reply_id = NULL, ended_at = NULL
                WHERE tenant_id = p_tenant AND id = taken_back;
            ELSE
                UPDATE turn_steps SET turn_id = begun, step = step + 2 + coalesce((
                    SELECT max(step) FROM turn_steps
                    WHERE tenant_id = p_tenant AND turn_id = begun), -2)
                WHERE tenant_id = p_tenant AND turn_id = taken_back;
                UPDATE turns SET outcome = 'merged', reply_id = NULL
                WHERE tenant_id = p_tenant AND id = taken_back;
                UPDATE conversations SET lease_epoch = lease_epoch + 1, lease_owner = NULL,
                                         lease_until = NULL
                WHERE tenant_id = p_tenant AND id = p_conversation;
            END IF;
        END IF;
        UPDATE conversations
        SET first_unanswered_at = coalesce(first_unanswered_at, platform_now())
        WHERE tenant_id = p_tenant AND id = p_conversation;
        PERFORM enqueue_task(gen_random_uuid(), p_tenant, 'crm_tasks', 'conversation.turn',
                             p_conversation::text, '{}', NULL, NULL, 0, NULL, 0);
    END
    $$
    """,
)

TENANT = "nullif(current_setting('app.tenant', true), '')::uuid"

TENANT_TABLES = (
    "channels",
    "inbox_events",
    "queue_messages",
    "dead_letters",
    "domain_events",
    "customers",
    "customer_aliases",
    "conversations",
    "messages",
    "message_anomalies",
    "early_events",
    "sends",
    "simulator_customers",
    "simulator_messages",
    "turns",
    "turn_steps",
    "products",
    "variants",
    "search_synonyms",
    "api_keys",
    "idempotency_keys",
    "audit_log",
)

APPEND_ONLY = ("domain_events", "audit_log", "message_anomalies")

# What the four roles that see across tenants may touch: (role, table, privileges)
SYSTEM_GRANTS = (
    ("platform_ingest", "inbox_events", "INSERT"),
    (
        "platform_ingest",
        "inbox_events",
        "SELECT (id, tenant_id, source, endpoint_id, body_sha256)",
    ),
    ("platform_ingest", "queue_messages", "INSERT"),
    ("platform_ingest", "tenants", "SELECT (id, slug, name, status, wrapped_key)"),
    (
        "platform_ingest",
        "channels",
        "SELECT (tenant_id, id, kind, session, active, webhook_secret_ciphertext,"
        " previous_webhook_secret_ciphertext)",
    ),
    ("platform_ingest", "api_keys", "SELECT, UPDATE (last_used_at)"),
    ("platform_relay", "queue_messages", "SELECT, UPDATE, DELETE"),
    ("platform_relay", "dead_letters", "SELECT, INSERT, UPDATE"),
    ("platform_relay", "tenants", "SELECT (id)"),
    ("platform_sweeper", "tenants", "SELECT (id, status)"),
    ("platform_sweeper", "channels", "SELECT (tenant_id, id, kind, state, active)"),
    ("platform_sweeper", "inbox_events", "SELECT (tenant_id, id, source, state, received_at)"),
    ("platform_sweeper", "queue_messages", "SELECT (tenant_id, id, queue, kind, key)"),
    (
        "platform_sweeper",
        "conversations",
        "SELECT (tenant_id, id, owner, lease_until, first_unanswered_at)",
    ),
    (
        "platform_sweeper",
        "sends",
        "SELECT (tenant_id, id, conversation_id, seq, state, claimed_at, created_at)",
    ),
    ("platform_sweeper", "turns", "SELECT (tenant_id, id, conversation_id, state, started_at)"),
    ("platform_operator", "tenants", "SELECT, INSERT"),
    ("platform_operator", "api_keys", "SELECT, INSERT, UPDATE (revoked_at)"),
    ("platform_operator", "queue_messages", "SELECT"),
    ("platform_operator", "dead_letters", "SELECT"),
)


def upgrade() -> None:
    op.execute(CLOCK)
    for statement in TABLES:
        op.execute(statement)
    for statement in FUNCTIONS:
        op.execute(statement)
    op.execute(
        "GRANT USAGE ON SCHEMA public TO platform_app, platform_ingest, platform_relay,"
        " platform_sweeper, platform_operator"
    )
    for table in (*TENANT_TABLES, "tenants", "llm_configs"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO platform_app")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY owner_all ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)"
        )
    for table in APPEND_ONLY:
        op.execute(f"REVOKE UPDATE, DELETE ON {table} FROM platform_app")
    for table in TENANT_TABLES:
        op.execute(
            f"CREATE POLICY tenant ON {table} TO platform_app"
            f" USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})"
        )
    op.execute(
        f"CREATE POLICY tenant ON tenants TO platform_app"
        f" USING (id = {TENANT}) WITH CHECK (id = {TENANT})"
    )
    op.execute(
        f"CREATE POLICY tenant ON llm_configs TO platform_app"
        f" USING (tenant_id IS NULL OR tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})"
    )
    for role, table in sorted({(role, table) for role, table, _ in SYSTEM_GRANTS}):
        op.execute(f"CREATE POLICY {role} ON {table} TO {role} USING (true) WITH CHECK (true)")
    for role, table, privileges in SYSTEM_GRANTS:
        op.execute(f"GRANT {privileges} ON {table} TO {role}")
    op.execute(
        "INSERT INTO llm_configs (id, name, provider, model, api_key_env, temperature, max_tokens)"
        " VALUES (gen_random_uuid(), 'offline', 'offline', 'offline-demo', NULL, 0, 1024),"
        " (gen_random_uuid(), 'default-smart', 'openai', 'gpt-5', 'OPENAI_API_KEY', 1, 8192),"
        " (gen_random_uuid(), 'default-fast', 'openai', 'gpt-5-mini', 'OPENAI_API_KEY', 1, 8192),"
        " (gen_random_uuid(), 'claude-smart', 'anthropic', 'claude-sonnet-4-5',"
        " 'ANTHROPIC_API_KEY', 0.3, 1024)"
    )
