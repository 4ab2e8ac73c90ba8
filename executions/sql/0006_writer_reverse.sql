CREATE OR REPLACE TRIGGER execution_before BEFORE INSERT OR UPDATE ON attune.execution
    FOR EACH ROW EXECUTE FUNCTION attune.execution_before_v1();
CREATE OR REPLACE TRIGGER execution_inserted AFTER INSERT ON attune.execution
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_added_or_removed_v1();
CREATE OR REPLACE TRIGGER execution_updated AFTER UPDATE ON attune.execution
    REFERENCING NEW TABLE AS changed_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_updated_v1();
CREATE OR REPLACE TRIGGER execution_deleted AFTER DELETE ON attune.execution
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_added_or_removed_v1();
DROP FUNCTION attune.sequence_v2(integer);
DROP FUNCTION attune.execution_updated_v2();
DROP FUNCTION attune.execution_added_or_removed_v2();
DROP FUNCTION attune.notify_room_v1();
DROP FUNCTION attune.await_notify_v1();
DROP FUNCTION attune.writes_silently_v1();
DROP FUNCTION attune.notify_adaptive_v1();
DROP FUNCTION attune.execution_before_v2();
