-- The foundation. Words in braces are put in by dialect.rs; everything else is the same text on
-- SQLite and PostgreSQL. Integers are BIGINT: times in microseconds, money in units of 10^-8.
-- Small rows lie in their key's tree (clustered). Rows of more than a quarter of a page do not: there
-- SQLite would give each a page of its own.

CREATE TABLE meta (
    name {text} NOT NULL PRIMARY KEY,
    value {text} NOT NULL
){strict};

CREATE TABLE organizations (
    id {bytes} NOT NULL PRIMARY KEY,
    name {text} NOT NULL UNIQUE,
    limits_version {int} NOT NULL,
    strategies_version {int} NOT NULL,
    overrides_until {int} NOT NULL,
    created_at {int} NOT NULL
){strict};

CREATE TABLE accounts (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    name {text} NOT NULL,
    broker {text} NOT NULL,
    broker_account {text} NOT NULL,
    currency {text} NOT NULL,
    state {text} NOT NULL,
    orders_minute {bytes} NOT NULL,
    fills_cursor {text},
    created_at {int} NOT NULL,
    session {text} NOT NULL,
    loss_reset {text} NOT NULL,
    next_session {text},
    next_loss_reset {text},
    running_since {int},
    next_begins_at {int}
){strict};

-- The days of trading that an account had before a change of them, and until when.
CREATE TABLE past_days (
    account_id {bytes} NOT NULL REFERENCES accounts (id),
    held_until {int} NOT NULL,
    session {text} NOT NULL,
    loss_reset {text} NOT NULL,
    next_session {text},
    next_loss_reset {text},
    running_since {int},
    next_begins_at {int},
    PRIMARY KEY (account_id, held_until)
){strict};

CREATE TABLE instruments (
    account_id {bytes} NOT NULL REFERENCES accounts (id),
    symbol {text} NOT NULL,
    tick {int} NOT NULL,
    lot {int} NOT NULL,
    quantity_min {int} NOT NULL,
    point_value {int} NOT NULL,
    currency {text} NOT NULL,
    calendar {text},
    PRIMARY KEY (account_id, symbol)
){strict};

CREATE TABLE webhooks (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    name {text} NOT NULL,
    token {text} NOT NULL UNIQUE,
    secret_hash {bytes} NOT NULL,
    signing_secret {bytes},
    forms {text} NOT NULL,
    allow {text} NOT NULL,
    client_certificate {text},
    dry_run {int} NOT NULL,
    rate_per_s {int} NOT NULL,
    max_age_s {int} NOT NULL,
    mapping {text},
    state {text} NOT NULL,
    created_at {int} NOT NULL,
    symbols {text} NOT NULL
){strict};

CREATE TABLE strategies (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    name {text} NOT NULL,
    webhook_id {bytes} REFERENCES webhooks (id),
    account_id {bytes} NOT NULL REFERENCES accounts (id),
    symbol {text} NOT NULL,
    symbol_source {text} NOT NULL,
    quantity {int} NOT NULL,
    sizing {text} NOT NULL,
    on_opposite {text} NOT NULL,
    pyramiding {text} NOT NULL,
    short_selling {text} NOT NULL,
    send_within_s {int} NOT NULL,
    schedule {text},
    state {text} NOT NULL,
    created_at {int} NOT NULL,
    followers {text} NOT NULL,
    require_leader {int} NOT NULL,
    take_profit {text},
    stop_loss {text},
    on_naked {text} NOT NULL,
    expected_every_s {int},
    percent {int},
    fee_per_unit {int} NOT NULL,
    stop_ticks_min {int} NOT NULL,
    entry_ttl_s {int},
    blind_market {int} NOT NULL,
    blind_quantity_max {int} NOT NULL,
    adopt {int} NOT NULL,
    key_id {bytes},
    auto_roll {int} NOT NULL,
    quantity_fallback {int} NOT NULL,
    quantity_clamp {int} NOT NULL
){strict};

CREATE INDEX strategies_webhook ON strategies (webhook_id, id);

CREATE INDEX strategies_source_key_id ON strategies (key_id, id) WHERE key_id IS NOT NULL;

