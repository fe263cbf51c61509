//! The shapes of replays.

use super::Kind::{Amount, Count, Id, Instant, List, Named, OneOf, Range, Text, Texts};
use super::{Schema, may, must, texts};
use tradewarden_domain::loss::LossKind;

pub(super) const SCHEMAS: &[Schema] = &[
    Schema {
        name: "ReplayPage",
        about: "A part of a stored period of signals, and the policy by which it shall be judged.",
        closed: true,
        fields: &[
            must("from", Instant, "From this instant on."),
            must("to", Instant, "Up to this one, at most 31 days later."),
            must("limits", List("LimitValue"), "All limits of the policy, each once."),
            may("signals_max", Range(1, 1_000), "At most so many signals; 1,000 if absent."),
            may(
                "cursor",
                Text,
                "The `next` of the part before, with the other members as they were. It is known for \
                 ten minutes, to the node that gave it.",
            ),
        ],
    },
    Schema {
        name: "Replay",
        about: "What the policy would have made of a part of the period. Nothing was written.",
        closed: false,
        fields: &[
            must("judged", Count, "Signals that were judged again."),
            must("not_judged", Count, "Signals that no strategy saw, or whose webhook is gone."),
            must("differs", Count, "Of those judged: to which the policy makes a difference."),
            must(
                "unexplained",
                Count,
                "Of those judged: whose outcome by the limits of their time is not what was answered.",
            ),
            must(
                "counts",
                List("ReplayCount"),
                "Which outcome becomes which, of those that differ.",
            ),
            must(
                "without_equity",
                Count,
                "Of those judged: for which an equity counts that was not stored, so that limits in \
                 percent of it were left out.",
            ),
            must("equity_not_known", List("ReplayWithoutEquity"), "These, at most 200."),
            must("trips", List("ReplayTrip"), "Limits of losses that are reached, at most 200."),
            must(
                "losses_not_judged",
                List("ReplayUnmarked"),
                "When something was open that could not be marked, or in percent of no known equity; \
                 at most 200.",
            ),
            must("differences", List("ReplayDifference"), "Those that differ, at most 200."),
            may("through", Instant, "Up to when the period was looked at."),
            may("next", Text, "The cursor of the next part; absent when the period is through."),
        ],
    },
    Schema {
        name: "ReplayCount",
        about: "How often an outcome becomes another one.",
        closed: false,
        fields: &[
            must("then", Text, "What was answered: the status, and the code if there is one."),
            must("now", Text, "What the policy makes of it."),
            must("signals", Count, "How many signals."),
        ],
    },
    Schema {
        name: "ReplayDifference",
        about: "A signal to which the policy makes a difference.",
        closed: false,
        fields: &[
            must("signal_id", Id("sig_"), "The signal."),
            must("received_at", Instant, "When it came."),
            must("then", Named("ReplayOutcome"), "What was answered."),
            must("now", Named("ReplayOutcome"), "What the policy makes of it."),
        ],
    },
    Schema {
        name: "ReplayOutcome",
        about: "An outcome of a signal.",
        closed: false,
        fields: &[
            must("status", Text, "`accepted`, `skipped`, `dry_run` or `refused`."),
            may("code", Text, "Why, unless accepted."),
            must("message", Text, "In a sentence."),
        ],
    },
    Schema {
        name: "ReplayTrip",
        about: "A limit of losses that is reached under the policy.",
        closed: false,
        fields: &[
            must("account_id", Id("acc_"), "The account."),
            may("strategy_id", Id("str_"), "The strategy, unless it is a limit of the account."),
            must("limit", OneOf(|| texts(LossKind::ALL, LossKind::text)), "Of what."),
            must("at", Instant, "When."),
            must("loss", Amount, "What is lost, in the account's currency."),
            must("allowed", Amount, "What may be."),
        ],
    },
    Schema {
        name: "ReplayUnmarked",
        about: "A time in which losses of an account could not be told.",
        closed: false,
        fields: &[
            must("account_id", Id("acc_"), "The account."),
            must("from", Instant, "From when."),
            must("to", Instant, "To when."),
        ],
    },
    Schema {
        name: "ReplayWithoutEquity",
        about: "A signal for which an equity counts that was not stored.",
        closed: false,
        fields: &[
            must("signal_id", Id("sig_"), "The signal."),
            must("received_at", Instant, "When it came."),
            must("account_ids", Texts, "The accounts whose equity it is."),
        ],
    },
];
