-- Which log this is: by the timeline that is written to now. `pg_control_checkpoint()` says that of
-- the last checkpoint, and a promoted standby takes its first one while it is at work already,
-- spread over minutes: a worker that connected before would have gone on under the old epoch.
CREATE FUNCTION attune.stream_open_v2()
    RETURNS TABLE (epoch text, last_seq bigint, previous_epoch text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- The first 8 digits of a WAL file's name; written as v1 did, so that nothing changes by itself.
    timeline CONSTANT bigint :=
        ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint;
    here CONSTANT text := (
        SELECT format('%s/%s/%s', s.system_identifier, timeline, d.oid)
        FROM pg_control_system() s, pg_database d WHERE d.datname = current_database());
    previous text;
BEGIN
    SELECT s.epoch INTO previous FROM attune.stream_state s FOR UPDATE;
    UPDATE attune.stream_state s
    SET origin = here, epoch = substr(md5(gen_random_uuid()::text), 1, 8)
    WHERE s.origin <> here;
    RETURN QUERY SELECT s.epoch, s.last_seq, previous FROM attune.stream_state s;
END $$;

-- For workers of before.
ALTER FUNCTION attune.stream_open_v1() RENAME TO stream_open_v1_of_0003;
CREATE FUNCTION attune.stream_open_v1()
    RETURNS TABLE (epoch text, last_seq bigint, previous_epoch text) LANGUAGE sql AS $$
    SELECT s.epoch, s.last_seq, s.previous_epoch FROM attune.stream_open_v2() s
$$;
