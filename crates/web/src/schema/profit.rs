//! The shapes of profit, loss and rates of exchange.

use super::{Amount, Count, Id, Instant, List, Schema, Text, Texts, may, must};

pub(super) const SCHEMAS: &[Schema] = &[
    Schema {
        name: "Profit",
        about: "What was made on an account since it was opened, in its currency.",
        closed: false,
        fields: &[
            must("account_id", Id("acc_"), "The account."),
            must("currency", Text, "Currency of the sums."),
            may("realized", Amount, "Of what was closed, fees taken off."),
            may("unrealized", Amount, "Of what is held, at bid or ask."),
            may("total", Amount, "Both together."),
            must("fees", Amount, "Fees so far; taken off `realized` already."),
            must("gaps", Texts, "What the sums lack; a sum that lacks something is absent."),
            must("losses", List("Loss"), "What is watched for its losses."),
            must("instruments", List("InstrumentProfit"), "The same by instrument."),
            must("at", Instant, "When this was so."),
        ],
    },
    Schema {
        name: "Loss",
        about: "What is lost, and what may be, of an account or of a strategy on it.",
        closed: false,
        fields: &[
            may("strategy_id", Id("str_"), "The strategy; absent for all of the account."),
            must("session_at", Instant, "When the session began."),
            may("of_the_day", Amount, "What was made since then; negative is a loss."),
            may("daily_loss", Amount, "What may be lost in a session."),
            may("below_best", Amount, "How far it is below the best there was."),
            may("drawdown", Amount, "How far it may be."),
            must("halts", Texts, "The halts that these limits engaged."),
        ],
    },
    Schema {
        name: "InstrumentProfit",
        about: "What was made with an instrument, in its own currency.",
        closed: false,
        fields: &[
            must("symbol", Text, "The instrument."),
            may("currency", Text, "Currency of its prices."),
            must("quantity", Amount, "Filled position; negative is short."),
            may("mark", Amount, "The bid if long, the ask if short; absent when flat."),
            may("marked_at", Instant, "When it was quoted."),
            may("realized", Amount, "Of what was closed, before fees."),
            may("unrealized", Amount, "Of what is held; absent if the mark is over 60 s old."),
            must("fees", Amount, "Fees, in the account's currency."),
            may("rate", Amount, "Of its currency in the account's; absent if nobody says."),
            must("strategies", List("StrategyProfit"), "The same by strategy."),
        ],
    },
    Schema {
        name: "StrategyProfit",
        about: "A strategy's part in what was made with an instrument.",
        closed: false,
        fields: &[
            may("strategy_id", Id("str_"), "The strategy; absent for orders of none."),
            must("quantity", Amount, "Filled position; negative is short."),
            may("average_price", Amount, "Absent when flat."),
            may("realized", Amount, "Of what was closed, before fees."),
            may("unrealized", Amount, "Of what is held, at the mark of its own side."),
            must("fees", Amount, "Fees, in the account's currency."),
        ],
    },
    Schema {
        name: "ExchangeRate",
        about: "A rate of exchange.",
        closed: false,
        fields: &[
            must("base", Text, "The currency whose unit is valued."),
            must("quote", Text, "The currency it is valued in."),
            must("rate", Amount, "How many of `quote` one `base` is worth."),
            must("source", Text, "Where it comes from."),
            must("at", Instant, "When it was so."),
            must("valid_until", Instant, "Until when it is counted with."),
        ],
    },
    Schema {
        name: "RateSet",
        about: "A rate of exchange to be.",
        closed: true,
        fields: &[
            must("base", Text, "The currency whose unit is valued, three capital letters."),
            must("quote", Text, "The currency it is valued in, three capital letters."),
            must("rate", Amount, "How many of `quote` one `base` is worth."),
            must("source", Text, "Where it comes from, 1 to 64 characters."),
            may("at", Instant, "When it was so; now if absent."),
            may("valid_s", Count, "Seconds for which it is counted with; 86,400 if absent."),
        ],
    },
];