CREATE INDEX strategies_symbol ON strategies (org_id, symbol, id);

CREATE TABLE limits (
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    scope {text} NOT NULL,
    name {text} NOT NULL,
    value {int} NOT NULL,
    version {int} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (org_id, scope, name)
){strict};

-- The history of limits, to which rows are only added: an order names the version that cleared it.
CREATE TABLE limit_versions (
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    version {int} NOT NULL,
    made_at {int} NOT NULL,
    made_by {text} NOT NULL,
    confirmed_by {text},
    reason {text},
    content_sha256 {bytes} NOT NULL,
    changed {int} NOT NULL,
    PRIMARY KEY (org_id, version)
){clustered};

CREATE TABLE limit_changes (
    org_id {bytes} NOT NULL,
    version {int} NOT NULL,
    scope {text} NOT NULL,
    name {text} NOT NULL,
    value_before {int},
    value {int},
    PRIMARY KEY (org_id, scope, name, version)
){clustered};

-- Orders that may pass one limit; until when an organization has any to look for stands in its row.
CREATE TABLE limit_overrides (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    account_id {bytes} NOT NULL REFERENCES accounts (id),
    symbol {text} NOT NULL,
    side {text} NOT NULL,
    quantity {int} NOT NULL,
    name {text} NOT NULL,
    reason {text} NOT NULL,
    valid_s {int} NOT NULL,
    requested_by {text} NOT NULL,
    requested_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    code {bytes} NOT NULL,
    confirmed_by {text},
    confirmed_at {int},
    withdrawn_by {text},
    order_id {bytes},
    used_at {int}
){strict};

CREATE INDEX limit_overrides_account ON limit_overrides (account_id, expires_at);

CREATE INDEX limit_overrides_org ON limit_overrides (org_id, id);

CREATE INDEX limit_changes_version ON limit_changes (org_id, version);

CREATE TABLE rolls (
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    root {text} NOT NULL,
    symbol {text} NOT NULL,
    expires_on {text} NOT NULL,
    first_notice_on {text},
    roll_at {int},
    updated_at {int} NOT NULL,
    PRIMARY KEY (org_id, symbol)
){strict};

-- Positions that are on their way from a month to the next: the exit, then the entry for what it filled.
CREATE TABLE auto_rolls (
    account_id {bytes} NOT NULL,
    strategy_id {bytes} NOT NULL,
    symbol {text} NOT NULL,
    org_id {bytes} NOT NULL,
    next_symbol {text} NOT NULL,
    side {text} NOT NULL,
    quantity {int} NOT NULL,
    stays_closed {int} NOT NULL,
    exit_id {bytes} NOT NULL,
    entry_id {bytes},
    had_stop {int} NOT NULL,
    begun_at {int} NOT NULL,
    PRIMARY KEY (account_id, strategy_id, symbol)
){clustered};

CREATE TABLE halts (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes},
    scope {text} NOT NULL,
    mode {text} NOT NULL,
    reason {text} NOT NULL,
    engaged_by {text} NOT NULL,
    engaged_at {int} NOT NULL,
    resumed_by {text},
    resumed_at {int},
    include_protective {int} NOT NULL
){strict};

-- How far a halt that cancels or closes has come: a row once everything was looked at.
CREATE TABLE halt_looks (
    halt_id {bytes} NOT NULL PRIMARY KEY,
    looked_at {int} NOT NULL
){clustered};

-- The orders that a halt takes back.
CREATE TABLE halt_orders (
    halt_id {bytes} NOT NULL,
    order_id {bytes} NOT NULL,
    PRIMARY KEY (halt_id, order_id)
){clustered};

-- The positions that a halt closes.
CREATE TABLE halt_positions (
    halt_id {bytes} NOT NULL,
    account_id {bytes} NOT NULL,
    symbol {text} NOT NULL,
    flat_at {int},
    PRIMARY KEY (halt_id, account_id, symbol)
){clustered};

-- Who has to renew a promise to be alive, and what happens if nobody does.
CREATE TABLE dead_men (
    org_id {bytes} NOT NULL,
    scope {text} NOT NULL,
    timeout_s {int} NOT NULL,
    mode {text} NOT NULL,
    include_protective {int} NOT NULL,
    armed_by {text} NOT NULL,
    renewed_at {int} NOT NULL,
    fired_at {int},
    PRIMARY KEY (org_id, scope)
){strict};

