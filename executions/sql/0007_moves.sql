-- What an execution was before it got another action_ref or parent, beside what it is since:
-- streams whose filter it leaves are told, too. Null where nothing of the kind has changed, so
-- that an ordinary event costs nothing more.

ALTER TABLE attune.execution_inbox
    ADD COLUMN old_action_ref text,
    ADD COLUMN old_parent bigint,
    ADD COLUMN moved boolean;  -- has another parent than before, where there was none, too
ALTER TABLE attune.execution_event
    ADD COLUMN old_action_ref text,
    ADD COLUMN old_parent bigint,
    ADD COLUMN old_ancestors bigint[];  -- not null where it has moved

-- Makes rows of the inbox by their columns, which are more now.
ALTER FUNCTION attune.state_json_v1(attune.execution, integer) RENAME TO state_json_v1_of_0003;
CREATE FUNCTION attune.state_json_v1(e attune.execution, max_bytes integer) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT attune.change_json_v1(
        ROW(0, e.id, e.version, 'SNAPSHOT', e.status, NULL, e.action, e.action_ref, e.parent,
            e.enforcement, e.executor, e.created, e.updated, e.started, e.finished,
            r.written, e.result IS NOT NULL AND r.written IS NULL, e.updated, NULL, NULL, NULL
        )::attune.execution_inbox, NULL, true)
    FROM (
        SELECT CASE WHEN pg_column_size(e.result) <= max_bytes::bigint * 16
                     AND octet_length(e.result::text) <= max_bytes
               THEN e.result::text END
    ) r (written)
$$;

-- As execution_updated_v2, and what was before. The text of a result is made in a subquery, not
-- in a lateral join: that saves a single UPDATE a twelfth of what its event costs.
CREATE FUNCTION attune.execution_updated_v3() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_nestloop = off AS $$
DECLARE
    room float8;
    change attune.execution_inbox;
BEGIN
    IF attune.notify_adaptive_v1() AND attune.writes_silently_v1() THEN
        INSERT INTO attune.execution_inbox (
            execution, version, op, status, old_status, action, action_ref, parent,
            enforcement, executor, created, updated, started, finished, result, truncated,
            old_action_ref, old_parent, moved)
        SELECT e.id, e.version, 'UPDATE', e.status, o.status, e.action, e.action_ref, e.parent,
            e.enforcement, e.executor, e.created, e.updated, e.started, e.finished,
            e.written, e.result IS NOT NULL AND e.written IS NULL,
            nullif(o.action_ref, e.action_ref),
            nullif(o.parent, e.parent),
            CASE WHEN o.parent IS DISTINCT FROM e.parent THEN true END
        FROM (
            SELECT c.*,
                CASE WHEN c.result IS NOT NULL THEN attune.result_text_v1(c.result) END AS written
            FROM changed_rows c OFFSET 0
        ) e
        JOIN old_rows o ON o.id = e.id AND o.version <> e.version;
        RETURN NULL;
    END IF;

    room := attune.notify_room_v1();
    FOR change IN
        INSERT INTO attune.execution_inbox AS inbox (
            execution, version, op, status, old_status, action, action_ref, parent,
            enforcement, executor, created, updated, started, finished, result, truncated,
            old_action_ref, old_parent, moved)
        SELECT e.id, e.version, 'UPDATE', e.status, o.status, e.action, e.action_ref, e.parent,
            e.enforcement, e.executor, e.created, e.updated, e.started, e.finished,
            e.written, e.result IS NOT NULL AND e.written IS NULL,
            nullif(o.action_ref, e.action_ref),
            nullif(o.parent, e.parent),
            CASE WHEN o.parent IS DISTINCT FROM e.parent THEN true END
        FROM (
            SELECT c.*,
                CASE WHEN c.result IS NOT NULL THEN attune.result_text_v1(c.result) END AS written
            FROM changed_rows c OFFSET 0
        ) e
        JOIN old_rows o ON o.id = e.id AND o.version <> e.version
        RETURNING inbox.*
    LOOP
        room := room - 1;
        EXIT WHEN room < 0;
        PERFORM pg_notify('attune_notifications', attune.notification_v1(change));
    END LOOP;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER execution_updated AFTER UPDATE ON attune.execution
    REFERENCING NEW TABLE AS changed_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_updated_v3();

