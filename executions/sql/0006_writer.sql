-- What a change costs its writer: the triggers again, cheaper (docs/performance.md has the
-- figures), and NOTIFY only where somebody waits for it.

-- As execution_before_v1 does; literals instead of variables, which plpgsql would set up at
-- every call.
CREATE FUNCTION attune.execution_before_v2() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.status IS NULL OR NEW.status NOT IN (
            'requested', 'scheduling', 'scheduled', 'running', 'canceling',
            'completed', 'failed', 'cancelled', 'timeout', 'abandoned') THEN
        RAISE EXCEPTION 'unknown execution status %', coalesce(quote_literal(NEW.status), 'NULL')
            USING ERRCODE = 'check_violation', COLUMN = 'status', TABLE = 'execution',
                  SCHEMA = 'attune', CONSTRAINT = 'execution_status_valid',
                  HINT = 'Valid statuses: requested, scheduling, scheduled, running, canceling, '
                      'completed, failed, cancelled, timeout, abandoned.';
    END IF;

    IF TG_OP = 'INSERT' THEN
        NEW.version := 1;
        NEW.updated := clock_timestamp();
        NEW.created := coalesce(NEW.created, NEW.updated);
    ELSE
        IF NEW.id <> OLD.id THEN
            RAISE EXCEPTION 'an execution keeps its id (% cannot become %)', OLD.id, NEW.id
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        NEW.version := OLD.version;
        NEW.updated := OLD.updated;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
        NEW.version := OLD.version + 1;
        -- A clock that was set back must not make a change older than the one before it.
        NEW.updated := greatest(clock_timestamp(), OLD.updated);
    END IF;

    IF NEW.status IN ('completed', 'failed', 'cancelled', 'timeout', 'abandoned') THEN
        NEW.finished := coalesce(NEW.finished, NEW.updated);
    ELSE
        IF NEW.finished IS NOT NULL AND TG_OP = 'UPDATE' AND OLD.status IN (
                'completed', 'failed', 'cancelled', 'timeout', 'abandoned') THEN
            NEW.finished := NULL;  -- run again
        END IF;
        IF NEW.status = 'running' THEN
            NEW.started := coalesce(NEW.started, NEW.updated);
        END IF;
    END IF;
    RETURN NEW;
END $$;

-- ATTUNE_NOTIFY: `migrate` replaces this function with one that says true for "adaptive".
-- PostgreSQL takes the constant into the triggers' plans, so asking costs nothing.
CREATE FUNCTION attune.notify_adaptive_v1() RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT false';

-- How writers and workers agree on NOTIFY where it is adaptive, by two advisory locks:
-- * Lock 2. A worker that waits for a NOTIFY holds it exclusively: a writer that cannot get it
--   notifies. One that does get it, shared, keeps it to the end of its transaction and sends
--   nothing. So a worker gets it back only when everybody who sent nothing is through, their
--   changes visible, and has to look at the inbox just once more before it may wait.
-- * Lock 3. A worker that polls holds it: others need not, while it lives.
-- Nobody ever waits for either. Both go with their session, so a dead worker leaves writers
-- silent, and the others find the lock free at their next tick.
-- No snapshot is involved, unlike with a flag in a table: a REPEATABLE READ writer would see
-- an old one for as long as its transaction lasts.
CREATE FUNCTION attune.writes_silently_v1() RETURNS boolean
    LANGUAGE sql VOLATILE AS 'SELECT pg_try_advisory_xact_lock_shared(6386804, 2)';

-- For a worker: from here on writers notify. Says by whom it is (or will be) noticed that there
-- is work: 'self', 'other', or NULL: a writer that sends nothing is still on its way; poll.
CREATE FUNCTION attune.await_notify_v1() RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_try_advisory_lock_shared(6386804, 3) THEN
        RETURN 'other';
    END IF;
    PERFORM pg_advisory_unlock_shared(6386804, 3);
    IF pg_try_advisory_lock(6386804, 2) THEN
        RETURN 'self';
    ELSIF NOT pg_try_advisory_lock_shared(6386804, 2) THEN
        RETURN 'other';
    END IF;
    PERFORM pg_advisory_unlock_shared(6386804, 2);
    RETURN NULL;
END $$;

-- The room for NOTIFY, in changes, each under a page of 8 KiB of the queue: up to half of it. A
-- full queue fails every commit that notifies, and one listener that sits in a transaction
-- fills it. The worker's tick finds the changes all the same.
CREATE FUNCTION attune.notify_room_v1() RETURNS float8
    LANGUAGE sql VOLATILE AS $$
    SELECT (0.5 - pg_notification_queue_usage())
        * coalesce(current_setting('max_notify_queue_pages', true), '1048576')::float8
$$;

-- The AFTER triggers: once a statement, with the changed rows as a table.
-- * SECURITY DEFINER: a writer needs rights on attune.execution and on nothing else.
-- * No nested loop: the plan is kept for the session, and one made for a single row would be
--   quadratic for the bulk UPDATE that follows.
CREATE FUNCTION attune.execution_added_or_removed_v2() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    room float8 := CASE WHEN attune.notify_adaptive_v1() AND attune.writes_silently_v1()
        THEN 0 ELSE attune.notify_room_v1() END;
    change attune.execution_inbox;
