-- Services have what their roles are granted (see ../roles) and nothing that comes to everybody.
REVOKE ALL ON FUNCTION make_trades_partition(int), drop_trades_partitions_before(int) FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- Whoever asks: a day that is not over is not dropped.
CREATE OR REPLACE FUNCTION drop_trades_partitions_before(day int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first_kept CONSTANT text := to_char(least(date '1970-01-01' + day, (now() AT TIME ZONE 'UTC')::date), 'YYYYMMDD');
    child text;
    dropped int := 0;
BEGIN
    FOR child IN
        SELECT inhrelid::regclass::text FROM pg_inherits
        WHERE inhparent = 'trades'::regclass AND right(inhrelid::regclass::text, 8) < first_kept
    LOOP
        EXECUTE format('DROP TABLE %s', child);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
