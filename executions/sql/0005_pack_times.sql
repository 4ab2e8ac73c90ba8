-- 'infinity' and years that most languages cannot hold, as for executions.
ALTER TABLE attune.pack ADD CONSTRAINT pack_times_sane CHECK (
    created BETWEEN '0001-01-02 00:00+00' AND '9999-12-30 00:00+00'
    AND updated BETWEEN '0001-01-02 00:00+00' AND '9999-12-30 00:00+00'
);
ALTER TABLE attune.action ADD CONSTRAINT action_times_sane CHECK (
    created BETWEEN '0001-01-02 00:00+00' AND '9999-12-30 00:00+00'
    AND updated BETWEEN '0001-01-02 00:00+00' AND '9999-12-30 00:00+00'
);
