-- For any role. Of others' sessions it sees who they are and in which database, not what kind they are: the server's own
-- processes have no user or no database. Parallel workers have both, for as long as a query takes.
SELECT
    pg_database_size(current_database()) AS size_bytes,
    (SELECT count(*) FROM pg_stat_activity WHERE usesysid IS NOT NULL AND datid IS NOT NULL) AS connections,
    current_setting('max_connections')::bigint AS connections_max
