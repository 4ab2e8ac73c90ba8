CREATE OR REPLACE TRIGGER execution_updated AFTER UPDATE ON attune.execution
    REFERENCING NEW TABLE AS changed_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_updated_v3();
DROP FUNCTION attune.execution_updated_v4();
