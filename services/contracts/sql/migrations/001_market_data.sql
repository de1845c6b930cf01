-- Where each consumer group is in each partition, and who may move it: the one row a batch's transaction turns on.
CREATE TABLE positions (
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    owner_epoch bigint NOT NULL,
    next_offset bigint NOT NULL,
    log_id text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic, partition)
) WITH (fillfactor = 50);

-- What a group remembers of a product between batches (msgpack, with a version inside).
CREATE TABLE product_states (
    consumer_group text NOT NULL,
    exchange text NOT NULL,
    product_id text NOT NULL,
    partition int NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (consumer_group, exchange, product_id)
) WITH (fillfactor = 50);
CREATE INDEX product_states_partition ON product_states (consumer_group, partition);

-- Times are nanoseconds since the epoch, UTC: Postgres' own timestamps stop at microseconds.
CREATE TABLE trades (
    exchange text NOT NULL,
    product_id text NOT NULL,
    trade_id text NOT NULL,
    trade_number bigint,
    price numeric NOT NULL,
    size numeric NOT NULL,
    side text NOT NULL,
    time bigint NOT NULL,
    received_time bigint NOT NULL,
    origin text NOT NULL,
    venue text NOT NULL,
    PRIMARY KEY (exchange, product_id, time, trade_id)
) PARTITION BY RANGE (time);

-- A service owns no DDL; this function lends it exactly one statement. `day` counts days since 1970-01-01 UTC.
CREATE FUNCTION make_trades_partition(day int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    day_ns CONSTANT bigint := 86400000000000;
BEGIN
    PERFORM pg_advisory_xact_lock(7201955, day);
    EXECUTE format(
        'CREATE TABLE IF NOT EXISTS trades_%s PARTITION OF trades FOR VALUES FROM (%s) TO (%s)',
        to_char(date '1970-01-01' + day, 'YYYYMMDD'), day * day_ns, (day + 1) * day_ns
    );
END $$;

-- Drops the days that ended before `day`.
CREATE FUNCTION drop_trades_partitions_before(day int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    child text;
    dropped int := 0;
BEGIN
    FOR child IN
        SELECT inhrelid::regclass::text FROM pg_inherits
        WHERE inhparent = 'trades'::regclass
          AND right(inhrelid::regclass::text, 8) < to_char(date '1970-01-01' + day, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE %s', child);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- The columns after input_sequence are what it takes to merge a later trade in.
CREATE TABLE candles (
    exchange text NOT NULL,
    product_id text NOT NULL,
    resolution text NOT NULL,
    "timestamp" bigint NOT NULL,
    open numeric NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    volume numeric NOT NULL,
    quote_volume numeric NOT NULL,
    trade_count bigint NOT NULL,
    first_trade_id text NOT NULL,
    last_trade_id text NOT NULL,
    closed boolean NOT NULL,
    complete boolean NOT NULL,
    revision int NOT NULL,
    input_sequence bigint NOT NULL,
    first_time bigint NOT NULL,
    first_number bigint NOT NULL,
    last_time bigint NOT NULL,
    last_number bigint NOT NULL,
    lowest_number bigint,
    highest_number bigint,
    PRIMARY KEY (exchange, product_id, resolution, "timestamp")
) WITH (fillfactor = 50);

CREATE INDEX candles_open ON candles (exchange, product_id) WHERE NOT closed;
CREATE INDEX candles_incomplete ON candles (exchange, product_id, "timestamp") WHERE NOT complete;

CREATE TABLE gaps (
    exchange text NOT NULL,
    product_id text NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    missing bigint NOT NULL,
    status text NOT NULL,
    reason text NOT NULL,
    opened_time bigint NOT NULL,
    closed_time bigint,
    PRIMARY KEY (exchange, product_id, first, last)
);
CREATE INDEX gaps_opened ON gaps (opened_time DESC);

-- One row for each product that a feed has ever published.
CREATE TABLE feed_products (
    exchange text NOT NULL,
    product_id text NOT NULL,
    venue text NOT NULL,
    contiguous_number bigint,
    last_trade_time bigint,
    last_message_time bigint,
    open_gaps int NOT NULL,
    written_time bigint NOT NULL,
    PRIMARY KEY (exchange, product_id)
) WITH (fillfactor = 50);
