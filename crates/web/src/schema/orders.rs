//! The shapes of orders.

use super::Kind::{
    Amount, Count, Flag, Id, Instant, List, Named, NullableText, OrNull, Text, Texts,
};
use super::{CHANGE_STATE, LEG, ORDER_STATE, ORDER_TYPE, SIDE, Schema, TIME_IN_FORCE, may, must};

pub(super) const SCHEMAS: &[Schema] = &[
    Schema {
        name: "Order",
        about: "An order.",
        closed: false,
        fields: &[
            must("id", Id("ord_"), "Its identifier."),
            may("signal_id", Id("sig_"), "The signal it came of."),
            must("account_id", Id("acc_"), "Its account."),
            may("strategy_id", Id("str_"), "Its strategy."),
            may("key_id", Id("key_"), "The API key that asked for it."),
            may("tag", Text, "What the caller calls it."),
            must("symbol", Text, "What it trades."),
            must("side", SIDE, "Which way."),
            must("type", ORDER_TYPE, "How it is priced."),
            must("time_in_force", TIME_IN_FORCE, "How long it works."),
            must("quantity", Amount, "How much."),
            must("filled_quantity", Amount, "How much has filled."),
            may("average_price", Amount, "Average price of the fills."),
            may("limit_price", Amount, "The limit price."),
            may("stop_price", Amount, "The stop price."),
            must("state", ORDER_STATE, "Where it is in its life."),
            must("reduce_only", Flag, "Whether it can only reduce a position."),
            may("leg", LEG, "Which leg of a bracket it is."),
            may("parent_id", Id("ord_"), "The entry whose levels a leg has."),
            may("one_cancels_other", Text, "Of a leg: `emulated`, the gateway cancels it."),
            may("code", Named("Code"), "Why it ended as it did."),
            must("client_order_id", Text, "The identifier the broker was given."),
            must("broker_order_id", NullableText, "The identifier the broker gave."),
            may("expires_at", Instant, "When it is canceled if it still works."),
            must("created_at", Instant, "When it was journaled."),
            must("updated_at", Instant, "When it last changed."),
            must("limits_version", Count, "The version of the limits that cleared it."),
            may("change", Named("Change"), "The last change of it that was asked for."),
        ],
    },
    Schema {
        name: "OrderCreate",
        about: "An order to be.",
        closed: true,
        fields: &[
            must("account_id", Id("acc_"), "The account it trades on."),
            must("symbol", Text, "What it trades."),
            must("side", SIDE, "Which way."),
            must("type", ORDER_TYPE, "How it is priced."),
            must("quantity", Amount, "How much."),
            may("limit_price", OrNull(&Amount), "Of a limit or stop-limit order, on the tick."),
            may("stop_price", OrNull(&Amount), "Of a stop or stop-limit order, on the tick."),
            may("time_in_force", OrNull(&TIME_IN_FORCE), "How long it works; `day` if absent."),
            may(
                "reduce_only",
                OrNull(&Flag),
                "It never increases the position; what is more is cut.",
            ),
            may(
                "expires_at",
                OrNull(&Instant),
                "It is canceled at this instant if it still works.",
            ),
            may("tag", OrNull(&Text), "What the caller calls it, 1 to 64 characters."),
            may("allow_repeat", OrNull(&Flag), "The same order may follow within 2 seconds."),
        ],
    },
    Schema {
        name: "Change",
        about: "A change of an order. While it is `wanted`, `sending` or `unknown` there is no other, but \
                 one that only reduces, which comes next.",
        closed: false,
        fields: &[
            must("state", CHANGE_STATE, "Where it is in its life."),
            may("code", Named("Code"), "Why it was not made."),
            may("quantity", Amount, "The quantity the order shall have."),
            may("limit_price", Amount, "The limit price it shall have."),
            may("stop_price", Amount, "The stop price it shall have."),
            may(
                "then_quantity",
                Amount,
                "The smaller quantity that is asked for next, after this.",
            ),
            must("asked_at", Instant, "When it was journaled."),
        ],
    },
    Schema {
        name: "OrderChange",
        about: "What an order shall be: at least one of these, and what is absent stays.",
        closed: true,
        fields: &[
            may(
                "quantity",
                Amount,
                "The whole quantity, filled included; what has filled already cancels the rest.",
            ),
            may("limit_price", Amount, "Of a limit or stop-limit order, on the tick."),
            may("stop_price", Amount, "Of a stop or stop-limit order, on the tick."),
        ],
    },
    Schema {
        name: "CancelAll",
        about: "Which orders to cancel; all of the organization if nothing is said.",
        closed: true,
        fields: &[
            may("account_id", Id("acc_"), "Only those of this account."),
            may("symbol", Text, "Only those of this instrument."),
            may("include_protective", Flag, "Those too that only reduce."),
        ],
    },
    Schema {
        name: "Canceled",
        about: "What a request to cancel many orders did.",
        closed: false,
        fields: &[
            must("canceled", Texts, "Orders that have ended, or whose cancel was asked for."),
            must("kept", Texts, "Orders that only reduce, and keep working."),
        ],
    },
    Schema {
        name: "Closing",
        about: "What closes a position.",
        closed: false,
        fields: &[
            must("account_id", Id("acc_"), "The account."),
            must("symbol", Text, "The instrument."),
            must("orders", List("Order"), "One for each strategy that holds some."),
            must("canceled", Texts, "Entries taken back, or whose cancel was asked for."),
        ],
    },
];
