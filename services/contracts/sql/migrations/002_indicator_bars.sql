-- Closed bars as the indicators know them: what it takes to fold a series again from any bar on. A checkpoint is the
-- series' averages right after its bar, of the indicators that the signature names.
CREATE TABLE indicator_bars (
    exchange text NOT NULL,
    product_id text NOT NULL,
    resolution text NOT NULL,
    "timestamp" bigint NOT NULL,
    close double precision NOT NULL,
    signature text NOT NULL,
    checkpoint bytea NOT NULL,
    PRIMARY KEY (exchange, product_id, resolution, "timestamp")
) WITH (fillfactor = 50);