-- What is done when an account is compromised: the step that each lockdown is at, and what people said.
CREATE TABLE lockdowns (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    halt_id {bytes} NOT NULL,
    reason {text} NOT NULL,
    engaged_by {text} NOT NULL,
    engaged_at {int} NOT NULL,
    step {text} NOT NULL,
    step_at {int} NOT NULL,
    positions {text},
    answered_by {text},
    answered_at {int},
    flatten_halt_id {bytes},
    confirmed_by {text},
    confirmed_at {int},
    ended_by {text},
    ended_at {int}
){strict};

CREATE UNIQUE INDEX lockdowns_in_force ON lockdowns (org_id) WHERE ended_at IS NULL;

CREATE INDEX lockdowns_org ON lockdowns (org_id, id);

-- What each step did.
CREATE TABLE lockdown_steps (
    lockdown_id {bytes} NOT NULL,
    step {text} NOT NULL,
    began_at {int} NOT NULL,
    done_at {int},
    done {int} NOT NULL,
    failed {int} NOT NULL,
    note {text},
    PRIMARY KEY (lockdown_id, step)
){strict};

-- The webhooks that a lockdown gave other secrets: nobody has seen these.
CREATE TABLE lockdown_webhooks (
    lockdown_id {bytes} NOT NULL,
    webhook_id {bytes} NOT NULL,
    secret_hash {bytes} NOT NULL,
    PRIMARY KEY (lockdown_id, webhook_id)
){clustered};

CREATE TABLE data_keys (
    org_id {bytes} NOT NULL,
    purpose {text} NOT NULL,
    version {int} NOT NULL,
    wrapped {bytes} NOT NULL,
    created_at {int} NOT NULL,
    -- The name of the key inside, as it stands in every record that it sealed.
    key_id {bytes} NOT NULL,
    PRIMARY KEY (org_id, purpose, version)
){strict};

CREATE INDEX data_keys_by_key_id ON data_keys (key_id);

-- Every version of a source's key that ever wrapped a data key: what a copy of the database that was
-- made meanwhile opens with.
CREATE TABLE wrappings (
    key_id {bytes} NOT NULL,
    source_key {text} NOT NULL,
    PRIMARY KEY (key_id, source_key)
){clustered};

-- Versions of a source's key that an audit entry names. At the version before stands who has the source
-- make the next one.
CREATE TABLE source_keys (
    source_key {text} NOT NULL PRIMARY KEY,
    rotated_by {text},
    rotated_at {int}
){strict};

-- Data keys that were erased, so that what they sealed never opens again.
CREATE TABLE erased_keys (
    org_id {bytes} NOT NULL,
    purpose {text} NOT NULL,
    version {int} NOT NULL,
    erased_at {int} NOT NULL,
    PRIMARY KEY (org_id, purpose, version)
){clustered};

CREATE TABLE signals (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL,
    webhook_id {bytes},
    received_at {int} NOT NULL,
    status {text} NOT NULL,
    code {text},
    message {text} NOT NULL,
    body_sha256 {bytes} NOT NULL,
    checks {text} NOT NULL,
    accounts {text} NOT NULL,
    key_id {bytes},
    body {bytes} NOT NULL
){strict};

-- Each key lies at a random place, so a row holds no more than it must.
CREATE TABLE signal_keys (
    dedup_key {bytes} NOT NULL PRIMARY KEY,
    signal_id {bytes} NOT NULL
){clustered};

CREATE TABLE orders (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL,
    signal_id {bytes},
    account_id {bytes} NOT NULL,
    strategy_id {bytes},
    symbol {text} NOT NULL,
    side {text} NOT NULL,
    order_type {text} NOT NULL,
    time_in_force {text} NOT NULL,
    quantity {int} NOT NULL,
    limit_price {int},
    stop_price {int},
    purpose {text} NOT NULL,
    state {text} NOT NULL,
    live {int} NOT NULL,
    code {text},
    filled_quantity {int} NOT NULL,
    average_price {int},
    broker_order_id {text},
    cancel_requested {int} NOT NULL,
    send_by {int},
    attempt_until {int},
    limits_version {int} NOT NULL,
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    key_id {bytes},
    tag {text},
    expires_at {int},
    last_change {text},
    passes_halts {int} NOT NULL,
    bracket {text},
    leg {text},
    parent_id {bytes}
){clustered};

