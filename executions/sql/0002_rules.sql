-- What the tables themselves promise to a writer in plain SQL: foreign keys with their
-- actions, and the columns that are kept for it.

ALTER TABLE attune.action
    ADD CONSTRAINT action_pack_fk FOREIGN KEY (pack)
        REFERENCES attune.pack (id) ON DELETE CASCADE;

ALTER TABLE attune.execution
    -- NOT VALID: writers do not wait until all rows have been looked at. 0008_validate does that.
    ADD CONSTRAINT execution_action_fk FOREIGN KEY (action)
        REFERENCES attune.action (id) ON DELETE SET NULL NOT VALID,
    ADD CONSTRAINT execution_parent_fk FOREIGN KEY (parent)
        REFERENCES attune.execution (id) ON DELETE SET NULL NOT VALID,
    ADD CONSTRAINT execution_executor_fk FOREIGN KEY (executor)
        REFERENCES auth_user (id) ON DELETE SET NULL NOT VALID,
    -- Visibility hangs on the text before the first dot, and an escaped JSON text of this
    -- length fits into a NOTIFY whatever the characters are.
    ADD CONSTRAINT execution_action_ref_length
        CHECK (length(action_ref) BETWEEN 1 AND 255) NOT VALID,
    -- 'infinity' and years that most languages cannot hold.
    ADD CONSTRAINT execution_times_sane CHECK (
        created BETWEEN '0001-01-02 00:00+00' AND '9999-12-30 00:00+00'
        AND started BETWEEN '0001-01-02 00:00+00' AND '9999-12-30 00:00+00'
        AND finished BETWEEN '0001-01-02 00:00+00' AND '9999-12-30 00:00+00'
    ) NOT VALID;

-- Most rows of an execution never change again: leave room so that the others stay on
-- their page.
ALTER TABLE attune.execution SET (fillfactor = 85);

CREATE FUNCTION attune.touch_v1() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated := clock_timestamp();
    RETURN NEW;
END $$;

CREATE TRIGGER pack_touch BEFORE UPDATE ON attune.pack
    FOR EACH ROW EXECUTE FUNCTION attune.touch_v1();
CREATE TRIGGER action_touch BEFORE UPDATE ON attune.action
    FOR EACH ROW EXECUTE FUNCTION attune.touch_v1();

CREATE FUNCTION attune.action_pack_ref_v1() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.pack_ref = '' THEN
        NEW.pack_ref := split_part(NEW.ref, '.', 1);
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER action_pack_ref BEFORE INSERT OR UPDATE ON attune.action
    FOR EACH ROW EXECUTE FUNCTION attune.action_pack_ref_v1();

-- Keeps version, updated, started and finished. An UPDATE that changes nothing keeps its
-- version, which is how the AFTER trigger knows that there is no event.
-- The row is locked by the time a BEFORE trigger runs, so versions and times follow the
-- order in which writers got hold of the row, which is the order they commit in.
CREATE FUNCTION attune.execution_before_v1() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    terminal CONSTANT text[] := '{completed,failed,cancelled,timeout,abandoned}';
    statuses CONSTANT text[] := '{requested,scheduling,scheduled,running,canceling}' || terminal;
    instant CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF NEW.status IS NULL OR NEW.status <> ALL (statuses) THEN
        RAISE EXCEPTION 'unknown execution status %', coalesce(quote_literal(NEW.status), 'NULL')
            USING ERRCODE = 'check_violation', COLUMN = 'status', TABLE = 'execution',
                  SCHEMA = 'attune', CONSTRAINT = 'execution_status_valid',
                  HINT = 'Valid statuses: ' || array_to_string(statuses, ', ') || '.';
    END IF;

    IF TG_OP = 'INSERT' THEN
        NEW.version := 1;
        NEW.created := coalesce(NEW.created, instant);
        NEW.updated := instant;
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
        NEW.updated := greatest(instant, OLD.updated);
        IF NEW.status <> ALL (terminal) AND OLD.status = ANY (terminal) THEN
            NEW.finished := NULL;  -- run again
        END IF;
    END IF;

    IF NEW.status = 'running' THEN
        NEW.started := coalesce(NEW.started, NEW.updated);
    ELSIF NEW.status = ANY (terminal) THEN
        NEW.finished := coalesce(NEW.finished, NEW.updated);
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER execution_before BEFORE INSERT OR UPDATE ON attune.execution
    FOR EACH ROW EXECUTE FUNCTION attune.execution_before_v1();
