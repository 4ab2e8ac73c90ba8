-- An UPDATE's event is made row by row, out of OLD and NEW, instead of once a statement out of a
-- join of all old and all new rows. One row, which is what nearly every statement changes, costs
-- its writer 10 to 40 µs less; each row of a large statement costs a little more.
-- (docs/performance.md has the figures.)

-- SECURITY DEFINER: a writer needs rights on attune.execution and on nothing else.
CREATE FUNCTION attune.execution_updated_v4() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    written text := CASE WHEN NEW.result IS NOT NULL THEN attune.result_text_v1(NEW.result) END;
    change attune.execution_inbox;
    notified bigint;
BEGIN
    INSERT INTO attune.execution_inbox AS inbox (
        execution, version, op, status, old_status, action, action_ref, parent,
        enforcement, executor, created, updated, started, finished, result, truncated,
        old_action_ref, old_parent, moved)
    VALUES (
        NEW.id, NEW.version, 'UPDATE', NEW.status, OLD.status, NEW.action, NEW.action_ref, NEW.parent,
        NEW.enforcement, NEW.executor, NEW.created, NEW.updated, NEW.started, NEW.finished,
        written, NEW.result IS NOT NULL AND written IS NULL,
        nullif(OLD.action_ref, NEW.action_ref),
        nullif(OLD.parent, NEW.parent),
        CASE WHEN OLD.parent IS DISTINCT FROM NEW.parent THEN true END)
    RETURNING inbox.* INTO change;
    IF attune.notify_adaptive_v1() AND attune.writes_silently_v1() THEN
        RETURN NULL;
    END IF;
    -- What a transaction has to say gets into the queue when it commits; until then it counts.
    notified := coalesce(nullif(current_setting('attune.notified', true), ''), '0');
    IF notified < attune.notify_room_v1() THEN
        PERFORM pg_notify('attune_notifications', attune.notification_v1(change));
        PERFORM set_config('attune.notified', (notified + 1)::text, true);
    END IF;
    RETURN NULL;
END $$;

-- The BEFORE trigger counts the version up for whatever changes something.
CREATE OR REPLACE TRIGGER execution_updated AFTER UPDATE ON attune.execution
    FOR EACH ROW WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION attune.execution_updated_v4();
