//! What changes about a thing, and what says that one is gone. In these bodies an absent member stays
//! as it is (RFC 7396).

use super::{
    ACTIVITY, Amount, Any, Flag, Id, LIMIT_NAME, LOSS_RESET, NullableObject, NullableText,
    ON_NAKED, ON_OPPOSITE, OPEN_POSITION, OneOf, PYRAMIDING, Range, SIZING, STRATEGY_STATE,
    SYMBOL_SOURCE, Schema, Text, Texts, may, must,
};

pub(super) const SCHEMAS: &[Schema] = &[
    Schema {
        name: "WebhookChanges",
        about: "What changes about a webhook; what is absent stays.",
        closed: true,
        fields: &[
            may("name", Text, "What people call it, 1 to 64 characters."),
            may(
                "allow",
                Texts,
                "Addresses in CIDR form, in place of those there are; none means any.",
            ),
            may(
                "preset",
                OneOf(|| vec!["tradingview"]),
                "Adds TradingView's addresses to `allow`, or to those there are.",
            ),
            may(
                "client_certificate",
                NullableText,
                "The name that the sender's TLS client certificate must show; null asks for none.",
            ),
            may("symbols", Texts, "The symbols that entries may name; empty means any."),
            may("dry_run", Flag, "Signals are judged, never traded."),
            may("rate_per_s", Range(1, 1_000_000), "Risk-increasing signals a second."),
            may("max_age_s", Range(1, 86_400), "Age in seconds of a fresh entry."),
            may(
                "forms",
                Texts,
                "`query`, `header`, `body`, `signature`; the answer holds a signing secret, once, \
                 if there was none.",
            ),
            may("mapping", NullableObject, "How to read the sender's own JSON; null reads ours."),
            may("state", ACTIVITY, "Whether it takes signals."),
        ],
    },
    Schema {
        name: "StrategyChanges",
        about: "What changes about a strategy; what is absent stays.",
        closed: true,
        fields: &[
            may("name", Text, "What people call it, 1 to 64 characters."),
            may("webhook", Id("whk_"), "The webhook it follows from now on."),
            may("key", Id("key_"), "The API key it follows from now on, not a webhook."),
            may("account", Id("acc_"), "The account it trades on; not while it holds anything."),
            may("followers", Texts, "Further accounts; one that holds anything stays."),
            may("require_leader", Flag, "Followers open nothing when the leader was refused."),
            may("symbol", Text, "What it trades; not while it holds anything."),
            may("quantity", Amount, "The size of an entry."),
            may("sizing", SIZING, "Where the size comes from."),
            may("quantity_fallback", Flag, "The quantity stands in where the payload says none."),
            may("quantity_clamp", Flag, "An entry over `max_order_quantity` is cut down to it."),
            may("percent", Amount, "The percentage of the equity that sizing by it takes."),
            may("fee_per_unit", Amount, "What a unit costs each way."),
            may("stop_ticks_min", Range(1, 10_000), "Least distance of a stop in ticks."),
            may("on_opposite", ON_OPPOSITE, "What an opposite signal does."),
            may("pyramiding", PYRAMIDING, "What a signal along the position does."),
            may("allow_short", Flag, "Whether a sale while flat opens a short."),
            may("symbol_source", SYMBOL_SOURCE, "Whether a signal may name another symbol."),
            may("send_within_s", Range(1, 300), "Seconds in which an entry must go."),
            may("entry_ttl_s", Any, "1 to 7,776,000 seconds; null for until the session ends."),
            may("schedule", NullableText, "When it may open something; null for at any time."),
            may("take_profit", NullableText, "Where the profit is taken; null for nowhere."),
            may("stop_loss", NullableText, "Where the loss is stopped; null for nowhere."),
            may("on_naked", ON_NAKED, "What happens to a position whose stop does not work."),
            may("expected_every_s", Any, "60 to 86,400 seconds; null for none."),
            may(
                "adopt",
                Flag,
                "What the account holds that nobody here opened becomes the strategy's, once. To \
                 switch that on needs a fresh factor, is a change of its own and takes 5 s.",
            ),
            may(
                "auto_roll",
                Flag,
                "Positions in a month that rolls are closed, and opened again in the next. Needs a \
                 continuous symbol; to switch that on needs a fresh factor.",
            ),
            may(
                "blind_market",
                Flag,
                "It may enter at the market while no reference price is fresh, inside the \
                 instrument's static band. To switch that on needs a fresh factor.",
            ),
            may("blind_quantity_max", Amount, "At most so much each time."),
            may(
                "shared_position",
                Flag,
                "Another strategy may trade the same on the same account.",
            ),
            may("state", STRATEGY_STATE, "Whether it trades."),
            may(
                "open_position",
                OPEN_POSITION,
                "With the state `off`: what becomes of what it holds. Required if it holds anything.",
            ),
        ],
    },
    Schema {
        name: "AccountChanges",
        about: "What changes about an account; what is absent stays.",
        closed: true,
        fields: &[
            may("name", Text, "What people call it, 1 to 64 characters."),
            may("state", ACTIVITY, "Whether it takes entries."),
            may("session", Text, "When its days begin, after the running session. See `Account`."),
            may("loss_reset", LOSS_RESET, "After a loss of the day, from the next session on."),
        ],
    },
    Schema {
        name: "Deleted",
        about: "What is gone.",
        closed: false,
        fields: &[
            must("deleted", Flag, "It is gone."),
            may("id", Text, "What it was."),
            may("scope", Text, "Of a limit: where it applied."),
            may("name", LIMIT_NAME, "Of a limit: what it bounded."),
        ],
    },
];
