-- The same triggers and the same sequencer, cheaper (docs/performance.md has the figures):
-- * A function is called in an assignment, not by PERFORM: plpgsql evaluates the one itself, and
--   makes a query of the other.
-- * A change that notifies nobody is not returned by its INSERT.
-- * The sequencer makes the text of an event once. It made it twice, to know its length.
-- * It never reads a table through. Its plan stays for the session, and one made while the log
--   was empty read all of the log at every look, until an ANALYZE came along.

-- SECURITY DEFINER: a writer needs rights on attune.execution and on nothing else.
CREATE FUNCTION attune.execution_updated_v5() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    written text := CASE WHEN NEW.result IS NOT NULL THEN attune.result_text_v1(NEW.result) END;
    notified bigint;
    nothing text;
BEGIN
    INSERT INTO attune.execution_inbox (
        execution, version, op, status, old_status, action, action_ref, parent,
        enforcement, executor, created, updated, started, finished, result, truncated,
        old_action_ref, old_parent, moved)
    VALUES (
        NEW.id, NEW.version, 'UPDATE', NEW.status, OLD.status, NEW.action, NEW.action_ref, NEW.parent,
        NEW.enforcement, NEW.executor, NEW.created, NEW.updated, NEW.started, NEW.finished,
        written, NEW.result IS NOT NULL AND written IS NULL,
        nullif(OLD.action_ref, NEW.action_ref),
        nullif(OLD.parent, NEW.parent),
        CASE WHEN OLD.parent IS DISTINCT FROM NEW.parent THEN true END);
    IF attune.notify_adaptive_v1() AND attune.writes_silently_v1() THEN
        RETURN NULL;
    END IF;
    -- What a transaction has to say gets into the queue when it commits; until then it counts.
    notified := coalesce(nullif(current_setting('attune.notified', true), ''), '0');
    IF notified < attune.notify_room_v1() THEN
        nothing := pg_notify('attune_notifications', attune.notification_v1(
            ROW(0, NEW.id, NEW.version, 'UPDATE', NEW.status, OLD.status, NEW.action, NEW.action_ref,
                NEW.parent, NEW.enforcement, NEW.executor, NEW.created, NEW.updated, NEW.started,
                NEW.finished, written, NEW.result IS NOT NULL AND written IS NULL, NEW.updated,
                NULL, NULL, NULL)::attune.execution_inbox));
        nothing := set_config('attune.notified', (notified + 1)::text, true);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION attune.execution_added_or_removed_v3() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    room float8 := CASE WHEN attune.notify_adaptive_v1() AND attune.writes_silently_v1()
        THEN 0 ELSE attune.notify_room_v1() END;
    change attune.execution_inbox;
    nothing text;
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
        nothing := pg_notify('attune_notifications', attune.notification_v1(change));
    END LOOP;
    RETURN NULL;
END $$;

-- Replaced, not dropped and created: no moment without them, and each takes its lock on
-- attune.execution for that statement alone.
CREATE OR REPLACE TRIGGER execution_updated AFTER UPDATE ON attune.execution
    FOR EACH ROW WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION attune.execution_updated_v5();
CREATE OR REPLACE TRIGGER execution_inserted AFTER INSERT ON attune.execution
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_added_or_removed_v3();
CREATE OR REPLACE TRIGGER execution_deleted AFTER DELETE ON attune.execution
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_added_or_removed_v3();

CREATE FUNCTION attune.sequence_v4(batch integer)
    RETURNS TABLE (
        epoch text, first_seq bigint, last_seq bigint,
        seq bigint, execution bigint, version integer, op text, status text, old_status text,
        action_ref text, parent bigint, ancestors bigint[], event text,
        old_action_ref text, old_parent bigint, old_ancestors bigint[])
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    ANSWER_BYTES CONSTANT integer := 32768;
    state attune.stream_state;
    events bigint := 0;
    size bigint := 0;  -- of the events, in bytes
    ids bigint[];  -- in the inbox
    kin boolean;  -- whether any of them has, or had, a parent
    parents bigint[];
    lineages text[];  -- the ancestors of what is below each of them
