-- From a row change to the log: inbox, state, triggers and the sequencer.
-- docs/how-an-event-travels.md tells the story; design notes stand where they are needed.

-- One row per change, written by the trigger in the writer's own transaction and taken out
-- by the sequencer. Narrow, without foreign keys: a writer pays for every byte.
CREATE TABLE attune.execution_inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    execution bigint NOT NULL,
    version integer NOT NULL,
    op text NOT NULL,
    status text NOT NULL,
    old_status text,
    action bigint,
    action_ref text NOT NULL,
    parent bigint,
    enforcement bigint,
    executor bigint,
    created timestamptz NOT NULL,
    updated timestamptz NOT NULL,
    started timestamptz,
    finished timestamptz,
    result text,  -- JSON; NULL where there is none, or where it is too large to send
    truncated boolean NOT NULL DEFAULT false,
    recorded timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- A queue table: every row dies young, so vacuum by count and not by share of the table.
ALTER TABLE attune.execution_inbox SET (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000
);

-- One row. `origin` names the database the log was numbered in; see stream_open_v1.
CREATE TABLE attune.stream_state (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    epoch text NOT NULL,
    last_seq bigint NOT NULL DEFAULT 0,
    floor_seq bigint NOT NULL DEFAULT 0,  -- events up to here are no longer kept
    origin text NOT NULL DEFAULT ''
);
ALTER TABLE attune.stream_state SET (fillfactor = 10);  -- rewritten once a batch, in place
INSERT INTO attune.stream_state (epoch) VALUES (substr(md5(gen_random_uuid()::text), 1, 8));

