//! Whether a finished round is kept: not when the model has surely got worse at understanding.

pub struct Settings {
    /// How far the intervals must lie apart before the round is rolled back.
    pub tolerance: f64,
}

/// The 95 % interval of a figure.
#[derive(Clone, Copy)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// Whether all of the interval after lies below the one before.
pub fn fell(before: Interval, after: Interval, settings: &Settings) -> bool {
    after.high + settings.tolerance < before.low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_has_fallen() {
        let before = Interval {
            low: 0.5,
            high: 0.75,
        };
        let strict = Settings { tolerance: 0.0 };
        assert!(fell(
            before,
            Interval {
                low: 0.25,
                high: 0.375
            },
            &strict
        ));
        assert!(
            !fell(
                before,
                Interval {
                    low: 0.25,
                    high: 0.5
                },
                &strict
            ),
            "they touch"
        );
        assert!(!fell(
            before,
            Interval {
                low: 0.75,
                high: 1.0
            },
            &strict
        ));
        let patient = Settings { tolerance: 0.25 };
        assert!(!fell(
            before,
            Interval {
                low: 0.25,
                high: 0.375
            },
            &patient
        ));
    }
}
