ALTER TABLE attune.pack DROP CONSTRAINT pack_times_sane;
ALTER TABLE attune.action DROP CONSTRAINT action_times_sane;
