//! How much a broker is called at most: less than its adapter would, never more (S18).

use std::time::Duration;

use tradewarden_broker::port::CallWindow;

use crate::outcome::Failure;

/// The fewest calls of a window: a fifth of it is kept back, and the rest must be worth something.
const LEAST: u32 = 10;
const MOST: u32 = 10_000_000;

/// The most calls in any span of a second, a minute and an hour; each absent unless written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "they are what is counted per span")]
pub(crate) struct CallsMax {
    pub(crate) per_s: Option<u32>,
    pub(crate) per_min: Option<u32>,
    pub(crate) per_h: Option<u32>,
}

impl CallsMax {
    fn named(self) -> [(&'static str, Duration, Option<u32>); 3] {
        [
            ("calls_per_s_max", Duration::from_secs(1), self.per_s),
            ("calls_per_min_max", Duration::from_mins(1), self.per_min),
            ("calls_per_h_max", Duration::from_hours(1), self.per_h),
        ]
    }

    /// As the engine wants them.
    pub(crate) fn windows(self) -> Vec<CallWindow> {
        let window =
            |(_, span, most): (_, _, Option<u32>)| Some(CallWindow { span, weight_max: most? });
        self.named().into_iter().filter_map(window).collect()
    }

    /// Refuses what would let nothing through.
    pub(super) fn check(self, section: &str) -> Result<(), Failure> {
        for (name, _, most) in self.named() {
            if let Some(most) = most
                && !(LEAST..=MOST).contains(&most)
            {
                return Err(Failure::no(format!(
                    "{name} under [{section}] is {most}; it must be between {LEAST} and {MOST}, \
                     or left out"
                )));
            }
        }
        Ok(())
    }
}
