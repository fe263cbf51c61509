//! Versions of the limits, and policies that are put in force.

use super::{Amount, Count, Flag, Id, Instant, LIMIT_NAME, List, Schema, Text, may, must};

const DIGEST: &str = "The SHA-256 of the limits: one line each, sorted, with scope, name and bound \
                      in units of 10^-8.";

pub(super) const SCHEMAS: &[Schema] = &[
    Schema {
        name: "LimitsVersion",
        about: "Who made a version of the limits, when and why.",
        closed: false,
        fields: &[
            must("version", Count, "Its number."),
            must("made_at", Instant, "When."),
            must("made_by", Text, "Who."),
            may("confirmed_by", Id("usr_"), "The second person, if two were needed."),
            may("reason", Text, "Why, if it was said."),
            must("content_sha256", Text, DIGEST),
            must("changed", Count, "How many limits changed."),
        ],
    },
    Schema {
        name: "LimitsPolicy",
        about: "All limits at one version.",
        closed: false,
        fields: &[
            must("version", Count, "The version."),
            may("made_at", Instant, "When it was made; nobody made version 0."),
            may("made_by", Text, "Who made it."),
            may("confirmed_by", Id("usr_"), "The second person, if two were needed."),
            may("reason", Text, "Why, if it was said."),
            must("content_sha256", Text, DIGEST),
            must("limits", List("LimitValue"), "The limits, as far as the caller may know."),
            must("changes", List("LimitChange"), "What the version changed."),
        ],
    },
    Schema {
        name: "LimitValue",
        about: "A bound as a policy has it.",
        closed: true,
        fields: &[
            must(
                "scope",
                Text,
                "`org`, `account:ID`, `strategy:ID`, `key:ID` or `instrument:SYMBOL`.",
            ),
            must("name", LIMIT_NAME, "What it bounds."),
            must("value", Amount, "The bound."),
        ],
    },
    Schema {
        name: "LimitChange",
        about: "What became of one limit.",
        closed: false,
        fields: &[
            must("scope", Text, "Where it applies."),
            must("name", LIMIT_NAME, "What it bounds."),
            may("before", Amount, "The bound until then, if it was set."),
            may("after", Amount, "The bound from then on, if it is set."),
        ],
    },
    Schema {
        name: "LimitsImport",
        about: "All limits as they shall be: what is not in it is taken away.",
        closed: true,
        fields: &[
            must("limits", List("LimitValue"), "Each limit once; at most 10,000."),
            may("reason", Text, "Why, 1 to 256 characters; it stands in the history."),
            may("base_version", Count, "The version that the caller saw; another is refused."),
            may("dry_run", Flag, "Only say what would change."),
        ],
    },
    Schema {
        name: "LimitsImported",
        about: "What an import of limits did, or would do.",
        closed: false,
        fields: &[
            must("version", Count, "The version in force."),
            must("dry_run", Flag, "Nothing was changed."),
            must("loosens", Flag, "More may be traded than before."),
            must("content_sha256", Text, DIGEST),
            must("changes", List("LimitChange"), "What differs; nothing if nothing does."),
        ],
    },
];