BEGIN
    FOR change IN
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
    LOOP
        room := room - 1;
        EXIT WHEN room < 0;
        PERFORM pg_notify('attune_notifications', attune.notification_v1(change));
    END LOOP;
    RETURN NULL;
END $$;

-- Twice the same INSERT: the silent one, without a loop over what it inserted, saves a single
-- UPDATE a quarter of what its event costs.
CREATE FUNCTION attune.execution_updated_v2() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_nestloop = off AS $$
DECLARE
    room float8;
    change attune.execution_inbox;
BEGIN
    IF attune.notify_adaptive_v1() AND attune.writes_silently_v1() THEN
        INSERT INTO attune.execution_inbox (
            execution, version, op, status, old_status, action, action_ref, parent,
            enforcement, executor, created, updated, started, finished, result, truncated)
        SELECT e.id, e.version, 'UPDATE', e.status, o.status, e.action, e.action_ref, e.parent,
            e.enforcement, e.executor, e.created, e.updated, e.started, e.finished,
            r.written, e.result IS NOT NULL AND r.written IS NULL
        FROM changed_rows e
        JOIN old_rows o ON o.id = e.id AND o.version <> e.version
        CROSS JOIN LATERAL (
            SELECT CASE WHEN e.result IS NOT NULL THEN attune.result_text_v1(e.result) END OFFSET 0
        ) r (written);
        RETURN NULL;
    END IF;

    room := attune.notify_room_v1();
    FOR change IN
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
    LOOP
        room := room - 1;
        EXIT WHEN room < 0;
        PERFORM pg_notify('attune_notifications', attune.notification_v1(change));
    END LOOP;
    RETURN NULL;
END $$;

-- Replaced, not dropped and created: no moment without them, and each takes its lock on
-- attune.execution for that statement alone.
CREATE OR REPLACE TRIGGER execution_before BEFORE INSERT OR UPDATE ON attune.execution
    FOR EACH ROW EXECUTE FUNCTION attune.execution_before_v2();
CREATE OR REPLACE TRIGGER execution_inserted AFTER INSERT ON attune.execution
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_added_or_removed_v2();
CREATE OR REPLACE TRIGGER execution_updated AFTER UPDATE ON attune.execution
    REFERENCING NEW TABLE AS changed_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_updated_v2();
CREATE OR REPLACE TRIGGER execution_deleted AFTER DELETE ON attune.execution
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_added_or_removed_v2();

-- The sequencer: moves up to `batch` visible inbox rows to the log and numbers them densely.
-- * One worker at a time, by the lock on the state row. One that finds it taken gets no row
--   back and goes on: whoever holds the lock is doing the work, and looks again afterwards.
-- * One statement for the client, so that a stopped client can never sit on the lock, and an
--   answer that fits into a socket's buffer, so that the server never waits for the client to
--   read: one row an event up to ANSWER_BYTES, else one row without an event, as for none.
-- * Order: a transaction that made the second change to an execution waited for the first to
--   commit, so an inbox that shows the second shows the first, with a smaller id.
CREATE FUNCTION attune.sequence_v2(batch integer)
    RETURNS TABLE (
        epoch text, first_seq bigint, last_seq bigint,
        seq bigint, execution bigint, version integer, op text, status text, old_status text,
        action_ref text, parent bigint, ancestors bigint[], event text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    ANSWER_BYTES CONSTANT integer := 32768;
    state attune.stream_state;
    moved bigint;
    size bigint;
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
    ), removed AS MATERIALIZED (
        SELECT taken.execution, taken.parent FROM taken WHERE taken.op = 'DELETE'
    ), lineage (parent, ancestor) AS (
        -- UNION, not UNION ALL: ends even where somebody made a circle of parents.
        SELECT taken.parent, taken.parent FROM taken WHERE taken.parent IS NOT NULL
        UNION
        SELECT l.parent, above.parent
        FROM lineage l CROSS JOIN LATERAL (
            SELECT e.parent FROM attune.execution e WHERE e.id = l.ancestor
            UNION ALL
            -- A whole tree that is deleted at once: its rows are gone.
            SELECT d.parent FROM removed d WHERE d.execution = l.ancestor
        ) above
        WHERE above.parent IS NOT NULL
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
    ), logged AS (
        INSERT INTO attune.execution_event (
            seq, execution, version, op, status, old_status, action_ref, parent, ancestors, event,
            bytes, recorded)
        SELECT c.seq, c.execution, c.version, c.op, c.status, c.old_status, c.action_ref, c.parent,
            c.ancestors, c.event, octet_length(c.event), c.recorded
        FROM written c ORDER BY c.seq
        RETURNING bytes + 20 * coalesce(cardinality(ancestors), 0) AS bytes
    )
    SELECT count(*), coalesce(sum(bytes), 0) INTO moved, size FROM logged;
    IF moved > 0 THEN
        UPDATE attune.stream_state s SET last_seq = state.last_seq + moved;
    END IF;
    RETURN QUERY
    SELECT state.epoch, state.last_seq + 1, state.last_seq + moved,
        e.seq, e.execution, e.version, e.op, e.status, e.old_status, e.action_ref, e.parent,
        e.ancestors, e.event
    FROM (SELECT) AS always LEFT JOIN attune.execution_event e
        ON e.seq > state.last_seq AND size <= ANSWER_BYTES
    ORDER BY e.seq;
END $$;
