//! Halts, dead-man switches and alerts.

use super::Kind::{Count, Flag, Id, Instant, Named, Range, Text};
use super::{HALT_MODE, Schema, may, must};

pub(super) const SCHEMAS: &[Schema] = &[
    Schema {
        name: "Halt",
        about: "A stop that a person or a rule engaged.",
        closed: false,
        fields: &[
            must("id", Id("hlt_"), "Its identifier."),
            must("scope", Text, "What it covers."),
            must("mode", HALT_MODE, "How far it goes."),
            must("include_protective", Flag, "It cancels orders that only reduce, too."),
            must("reason", Text, "Why."),
            must("engaged_by", Text, "Who or what engaged it."),
            must("engaged_at", Instant, "When."),
            must("local", Flag, "The database does not have it yet."),
            may("resumed_by", Text, "Who ended it."),
            may("resumed_at", Instant, "When."),
            may("progress", Named("HaltProgress"), "How far it has come, if it cancels."),
        ],
    },
    Schema {
        name: "DeadMan",
        about: "A switch that halts when nobody renews it.",
        closed: false,
        fields: &[
            must("scope", Text, "What it halts."),
            must("timeout_s", Count, "Seconds within which it has to be renewed."),
            must("mode", HALT_MODE, "How far the halt goes."),
            must("include_protective", Flag, "It cancels orders that only reduce, too."),
            must("armed_by", Text, "Who armed it."),
            must("renewed_at", Instant, "When it was last renewed."),
            may("fires_at", Instant, "When it fires if nobody renews it."),
            may("fired_at", Instant, "When it fired."),
        ],
    },
    Schema {
        name: "Disarmed",
        about: "A switch is disarmed.",
        closed: false,
        fields: &[must("disarmed", Flag, "It is.")],
    },
    Schema {
        name: "HaltProgress",
        about: "How far a halt that cancels or flattens has come.",
        closed: false,
        fields: &[
            must("orders_to_cancel", Count, "Orders that it takes back."),
            must("orders_canceled", Count, "Of these, those that ended without filling."),
            must("orders_filled", Count, "Those that had filled before the cancel came."),
            must("orders_working", Count, "Those that still work."),
            must("orders_unknown", Count, "Those of which is not known what became of them."),
            must("positions_to_close", Count, "Positions that it closes."),
            must("positions_flat", Count, "Of these, those that are flat by both books."),
            must("is_done", Flag, "Nothing is left to do."),
        ],
    },
    Schema {
        name: "Alert",
        about: "Something that people are told of until one acknowledges it.",
        closed: false,
        fields: &[
            must("id", Id("alr_"), "Its identifier."),
            must("at", Instant, "When it was raised."),
            must("code", Text, "What."),
            must("severity", Text, "How urgent."),
            must("subject", Text, "What it is about."),
            must("detail", Text, "In words and numbers."),
            must("told", Count, "How often it was told."),
            may("acknowledged_by", Text, "Who acknowledged it."),
            may("acknowledged_at", Instant, "When."),
        ],
    },
    Schema {
        name: "AlertChannel",
        about: "A way on which alerts go out.",
        closed: false,
        fields: &[
            must("channel", Text, "`mail`, `webhook` or `chat`."),
            may("tested_at", Instant, "When it last carried a test."),
        ],
    },
    Schema {
        name: "DeadManSet",
        about: "A dead-man switch to be armed or renewed.",
        closed: true,
        fields: &[
            must("timeout_s", Range(1, 86_400), "Seconds within which it has to be renewed."),
            may("mode", HALT_MODE, "How far the halt goes; cancel if absent."),
            may("include_protective", Flag, "Whether it cancels orders that only reduce, too."),
        ],
    },
    Schema {
        name: "HaltEngage",
        about: "A halt to be.",
        closed: true,
        fields: &[
            may(
                "scope",
                Text,
                "`global`, `org`, `org:ID`, `account:ID`, `strategy:ID`, `webhook:ID` or \
                 `instrument:SYMBOL`; the organization if absent.",
            ),
            may("mode", HALT_MODE, "How far it goes; block if absent."),
            may("include_protective", Flag, "Whether it cancels orders that only reduce, too."),
            may("reason", Text, "Why, up to 256 characters."),
        ],
    },
];