-- The sequencer, as sequence_v2, and:
-- * What an execution was moved away from has ancestors, too.
-- * An ancestor that is gone by now is known by its DELETE, which comes before the UPDATE that
--   takes the parent from its children: in the same batch, or in the log. Of a whole tree that
--   is deleted at once, more than a batch, the log has what was above until it is pruned.
CREATE FUNCTION attune.sequence_v3(batch integer)
    RETURNS TABLE (
        epoch text, first_seq bigint, last_seq bigint,
        seq bigint, execution bigint, version integer, op text, status text, old_status text,
        action_ref text, parent bigint, ancestors bigint[], event text,
        old_action_ref text, old_parent bigint, old_ancestors bigint[])
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    ANSWER_BYTES CONSTANT integer := 32768;
    state attune.stream_state;
    events bigint;
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
        SELECT taken.old_parent, taken.old_parent FROM taken WHERE taken.old_parent IS NOT NULL
        UNION
        SELECT l.parent, above.parent
        FROM lineage l CROSS JOIN LATERAL (
            SELECT e.parent FROM attune.execution e WHERE e.id = l.ancestor
            UNION ALL
            SELECT d.parent FROM removed d WHERE d.execution = l.ancestor
            UNION ALL
            (SELECT v.parent FROM attune.execution_event v WHERE v.execution = l.ancestor
             ORDER BY v.seq DESC LIMIT 1)
            LIMIT 1  -- in this order
        ) above
        WHERE above.parent IS NOT NULL
    ), family AS (
        SELECT l.parent, array_agg(l.ancestor) AS ancestors FROM lineage l GROUP BY l.parent
    ), written AS (
        SELECT c.*, f.ancestors,
            CASE WHEN c.moved THEN coalesce(was.ancestors, '{}') END AS old_ancestors,
            attune.change_json_v1(
                ROW(c.id, c.execution, c.version, c.op, c.status, c.old_status, c.action,
                    c.action_ref, c.parent, c.enforcement, c.executor, c.created, c.updated,
                    c.started, c.finished, c.result, c.truncated, c.recorded,
                    c.old_action_ref, c.old_parent, c.moved)::attune.execution_inbox,
                c.seq, true) AS event
        FROM numbered c
        LEFT JOIN family f ON f.parent = c.parent
        LEFT JOIN family was ON was.parent = c.old_parent
    ), logged AS (
        INSERT INTO attune.execution_event (
            seq, execution, version, op, status, old_status, action_ref, parent, ancestors, event,
            bytes, recorded, old_action_ref, old_parent, old_ancestors)
        SELECT c.seq, c.execution, c.version, c.op, c.status, c.old_status, c.action_ref, c.parent,
            c.ancestors, c.event, octet_length(c.event), c.recorded, c.old_action_ref,
            c.old_parent, c.old_ancestors
        FROM written c ORDER BY c.seq
        RETURNING bytes + 20 * coalesce(cardinality(ancestors), 0)
            + 20 * coalesce(cardinality(old_ancestors), 0) AS bytes
    )
    SELECT count(*), coalesce(sum(bytes), 0) INTO events, size FROM logged;
    IF events > 0 THEN
        UPDATE attune.stream_state s SET last_seq = state.last_seq + events;
    END IF;
    RETURN QUERY
    SELECT state.epoch, state.last_seq + 1, state.last_seq + events,
        e.seq, e.execution, e.version, e.op, e.status, e.old_status, e.action_ref, e.parent,
        e.ancestors, e.event, e.old_action_ref, e.old_parent, e.old_ancestors
    FROM (SELECT) AS always LEFT JOIN attune.execution_event e
        ON e.seq > state.last_seq AND size <= ANSWER_BYTES
    ORDER BY e.seq;
END $$;

-- For workers of before: they number by the same rules, and leave out what they do not know.
ALTER FUNCTION attune.sequence_v1(integer) RENAME TO sequence_v1_of_0003;
CREATE FUNCTION attune.sequence_v1(batch integer)
    RETURNS TABLE (epoch text, first_seq bigint, last_seq bigint) LANGUAGE sql AS $$
    SELECT DISTINCT s.epoch, s.first_seq, s.last_seq FROM attune.sequence_v3(batch) s
$$;
ALTER FUNCTION attune.sequence_v2(integer) RENAME TO sequence_v2_of_0006;
CREATE FUNCTION attune.sequence_v2(batch integer)
    RETURNS TABLE (
        epoch text, first_seq bigint, last_seq bigint,
        seq bigint, execution bigint, version integer, op text, status text, old_status text,
        action_ref text, parent bigint, ancestors bigint[], event text)
    LANGUAGE sql AS $$
    SELECT s.epoch, s.first_seq, s.last_seq, s.seq, s.execution, s.version, s.op, s.status,
        s.old_status, s.action_ref, s.parent, s.ancestors, s.event
    FROM attune.sequence_v3(batch) s
$$;
