CREATE OR REPLACE TRIGGER execution_updated AFTER UPDATE ON attune.execution
    FOR EACH ROW WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION attune.execution_updated_v4();
CREATE OR REPLACE TRIGGER execution_inserted AFTER INSERT ON attune.execution
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_added_or_removed_v2();
CREATE OR REPLACE TRIGGER execution_deleted AFTER DELETE ON attune.execution
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_added_or_removed_v2();
DROP FUNCTION attune.sequence_v4(integer);
DROP FUNCTION attune.execution_added_or_removed_v3();
DROP FUNCTION attune.execution_updated_v5();
