-- The order lab. Prices and quantities are in the symbol's own units, amounts in the asset's; times are nanoseconds.

-- What may be traded, as the engines have it. Read by whoever checks an order before it is on the journal.
CREATE TABLE symbols (
    symbol text PRIMARY KEY,
    market_group int NOT NULL,
    base text NOT NULL,
    quote text NOT NULL,
    tick_size numeric NOT NULL,
    lot_size numeric NOT NULL,
    reference_price numeric NOT NULL,
    min_quantity numeric,
    max_quantity numeric,
    min_notional numeric NOT NULL,
    max_notional numeric,
    band_bps int NOT NULL,
    maker_fee_bps int NOT NULL,
    taker_fee_bps int NOT NULL,
    halted boolean NOT NULL
);

-- Who may do what. The keys themselves are nowhere: 256 random bits need no slow hash.
CREATE TABLE api_keys (
    key_hash bytea PRIMARY KEY,
    account text NOT NULL,
    scopes text[] NOT NULL,
    label text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- The ids that clients gave orders and transfers, written before what they name is published. ``symbol`` is an order's.
CREATE TABLE order_ids (
    account text NOT NULL,
    id text NOT NULL,
    market_group int NOT NULL,
    symbol text,
    body_hash bytea NOT NULL,
    received_time bigint NOT NULL,
    PRIMARY KEY (account, id)
);
CREATE INDEX order_ids_by_time ON order_ids (received_time);

-- An order as it stands. ``number`` is the position of its command in the group's journal.
CREATE TABLE orders (
    market_group int NOT NULL,
    number bigint NOT NULL,
    account text NOT NULL,
    id text NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL,
    type text NOT NULL,
    time_in_force text NOT NULL,
    post_only boolean NOT NULL,
    self_trade text NOT NULL,
    price numeric,
    stop_price numeric,
    expire_time bigint,
    quantity numeric NOT NULL,
    remaining numeric NOT NULL,
    filled numeric NOT NULL,
    filled_quote numeric NOT NULL,
    fee numeric NOT NULL,
    state text NOT NULL,
    reason text,
    received_time bigint NOT NULL,
    updated_time bigint NOT NULL,
    PRIMARY KEY (market_group, number)
);
CREATE INDEX orders_by_id ON orders (account, id, number DESC);
CREATE INDEX orders_by_account ON orders (account, received_time DESC);
CREATE INDEX orders_open ON orders (account, symbol)
    WHERE state IN ('received', 'accepted', 'resting', 'partially_filled');
CREATE INDEX orders_resting ON orders (symbol, side, price)
    WHERE state IN ('resting', 'partially_filled');

-- Every step of every order's life. ``ordinal`` numbers the steps that one command caused; a step that is a fill names
-- its execution, at whose price and quantity it is.
CREATE TABLE order_steps (
    market_group int NOT NULL,
    number bigint NOT NULL,
    input_offset bigint NOT NULL,
    ordinal int NOT NULL,
    state text NOT NULL,
    reason text,
    price numeric,
    quantity numeric,
    remaining numeric NOT NULL,
    execution_sequence bigint,
    time bigint NOT NULL,
    PRIMARY KEY (market_group, number, input_offset, ordinal)
);

CREATE TABLE executions (
    market_group int NOT NULL,
    sequence bigint NOT NULL,
    symbol text NOT NULL,
    price numeric NOT NULL,
    quantity numeric NOT NULL,
    taker_side text NOT NULL,
    maker_account text NOT NULL,
    maker_id text NOT NULL,
    maker_number bigint NOT NULL,
    maker_fee numeric NOT NULL,
    taker_account text NOT NULL,
    taker_id text NOT NULL,
    taker_number bigint NOT NULL,
    taker_fee numeric NOT NULL,
    time bigint NOT NULL,
    PRIMARY KEY (market_group, sequence)
);
CREATE INDEX executions_by_maker ON executions (maker_account, time DESC);
CREATE INDEX executions_by_taker ON executions (taker_account, time DESC);
CREATE INDEX executions_by_symbol ON executions (symbol, time DESC);

-- Deposits and withdrawals, those that were refused too. ``amount`` is below zero for what went out.
CREATE TABLE transfers (
    market_group int NOT NULL,
    sequence bigint NOT NULL,
    account text NOT NULL,
    id text NOT NULL,
    asset text NOT NULL,
    amount numeric NOT NULL,
    refused text,
    time bigint NOT NULL,
    PRIMARY KEY (market_group, sequence)
);
CREATE INDEX transfers_by_account ON transfers (account, time DESC);

-- Every account, ``world`` and ``fees`` included: the sum of an asset over all of a group is zero.
CREATE TABLE balances (
    market_group int NOT NULL,
    account text NOT NULL,
    asset text NOT NULL,
    available numeric NOT NULL,
    held numeric NOT NULL,
    PRIMARY KEY (market_group, account, asset)
);
CREATE INDEX balances_by_account ON balances (account);

-- The engine's state up to before ``next_offset``, so that it need not begin with the journal's first command. ``state``
-- is compressed by zlib; the hash is of what it is without. ``clock_time`` is the journal's time at its last clock command.
CREATE TABLE matching_snapshots (
    market_group int NOT NULL,
    next_offset bigint NOT NULL,
    log_id text NOT NULL,
    version int NOT NULL,
    state_hash text NOT NULL,
    state bytea NOT NULL,
    clock_time bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (market_group, next_offset)
);