CREATE INDEX orders_legs ON orders (account_id, symbol, id) WHERE live = 1 AND leg IS NOT NULL;

CREATE INDEX orders_live ON orders (account_id, symbol, id) WHERE live = 1;
CREATE INDEX orders_live_org ON orders (org_id, id) WHERE live = 1;
CREATE INDEX orders_parent ON orders (parent_id, leg, id) WHERE leg IS NOT NULL;

CREATE TABLE fills (
    account_id {bytes} NOT NULL,
    broker_fill_id {text} NOT NULL,
    id {bytes} NOT NULL,
    org_id {bytes} NOT NULL,
    order_id {bytes} NOT NULL,
    symbol {text} NOT NULL,
    side {text} NOT NULL,
    quantity {int} NOT NULL,
    price {int} NOT NULL,
    fee {int} NOT NULL,
    at {int} NOT NULL,
    PRIMARY KEY (broker_fill_id, account_id)
){clustered};

CREATE INDEX fills_org_at ON fills (org_id, at, id);

CREATE TABLE exposures (
    account_id {bytes} NOT NULL,
    symbol {text} NOT NULL,
    strategy_id {bytes} NOT NULL,
    quantity {int} NOT NULL,
    cost {bytes} NOT NULL,
    realized {bytes} NOT NULL,
    fees {int} NOT NULL,
    entry_buy {int} NOT NULL,
    entry_sell {int} NOT NULL,
    exit_buy {int} NOT NULL,
    exit_sell {int} NOT NULL,
    entry_sent_at {int},
    bracket {text},
    reported {text},
    unclosed_since {int},
    updated_at {int} NOT NULL,
    PRIMARY KEY (account_id, symbol, strategy_id)
){clustered};

CREATE INDEX exposures_bracket ON exposures (account_id, symbol, strategy_id) WHERE bracket IS NOT NULL;

CREATE INDEX exposures_strategy ON exposures (strategy_id);

-- Only where a limit asks for it.
CREATE TABLE recent_entries (
    account_id {bytes} NOT NULL,
    symbol {text} NOT NULL,
    strategy_id {bytes} NOT NULL,
    entries {bytes} NOT NULL,
    PRIMARY KEY (account_id, symbol, strategy_id)
){clustered};

CREATE TABLE losses (
    account_id {bytes} NOT NULL,
    scope {text} NOT NULL,
    watch {text} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (account_id, scope)
){clustered};

CREATE TABLE rates (
    org_id {bytes} NOT NULL,
    base {text} NOT NULL,
    quote {text} NOT NULL,
    rate {int} NOT NULL,
    source {text} NOT NULL,
    at {int} NOT NULL,
    valid_until {int} NOT NULL,
    PRIMARY KEY (org_id, base, quote)
){clustered};

CREATE TABLE closes (
    broker {text} NOT NULL,
    symbol {text} NOT NULL,
    price {int} NOT NULL,
    at {int} NOT NULL,
    PRIMARY KEY (broker, symbol)
){clustered};

-- What was quoted of what somebody held.
CREATE TABLE marks (
    at {int} NOT NULL,
    broker {text} NOT NULL,
    symbol {text} NOT NULL,
    bid {int} NOT NULL,
    ask {int} NOT NULL,
    closed {int} NOT NULL,
    PRIMARY KEY (at, broker, symbol)
){clustered};

-- What brokers said of the equity of accounts: at most one row a minute of each, when it changed.
CREATE TABLE equities (
    org_id {bytes} NOT NULL,
    at {int} NOT NULL,
    account_id {bytes} NOT NULL,
    equity {int} NOT NULL,
    heard_until {int} NOT NULL,
    PRIMARY KEY (org_id, at, account_id)
){clustered};

CREATE INDEX equities_account ON equities (account_id, at);

