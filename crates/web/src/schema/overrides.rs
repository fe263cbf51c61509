//! Overrides.

use super::{Amount, Count, Id, Instant, LIMIT_NAME, OneOf, Range, SIDE, Schema, Text, may, must};

pub(super) const SCHEMAS: &[Schema] = &[
    Schema {
        name: "Override",
        about: "One order that may pass one limit, because two people said so.",
        closed: false,
        fields: &[
            must("id", Id("ovr_"), "Its identifier."),
            must("account_id", Id("acc_"), "The account of the order."),
            must("symbol", Text, "What it trades."),
            must("side", SIDE, "Which way."),
            must("quantity", Amount, "At most so much."),
            must("limit", LIMIT_NAME, "The limit that does not stop it."),
            must("reason", Text, "Why."),
            must(
                "state",
                OneOf(|| vec!["requested", "confirmed", "used", "withdrawn", "expired"]),
                "Whether an order can use it.",
            ),
            must("valid_s", Count, "Seconds for which it is valid once it is confirmed."),
            must("requested_by", Text, "Who asked."),
            must("requested_at", Instant, "When."),
            may("confirmed_by", Text, "Who said yes."),
            may("confirmed_at", Instant, "When."),
            may("withdrawn_by", Text, "Who took it back."),
            must("expires_at", Instant, "Until when it waits, and once confirmed, is valid."),
            may("order_id", Id("ord_"), "The order that used it."),
            may("used_at", Instant, "When."),
        ],
    },
    Schema {
        name: "OverrideRequest",
        about: "An override that somebody asks for.",
        closed: true,
        fields: &[
            must("account_id", Id("acc_"), "The account of the order."),
            must("symbol", Text, "What it trades."),
            must("side", SIDE, "Which way."),
            must("quantity", Amount, "At most so much."),
            must("limit", LIMIT_NAME, "The limit that shall not stop it."),
            must("reason", Text, "Why, 1 to 256 characters."),
            may("minutes", Range(1, 15), "For how long once it is confirmed; 15 if absent."),
        ],
    },
];