-- ISO 8601 in UTC with six digits, whatever the session's TimeZone and DateStyle are.
CREATE FUNCTION attune.iso_v1(moment timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
$$;

-- One change as JSON text: what NOTIFY carries and, with `seq`, what streams send.
-- Put together as text because that is several times cheaper than building a jsonb, and
-- because the result has to pass through to the client as it is.
CREATE FUNCTION attune.change_json_v1(c attune.execution_inbox, seq bigint, with_result boolean)
    RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT '{"entity_type":"execution","entity_id":' || c.execution
        || ',"timestamp":"' || attune.iso_v1(c.updated)
        || CASE WHEN seq IS NULL THEN '"' ELSE '","seq":' || seq END
        || ',"version":' || c.version
        || ',"op":"' || c.op
        || '","old_status":' || coalesce('"' || c.old_status || '"', 'null')
        || CASE WHEN c.truncated OR (c.result IS NOT NULL AND NOT with_result)
                THEN ',"truncated":true' ELSE '' END
        || ',"data":{"id":' || c.execution
        || ',"status":"' || c.status
        || '","action_id":' || coalesce(c.action::text, 'null')
        || ',"action_ref":' || to_json(c.action_ref)::text
        || ',"parent":' || coalesce(c.parent::text, 'null')
        || ',"enforcement":' || coalesce(c.enforcement::text, 'null')
        || ',"executor":' || coalesce(c.executor::text, 'null')
        || ',"result":' || CASE WHEN with_result THEN coalesce(c.result, 'null') ELSE 'null' END
        || ',"created":"' || attune.iso_v1(c.created)
        || '","updated":"' || attune.iso_v1(c.updated)
        || '","started":' || coalesce('"' || attune.iso_v1(c.started) || '"', 'null')
        || ',"finished":' || coalesce('"' || attune.iso_v1(c.finished) || '"', 'null')
        || '}}'
$$;

-- An execution as it is now, in the words of an event: what a snapshot is made of.
CREATE FUNCTION attune.state_json_v1(e attune.execution, max_bytes integer) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT attune.change_json_v1(
        ROW(0, e.id, e.version, 'SNAPSHOT', e.status, NULL, e.action, e.action_ref, e.parent,
            e.enforcement, e.executor, e.created, e.updated, e.started, e.finished,
            r.written, e.result IS NOT NULL AND r.written IS NULL, e.updated
        )::attune.execution_inbox, NULL, true)
    FROM (
        SELECT CASE WHEN pg_column_size(e.result) <= max_bytes::bigint * 16
                     AND octet_length(e.result::text) <= max_bytes
               THEN e.result::text END
    ) r (written)
$$;

-- The text of a result, or NULL where it is longer than streams send (`migrate` writes the
-- setting ATTUNE_RESULT_MAX_BYTES into this function). The first test is cheap and saves
-- writing out what is too large by far: a jsonb takes at most some 16 times its text.
CREATE FUNCTION attune.result_text_v1(result jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET attune.result_max_bytes = '65536' AS $$
DECLARE
    max_bytes CONSTANT bigint := current_setting('attune.result_max_bytes');
    written text;
BEGIN
    IF pg_column_size(result) > max_bytes * 16 THEN
        RETURN NULL;
    END IF;
    written := result::text;
    RETURN CASE WHEN octet_length(written) <= max_bytes THEN written END;
END $$;

-- The NOTIFY payload of one change. pg_notify refuses 8,000 bytes (not characters) and with
-- that fails the writer's statement, so a result that does not fit is left out. Beside the
-- result and action_ref (a character may become six: \u001f) the text is under 800 bytes.
CREATE FUNCTION attune.notification_v1(c attune.execution_inbox) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT attune.change_json_v1(
        c, NULL, coalesce(octet_length(c.result) + 6 * octet_length(c.action_ref) <= 7100, true))
$$;

-- The share of the NOTIFY queue that would be taken after so many more payloads, each under
-- one of its pages of 8 KiB.
CREATE FUNCTION attune.notify_queue_after_v1(changes bigint) RETURNS float8
    LANGUAGE sql VOLATILE AS $$
    SELECT pg_notification_queue_usage()
        + changes / coalesce(current_setting('max_notify_queue_pages', true), '1048576')::float8
$$;

-- The AFTER triggers: once a statement, with the changed rows as a table.
-- * SECURITY DEFINER: a writer needs rights on attune.execution and on nothing else.
-- * No NOTIFY once the queue would be half full: a full one fails every commit that
--   notifies, and one listener that sits in a transaction fills it. The worker's tick finds
--   the changes all the same.
-- * No nested loop: the plan is kept for the session, and one made for a single row would be
--   quadratic for the bulk UPDATE that follows.
CREATE FUNCTION attune.execution_added_or_removed_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    sent bigint;  -- plpgsql wants the result of a SELECT somewhere
BEGIN
    WITH change AS (
        INSERT INTO attune.execution_inbox AS inbox (
            execution, version, op, status, old_status, action, action_ref, parent,
            enforcement, executor, created, updated, started, finished, result, truncated)
        SELECT e.id, e.version + d.deleted::integer, TG_OP, e.status,
            CASE WHEN d.deleted THEN e.status END, e.action, e.action_ref, e.parent,
            e.enforcement, e.executor, e.created,
            CASE WHEN d.deleted THEN clock_timestamp() ELSE e.updated END,
            e.started, e.finished, r.written, e.result IS NOT NULL AND r.written IS NULL
        FROM changed_rows e
        CROSS JOIN (SELECT TG_OP = 'DELETE') d (deleted)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN e.result IS NOT NULL THEN attune.result_text_v1(e.result) END OFFSET 0
        ) r (written)
        RETURNING inbox.*
    )
    SELECT count(pg_notify('attune_notifications',
        attune.notification_v1(ROW(change.*)::attune.execution_inbox))::text) INTO sent
    FROM change
    WHERE (SELECT attune.notify_queue_after_v1(count(*)) FROM changed_rows) < 0.5;
    RETURN NULL;
END $$;

CREATE FUNCTION attune.execution_updated_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_nestloop = off AS $$
DECLARE
    sent bigint;  -- plpgsql wants the result of a SELECT somewhere
BEGIN
    WITH change AS (
        INSERT INTO attune.execution_inbox AS inbox (
            execution, version, op, status, old_status, action, action_ref, parent,
            enforcement, executor, created, updated, started, finished, result, truncated)
        SELECT e.id, e.version, 'UPDATE', e.status, o.status, e.action, e.action_ref, e.parent,
            e.enforcement, e.executor, e.created, e.updated, e.started, e.finished,
            r.written, e.result IS NOT NULL AND r.written IS NULL
        FROM changed_rows e
        JOIN old_rows o ON o.id = e.id AND o.version <> e.version
        CROSS JOIN LATERAL (
            SELECT CASE WHEN e.result IS NOT NULL THEN attune.result_text_v1(e.result) END OFFSET 0
        ) r (written)
        RETURNING inbox.*
    )
    SELECT count(pg_notify('attune_notifications',
        attune.notification_v1(ROW(change.*)::attune.execution_inbox))::text) INTO sent
    FROM change
    WHERE (SELECT attune.notify_queue_after_v1(count(*)) FROM changed_rows) < 0.5;
    RETURN NULL;
END $$;

-- TRUNCATE is recorded: it first deletes what is there, row by row, and so is as slow as a
-- DELETE without WHERE.
CREATE FUNCTION attune.execution_truncate_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM attune.execution;
    RETURN NULL;
END $$;

CREATE TRIGGER execution_inserted AFTER INSERT ON attune.execution
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_added_or_removed_v1();
CREATE TRIGGER execution_updated AFTER UPDATE ON attune.execution
    REFERENCING NEW TABLE AS changed_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_updated_v1();
CREATE TRIGGER execution_deleted AFTER DELETE ON attune.execution
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_added_or_removed_v1();
CREATE TRIGGER execution_truncated BEFORE TRUNCATE ON attune.execution
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_truncate_v1();

-- Where the stream stands. Called by a worker at each connect, before it sequences: a log
-- that was dumped and restored, or that lives on in a promoted standby, may lack events that
-- clients have already seen, so it continues under a new epoch.
CREATE FUNCTION attune.stream_open_v1()
    RETURNS TABLE (epoch text, last_seq bigint, previous_epoch text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    here CONSTANT text := (
        SELECT format('%s/%s/%s', s.system_identifier, c.timeline_id, d.oid)
        FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d
        WHERE d.datname = current_database());
    previous text;
BEGIN
    SELECT s.epoch INTO previous FROM attune.stream_state s FOR UPDATE;
    UPDATE attune.stream_state s
    SET origin = here, epoch = substr(md5(gen_random_uuid()::text), 1, 8)
    WHERE s.origin <> here;
    RETURN QUERY SELECT s.epoch, s.last_seq, previous FROM attune.stream_state s;
END $$;

-- The sequencer: moves up to `batch` visible inbox rows to the log and numbers them densely.
-- * One worker at a time, by the lock on the state row. One that finds it taken gets no row
--   back and goes on: whoever holds the lock is doing the work, and looks again afterwards.
-- * One statement for the client, so that a stopped client can never sit on the lock, and
--   one row as its answer, so that the server never waits for the client to read.
-- * Order: a transaction that made the second change to an execution waited for the first to
--   commit, so an inbox that shows the second shows the first, with a smaller id.
CREATE FUNCTION attune.sequence_v1(batch integer)
    RETURNS TABLE (epoch text, first_seq bigint, last_seq bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    state attune.stream_state;
    moved bigint;
BEGIN
    SELECT * INTO state FROM attune.stream_state FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        -- A crash could take back numbers that clients have seen, and give them out again.
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    -- A statement of its own, so with a snapshot taken after the lock.
    WITH RECURSIVE taken AS (
        DELETE FROM attune.execution_inbox AS inbox
        WHERE inbox.id = ANY (ARRAY(
            SELECT i.id FROM attune.execution_inbox i ORDER BY i.id LIMIT batch))
        RETURNING inbox.*
    ), numbered AS (
        SELECT state.last_seq + row_number() OVER (ORDER BY taken.id) AS seq, taken.* FROM taken
    ), lineage (parent, ancestor) AS (
        -- UNION, not UNION ALL: ends even where somebody made a circle of parents.
        SELECT taken.parent, taken.parent FROM taken WHERE taken.parent IS NOT NULL
        UNION
        SELECT l.parent, e.parent
        FROM lineage l JOIN attune.execution e ON e.id = l.ancestor
        WHERE e.parent IS NOT NULL
    ), family AS (
        SELECT l.parent, array_agg(l.ancestor) AS ancestors FROM lineage l GROUP BY l.parent
    ), written AS (
        SELECT c.*, f.ancestors, attune.change_json_v1(
            ROW(c.id, c.execution, c.version, c.op, c.status, c.old_status, c.action,
                c.action_ref, c.parent, c.enforcement, c.executor, c.created, c.updated,
                c.started, c.finished, c.result, c.truncated,
                c.recorded)::attune.execution_inbox,
            c.seq, true) AS event
        FROM numbered c LEFT JOIN family f ON f.parent = c.parent
    )
    INSERT INTO attune.execution_event (
        seq, execution, version, op, status, old_status, action_ref, parent, ancestors, event,
        bytes, recorded)
    SELECT c.seq, c.execution, c.version, c.op, c.status, c.old_status, c.action_ref, c.parent,
        c.ancestors, c.event, octet_length(c.event), c.recorded
    FROM written c ORDER BY c.seq;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved > 0 THEN
        UPDATE attune.stream_state s SET last_seq = state.last_seq + moved;
    END IF;
    RETURN QUERY SELECT state.epoch, state.last_seq + 1, state.last_seq + moved;
END $$;
