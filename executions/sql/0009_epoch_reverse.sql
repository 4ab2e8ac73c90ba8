DROP FUNCTION attune.stream_open_v1();
ALTER FUNCTION attune.stream_open_v1_of_0003() RENAME TO stream_open_v1;
DROP FUNCTION attune.stream_open_v2();
