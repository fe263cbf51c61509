-- People, keys, and what they asked for. The rules for words in braces are those of the foundation.

CREATE TABLE users (
    id {bytes} NOT NULL PRIMARY KEY,
    email {text} NOT NULL,
    email_key {text} NOT NULL UNIQUE,
    password_hash {text},
    password_changed_at {int},
    password_failures {int} NOT NULL,
    password_locked_until {int} NOT NULL,
    factor_failures {int} NOT NULL,
    factor_locked_until {int} NOT NULL,
    recovery_set {text},
    created_at {int} NOT NULL,
    code {bytes} NOT NULL,
    password_code {bytes}
){strict};

CREATE TABLE memberships (
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    user_id {bytes} NOT NULL REFERENCES users (id),
    role {text} NOT NULL,
    state {text} NOT NULL,
    epoch {int} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (org_id, user_id)
){strict};

CREATE TABLE invitations (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    email {text} NOT NULL,
    email_key {text} NOT NULL,
    role {text} NOT NULL,
    token_hash {bytes} NOT NULL UNIQUE,
    created_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    code {bytes} NOT NULL,
    UNIQUE (org_id, email_key)
){strict};

CREATE TABLE roles (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    name {text} NOT NULL,
    permissions {text} NOT NULL,
    created_at {int} NOT NULL,
    UNIQUE (org_id, name)
){strict};

CREATE TABLE policies (
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    name {text} NOT NULL,
    value {text} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (org_id, name)
){strict};

CREATE TABLE factors (
    id {bytes} NOT NULL PRIMARY KEY,
    user_id {bytes} NOT NULL REFERENCES users (id),
    kind {text} NOT NULL,
    name {text} NOT NULL,
    credential_id {bytes} UNIQUE,
    material {bytes} NOT NULL,
    last_step {int} NOT NULL,
    confirmed_at {int},
    last_used_at {int},
    created_at {int} NOT NULL,
    code {bytes} NOT NULL
){strict};

CREATE INDEX factors_user ON factors (user_id);

CREATE TABLE recovery_codes (
    user_id {bytes} NOT NULL REFERENCES users (id),
    code_hash {bytes} NOT NULL,
    created_at {int} NOT NULL,
    code {bytes} NOT NULL,
    PRIMARY KEY (user_id, code_hash)
){strict};

CREATE TABLE sessions (
    id {bytes} NOT NULL PRIMARY KEY,
    user_id {bytes} NOT NULL REFERENCES users (id),
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    kind {text} NOT NULL,
    token_hash {bytes} UNIQUE,
    methods {text} NOT NULL,
    address {text} NOT NULL,
    user_agent {text} NOT NULL,
    authenticated_at {int} NOT NULL,
    factor_at {int},
    last_seen_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    code {bytes} NOT NULL,
    ended_at {int},
    ended_by {text}
){strict};

CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE refresh_tokens (
    token_hash {bytes} NOT NULL PRIMARY KEY,
    session_id {bytes} NOT NULL REFERENCES sessions (id),
    issued_at {int} NOT NULL,
    used_at {int},
    code {bytes} NOT NULL
){strict};

CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

CREATE TABLE challenges (
    token_hash {bytes} NOT NULL PRIMARY KEY,
    user_id {bytes},
    kind {text} NOT NULL,
    content {bytes} NOT NULL,
    attempts {int} NOT NULL,
    expires_at {int} NOT NULL,
    code {bytes} NOT NULL
){strict};

CREATE TABLE api_keys (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    user_id {bytes},
    name {text} NOT NULL,
    algorithm {text} NOT NULL,
    material {bytes} NOT NULL,
    scopes {text} NOT NULL,
    accounts {text} NOT NULL,
    instruments {text} NOT NULL,
    allow {text} NOT NULL,
    tier {text} NOT NULL,
    max_notional {int},
    environment {text},
    strategy_id {bytes},
    state {text} NOT NULL,
    rotated_from {bytes},
    expires_at {int} NOT NULL,
    created_at {int} NOT NULL,
    last_used_at {int},
    last_address {text}
){strict};

CREATE INDEX api_keys_org ON api_keys (org_id, id);

CREATE TABLE key_usage (
    key_id {bytes} NOT NULL,
    hour {int} NOT NULL,
    calls {int} NOT NULL,
    orders {int} NOT NULL,
    refusals {int} NOT NULL,
    PRIMARY KEY (key_id, hour)
){clustered};

CREATE TABLE key_days (
    caller_id {bytes} NOT NULL,
    node {text} NOT NULL,
    requests {bytes} NOT NULL,
    orders {bytes} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (caller_id, node)
){clustered};

CREATE TABLE nonces (
    key_id {bytes} NOT NULL,
    nonce_hash {bytes} NOT NULL,
    at {int} NOT NULL,
    PRIMARY KEY (key_id, nonce_hash)
){clustered};

CREATE INDEX nonces_at ON nonces (at);

CREATE TABLE idempotency (
    org_id {bytes} NOT NULL,
    caller {text} NOT NULL,
    idempotency_key {text} NOT NULL,
    fingerprint {bytes} NOT NULL,
    order_id {bytes},
    refusal {text},
    answer {text},
    at {int} NOT NULL,
    PRIMARY KEY (org_id, caller, idempotency_key)
){clustered};

CREATE INDEX idempotency_at ON idempotency (at);

CREATE TABLE pending_actions (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    command {text} NOT NULL,
    summary {text} NOT NULL,
    requested_by {text} NOT NULL,
    requested_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    code {bytes} NOT NULL,
    decided_by {text},
    decided_at {int},
    decision {text}
){strict};

CREATE TABLE token_keys (
    id {text} NOT NULL PRIMARY KEY,
    material {bytes} NOT NULL,
    verifier {text} NOT NULL,
    created_at {int} NOT NULL,
    retired_at {int}
){strict};

CREATE TABLE previous_secrets (
    webhook_id {bytes} NOT NULL PRIMARY KEY REFERENCES webhooks (id),
    secret_hash {bytes} NOT NULL,
    signing_secret {bytes},
    valid_until {int} NOT NULL
){strict};

-- Messages to people, and later alerts: what is to be sent, to where, and how it went. The content is
-- sealed, and emptied once the message has ended. An alert has no user.
CREATE TABLE outbox (
    id {bytes} NOT NULL PRIMARY KEY,
    org_id {bytes} NOT NULL REFERENCES organizations (id),
    user_id {bytes},
    channel {text} NOT NULL,
    topic {text} NOT NULL,
    destination {bytes},
    content {bytes} NOT NULL,
    state {text} NOT NULL,
    attempts {int} NOT NULL,
    next_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    created_at {int} NOT NULL
){strict};

CREATE INDEX outbox_due ON outbox (state, channel, next_at);
CREATE INDEX outbox_user ON outbox (user_id, created_at);
CREATE INDEX outbox_topic ON outbox (topic, created_at);

-- Who asked for a link to set a password anew, until it is looked up whether there is such a person.
CREATE TABLE reset_requests (
    id {bytes} NOT NULL PRIMARY KEY,
    content {bytes} NOT NULL
){strict};