CREATE TABLE findings (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL,
    at {int} NOT NULL,
    code {text} NOT NULL,
    severity {text} NOT NULL,
    subject {text} NOT NULL,
    detail {text} NOT NULL
){clustered};

CREATE TABLE alerts (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL,
    code {text} NOT NULL,
    severity {text} NOT NULL,
    subject {text} NOT NULL,
    detail {text} NOT NULL,
    raised_at {int} NOT NULL,
    grouped_by {text},
    told {int} NOT NULL,
    next_at {int},
    acknowledged_by {text},
    acknowledged_at {int}
){clustered};

CREATE INDEX alerts_due ON alerts (next_at) WHERE next_at IS NOT NULL;

CREATE INDEX alerts_grouped ON alerts (org_id, grouped_by, raised_at) WHERE grouped_by IS NOT NULL;

-- When a way for alerts last carried a test, and to where, as a hash.
CREATE TABLE alert_channels (
    channel {text} NOT NULL PRIMARY KEY,
    address {text} NOT NULL,
    tested_at {int} NOT NULL
){clustered};

CREATE TABLE audit_entries (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL,
    object_id {bytes} NOT NULL,
    leaf {text} NOT NULL,
    payload {text} NOT NULL,
    salt {bytes} NOT NULL
){strict};

CREATE INDEX audit_entries_object ON audit_entries (object_id);

-- Entries whose identifiers follow one another are one row here: a run.
CREATE TABLE audit_queue (
    first_id {bytes} NOT NULL PRIMARY KEY,
    leaf_hashes {bytes} NOT NULL
){clustered};

CREATE TABLE audit_log (
    position {int} NOT NULL PRIMARY KEY,
    first_id {bytes} NOT NULL UNIQUE,
    last_id {bytes} NOT NULL
){strict};

CREATE TABLE audit_tiles (
    level {int} NOT NULL,
    number {int} NOT NULL,
    hashes {bytes} NOT NULL,
    PRIMARY KEY (level, number)
){clustered};

CREATE TABLE ledger (
    name {text} NOT NULL PRIMARY KEY,
    origin {text} NOT NULL,
    size {int} NOT NULL,
    checkpoint {text} NOT NULL,
    verifier {text} NOT NULL,
    signing_key {bytes} NOT NULL,
    incarnation {int} NOT NULL,
    began_at {int} NOT NULL,
    updated_at {int} NOT NULL
){strict};

-- The incarnations before this one, each with the last checkpoint that this database has of it, and the
-- newest one that was seen outside when it ended.
CREATE TABLE past_incarnations (
    number {int} NOT NULL PRIMARY KEY,
    origin {text} NOT NULL,
    verifier {text} NOT NULL,
    size {int} NOT NULL,
    checkpoint {text} NOT NULL,
    published {text},
    ended_at {int} NOT NULL
){strict};

CREATE TABLE acme_accounts (
    directory {text} NOT NULL PRIMARY KEY,
    credentials {bytes} NOT NULL,
    created_at {int} NOT NULL
){strict};

CREATE TABLE leases (
    name {text} NOT NULL PRIMARY KEY,
    holder {text} NOT NULL,
    fence {int} NOT NULL,
    until {int} NOT NULL
){strict};

-- What the guarded rows of a kind in an organization come to; the audit log says the same. Zeros are
-- the organization of what belongs to none.
CREATE TABLE row_seals (
    kind {text} NOT NULL,
    org_id {bytes} NOT NULL,
    number {int} NOT NULL,
    sum {bytes} NOT NULL,
    code {bytes} NOT NULL,
    PRIMARY KEY (kind, org_id)
){clustered};

-- What changed of what every node knows by heart. The one row of the head is locked until the commit,
-- so numbers are dense and in the order of the commits.
CREATE TABLE change_head (
    id {int} NOT NULL PRIMARY KEY,
    newest {int} NOT NULL
){strict};

INSERT INTO change_head (id, newest) VALUES (1, 0);

CREATE TABLE changes (
    number {int} NOT NULL PRIMARY KEY,
    subject {text} NOT NULL,
    row_id {bytes} NOT NULL
){clustered};
