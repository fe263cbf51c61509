//! Lockdown.

use super::Kind::{Amount, Count, Flag, Id, Instant, List, Text};
use super::{LOCKDOWN_POSITIONS, LOCKDOWN_STEP, Schema, may, must};

pub(super) const SCHEMAS: &[Schema] = &[
    Schema {
        name: "Lockdown",
        about: "The lockdown that is in force, or the last one. Without any, `in_force` is all there is to say.",
        closed: false,
        fields: &[
            must("in_force", Flag, "Whether it is in force."),
            may("id", Id("lck_"), "Its identifier."),
            may("reason", Text, "Why."),
            may("engaged_by", Text, "Who asked for it."),
            may("engaged_at", Instant, "When."),
            may("step", LOCKDOWN_STEP, "The step that is to be done."),
            may("positions", LOCKDOWN_POSITIONS, "What becomes of open positions, once decided."),
            may("answered_by", Text, "Who decided it; absent where the time ran out."),
            may("answered_at", Instant, "When it was decided."),
            may("answer_until", Instant, "Until when an answer is waited for."),
            may(
                "open_positions",
                List("LockdownPosition"),
                "What is open, while the list waits to be confirmed.",
            ),
            may("phrase", Text, "What has to be typed to confirm the list."),
            may("confirmed_by", Text, "Who confirmed it."),
            may("confirmed_at", Instant, "When."),
            may("ended_by", Text, "Who ended it."),
            may("ended_at", Instant, "When."),
            must("steps", List("LockdownStep"), "What was done, in its order."),
            must("left", List("LockdownLeft"), "What people still have to do."),
        ],
    },
    Schema {
        name: "LockdownPosition",
        about: "An open position.",
        closed: false,
        fields: &[
            must("account_id", Id("acc_"), "The account."),
            must("account", Text, "What people call it."),
            must("symbol", Text, "The instrument."),
            must("quantity", Amount, "What is held by our book; negative is short."),
            may("broker_quantity", Amount, "The same by the broker's; absent if it was not heard."),
        ],
    },
    Schema {
        name: "LockdownStep",
        about: "What a step of a lockdown did.",
        closed: false,
        fields: &[
            must("step", LOCKDOWN_STEP, "Which."),
            must("began_at", Instant, "When it began."),
            may("done_at", Instant, "When it was over."),
            must("done", Count, "How much it did, in things of its kind."),
            must("failed", Count, "How much of it did not succeed."),
            may("note", Text, "What it says of itself."),
        ],
    },
    Schema {
        name: "LockdownLeft",
        about: "Something that a person has to do.",
        closed: false,
        fields: &[
            must("what", Text, "What it is about, in a word."),
            must("detail", Text, "In a sentence."),
            must("command", Text, "What does it on the command line."),
        ],
    },
    Schema {
        name: "LockdownEngage",
        about: "A lockdown to be.",
        closed: true,
        fields: &[must("reason", Text, "Why, up to 200 characters.")],
    },
    Schema {
        name: "LockdownAnswer",
        about: "What becomes of open positions.",
        closed: true,
        fields: &[must(
            "positions",
            LOCKDOWN_POSITIONS,
            "They are closed, or stay with what protects them.",
        )],
    },
    Schema {
        name: "LockdownConfirm",
        about: "That the list of open positions was read.",
        closed: true,
        fields: &[must("phrase", Text, "The phrase that is shown with the list.")],
    },
];
