-- The event of an UPDATE is written before it, by the trigger that counts its version, instead of
-- after it by one more (docs/performance.md has the figures).
-- * Triggers fire in the order of their names, and this one last of all BEFORE UPDATE: it sees
--   what others have made of the row, which is locked by then. Nothing but an error, which takes
--   the event back, can keep it from being written; or a trigger that fires still later, of which
--   `manage.py doctor` tells.
-- * An execution that gets another parent is told after the statement, as before: of a parent
--   that is deleted the DELETE comes first, which says who was above.
-- * Nobody but the owner may attach a function that writes to the inbox to a table of their own.
--   Who fires a trigger needs no right on its function.

-- SECURITY DEFINER: a writer needs rights on attune.execution and on nothing else.
CREATE FUNCTION attune.execution_changed_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    written text;
    notified bigint;
    nothing text;
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
    IF NEW.id <> OLD.id THEN
        RAISE EXCEPTION 'an execution keeps its id (% cannot become %)', OLD.id, NEW.id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.status = OLD.status THEN
        NEW.version := OLD.version;
        NEW.updated := OLD.updated;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;

    NEW.version := OLD.version + 1;
    -- A clock that was set back must not make a change older than the one before it.
    NEW.updated := greatest(clock_timestamp(), OLD.updated);
    IF NEW.status IN ('completed', 'failed', 'cancelled', 'timeout', 'abandoned') THEN
        NEW.finished := coalesce(NEW.finished, NEW.updated);
    ELSE
        IF NEW.finished IS NOT NULL AND OLD.status IN (
                'completed', 'failed', 'cancelled', 'timeout', 'abandoned') THEN
            NEW.finished := NULL;  -- run again
        END IF;
        IF NEW.status = 'running' THEN
            NEW.started := coalesce(NEW.started, NEW.updated);
        END IF;
    END IF;
    IF NEW.parent IS DISTINCT FROM OLD.parent THEN
        RETURN NEW;  -- execution_updated tells it
    END IF;
    IF NEW.action_ref IS NULL OR length(NEW.action_ref) NOT BETWEEN 1 AND 255
            OR NEW.created IS NULL THEN
        RETURN NEW;  -- the table refuses it, in its own words
    END IF;

    IF NEW.result IS NOT NULL THEN
        written := attune.result_text_v1(NEW.result);
    END IF;
    INSERT INTO attune.execution_inbox (
        execution, version, op, status, old_status, action, action_ref, parent,
        enforcement, executor, created, updated, started, finished, result, truncated,
        old_action_ref)
    VALUES (
        NEW.id, NEW.version, 'UPDATE', NEW.status, OLD.status, NEW.action, NEW.action_ref, NEW.parent,
        NEW.enforcement, NEW.executor, NEW.created, NEW.updated, NEW.started, NEW.finished,
        written, NEW.result IS NOT NULL AND written IS NULL,
        nullif(OLD.action_ref, NEW.action_ref));
    IF attune.notify_adaptive_v1() AND attune.writes_silently_v1() THEN
        RETURN NEW;
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
    RETURN NEW;
END $$;

-- The lock is held until all three are there: no change gets in between.
CREATE OR REPLACE TRIGGER execution_before BEFORE INSERT ON attune.execution
    FOR EACH ROW EXECUTE FUNCTION attune.execution_before_v2();
CREATE TRIGGER zzz_execution_changed BEFORE UPDATE ON attune.execution
    FOR EACH ROW EXECUTE FUNCTION attune.execution_changed_v1();
CREATE OR REPLACE TRIGGER execution_updated AFTER UPDATE ON attune.execution
    FOR EACH ROW WHEN (OLD.parent IS DISTINCT FROM NEW.parent)
    EXECUTE FUNCTION attune.execution_updated_v5();

DO $$
DECLARE
    writing record;
BEGIN
    FOR writing IN
        SELECT oid::regprocedure AS function FROM pg_proc
        WHERE pronamespace = 'attune'::regnamespace AND prosecdef
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', writing.function);
    END LOOP;
END $$;
