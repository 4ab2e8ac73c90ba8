CREATE OR REPLACE TRIGGER execution_updated AFTER UPDATE ON attune.execution
    FOR EACH ROW WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION attune.execution_updated_v5();
CREATE OR REPLACE TRIGGER execution_before BEFORE INSERT OR UPDATE ON attune.execution
    FOR EACH ROW EXECUTE FUNCTION attune.execution_before_v2();
DROP TRIGGER zzz_execution_changed ON attune.execution;
DROP FUNCTION attune.execution_changed_v1();
DO $$
DECLARE
    writing record;
BEGIN
    FOR writing IN
        SELECT oid::regprocedure AS function FROM pg_proc
        WHERE pronamespace = 'attune'::regnamespace AND prosecdef
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', writing.function);
    END LOOP;
END $$;
