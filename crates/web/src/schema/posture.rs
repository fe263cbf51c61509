//! The state of an installation.

use super::Kind::{Instant, List, OneOf, Text};
use super::{Kind, Schema, may, must};

const LIGHT: Kind = OneOf(|| vec!["green", "amber", "red"]);

pub(super) const SCHEMAS: &[Schema] = &[
    Schema {
        name: "Posture",
        about: "What state the installation is in as regards its security. What is about the whole of it is shown in the organization that it was founded with.",
        closed: false,
        fields: &[
            must("at", Instant, "When it was looked at."),
            must("light", LIGHT, "The worst of all items."),
            must("items", List("PostureItem"), "What was looked at, the worst first."),
        ],
    },
    Schema {
        name: "PostureItem",
        about: "One thing that was looked at.",
        closed: false,
        fields: &[
            must("name", Text, "Its stable name."),
            must("light", LIGHT, "How good it is."),
            must("seen", Text, "What was seen."),
            may("fix", Text, "The way to a better light; absent where it is green."),
        ],
    },
];
