CREATE OR REPLACE TRIGGER execution_updated AFTER UPDATE ON attune.execution
    REFERENCING NEW TABLE AS changed_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION attune.execution_updated_v2();
DROP FUNCTION attune.sequence_v2(integer);
ALTER FUNCTION attune.sequence_v2_of_0006(integer) RENAME TO sequence_v2;
DROP FUNCTION attune.sequence_v1(integer);
ALTER FUNCTION attune.sequence_v1_of_0003(integer) RENAME TO sequence_v1;
DROP FUNCTION attune.sequence_v3(integer);
DROP FUNCTION attune.execution_updated_v3();
DROP FUNCTION attune.state_json_v1(attune.execution, integer);
ALTER FUNCTION attune.state_json_v1_of_0003(attune.execution, integer) RENAME TO state_json_v1;
ALTER TABLE attune.execution_event
    DROP COLUMN old_action_ref,
    DROP COLUMN old_parent,
    DROP COLUMN old_ancestors;
ALTER TABLE attune.execution_inbox
    DROP COLUMN old_action_ref,
    DROP COLUMN old_parent,
    DROP COLUMN moved;