BEGIN
    SELECT * INTO state FROM attune.stream_state FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        -- A crash could take back numbers that clients have seen, and give them out again.
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    -- Statements of their own, so with snapshots taken after the lock. Only who has it deletes.
    SELECT array_agg(first.id ORDER BY first.id), bool_or(first.kin) INTO ids, kin
    FROM (
        SELECT i.id, num_nonnulls(i.parent, i.old_parent) > 0 AS kin
        FROM attune.execution_inbox i ORDER BY i.id LIMIT batch
    ) first;
    IF kin THEN
        WITH RECURSIVE taken AS (
            SELECT i.id, i.execution, i.parent, i.old_parent
            FROM attune.execution_inbox i WHERE i.id = ANY (ids)
        ), lineage (parent, ancestor) AS (
            -- UNION, not UNION ALL: ends even where somebody made a circle of parents.
            SELECT t.parent, t.parent FROM taken t WHERE t.parent IS NOT NULL
            UNION
            SELECT t.old_parent, t.old_parent FROM taken t WHERE t.old_parent IS NOT NULL
            UNION
            SELECT l.parent, above.parent
            FROM lineage l CROSS JOIN LATERAL (
                SELECT e.parent FROM attune.execution e WHERE e.id = l.ancestor
                UNION ALL
                (SELECT t.parent FROM taken t WHERE t.execution = l.ancestor
                 ORDER BY t.id DESC LIMIT 1)
                UNION ALL
                (SELECT v.parent FROM attune.execution_event v WHERE v.execution = l.ancestor
                 ORDER BY v.seq DESC LIMIT 1)
                LIMIT 1  -- in this order
            ) above
            WHERE above.parent IS NOT NULL
        )
        SELECT array_agg(f.parent ORDER BY f.parent), array_agg(f.ancestors::text ORDER BY f.parent)
        INTO parents, lineages
        FROM (SELECT l.parent, array_agg(l.ancestor) AS ancestors FROM lineage l GROUP BY l.parent) f;
    END IF;
    IF ids IS NOT NULL THEN
        WITH logged AS (
            INSERT INTO attune.execution_event (
                seq, execution, version, op, status, old_status, action_ref, parent, ancestors, event,
                bytes, recorded, old_action_ref, old_parent, old_ancestors)
            SELECT c.seq, c.execution, c.version, c.op, c.status, c.old_status, c.action_ref, c.parent,
                CASE WHEN c.parent IS NOT NULL
                    THEN lineages[width_bucket(c.parent, parents)]::bigint[] END,
                c.event, octet_length(c.event), c.recorded, c.old_action_ref, c.old_parent,
                CASE WHEN c.moved AND c.old_parent IS NOT NULL
                        THEN lineages[width_bucket(c.old_parent, parents)]::bigint[]
                    WHEN c.moved THEN '{}' END
            FROM (
                SELECT i.*, attune.change_json_v1(
                    ROW(i.id, i.execution, i.version, i.op, i.status, i.old_status, i.action,
                        i.action_ref, i.parent, i.enforcement, i.executor, i.created, i.updated,
                        i.started, i.finished, i.result, i.truncated, i.recorded,
                        i.old_action_ref, i.old_parent, i.moved)::attune.execution_inbox,
                    i.seq, true) AS event
                FROM (
                    SELECT x.*, state.last_seq + row_number() OVER (ORDER BY x.id) AS seq
                    FROM attune.execution_inbox x WHERE x.id = ANY (ids)
                ) i
                OFFSET 0  -- else the text is made twice: once more for its length
            ) c
            RETURNING bytes + 20 * coalesce(cardinality(ancestors), 0)
                + 20 * coalesce(cardinality(old_ancestors), 0) AS bytes
        )
        SELECT count(*), coalesce(sum(bytes), 0) INTO events, size FROM logged;
        DELETE FROM attune.execution_inbox i WHERE i.id = ANY (ids);
        UPDATE attune.stream_state s SET last_seq = state.last_seq + events;
    END IF;
    IF events = 0 OR size > ANSWER_BYTES THEN
        RETURN QUERY
        SELECT state.epoch, state.last_seq + 1, state.last_seq + events, e.seq, e.execution, e.version,
            e.op, e.status, e.old_status, e.action_ref, e.parent, e.ancestors, e.event,
            e.old_action_ref, e.old_parent, e.old_ancestors
        FROM (SELECT) AS always LEFT JOIN attune.execution_event e ON false;
    ELSE
        RETURN QUERY
        SELECT state.epoch, state.last_seq + 1, state.last_seq + events, e.seq, e.execution, e.version,
            e.op, e.status, e.old_status, e.action_ref, e.parent, e.ancestors, e.event,
            e.old_action_ref, e.old_parent, e.old_ancestors
        FROM attune.execution_event e
        WHERE e.seq BETWEEN state.last_seq + 1 AND state.last_seq + events
        ORDER BY e.seq;
    END IF;
END $$;
