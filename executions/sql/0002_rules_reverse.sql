DROP TRIGGER execution_before ON attune.execution;
DROP TRIGGER action_pack_ref ON attune.action;
DROP TRIGGER action_touch ON attune.action;
DROP TRIGGER pack_touch ON attune.pack;
DROP FUNCTION attune.execution_before_v1();
DROP FUNCTION attune.action_pack_ref_v1();
DROP FUNCTION attune.touch_v1();
ALTER TABLE attune.execution
    RESET (fillfactor),
    DROP CONSTRAINT execution_times_sane,
    DROP CONSTRAINT execution_action_ref_length,
    DROP CONSTRAINT execution_executor_fk,
    DROP CONSTRAINT execution_parent_fk,
    DROP CONSTRAINT execution_action_fk;
ALTER TABLE attune.action DROP CONSTRAINT action_pack_fk;
