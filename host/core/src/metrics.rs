//! The Nonunified score and its companions, as counts with intervals.
//!
//! Definitions: Han et al., "Self-Contradiction as Self-Improvement" (arXiv 2507.16663).

use serde::{Deserialize, Serialize};

use crate::candidate::Verdict;

/// The normal quantile of a 95 % interval.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// A share with its count and its 95 % Wilson score interval, all in 0–1.
///
/// With `n` = 0 nothing is known: the value is 0, written as `null`, and the interval 0–1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "WrittenShare", from = "WrittenShare")]
pub struct Share {
    /// hits / n.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Number of trials.
    pub n: u64,
}

/// A share as files and programs get it.
#[derive(Serialize, Deserialize)]
struct WrittenShare {
    value: Option<f64>,
    low: f64,
    high: f64,
    n: u64,
}

impl From<Share> for WrittenShare {
    fn from(share: Share) -> WrittenShare {
        WrittenShare {
            value: (share.n > 0).then_some(share.value),
            low: share.low,
            high: share.high,
            n: share.n,
        }
    }
}

impl From<WrittenShare> for Share {
    fn from(written: WrittenShare) -> Share {
        Share {
            value: written.value.unwrap_or(0.0),
            low: written.low,
            high: written.high,
            n: written.n,
        }
    }
}

impl Default for Share {
    /// Nothing is known.
    fn default() -> Self {
        Share::of(0, 0)
    }
}

impl Share {
    /// `hits` of `n` trials (E. B. Wilson, 1927, at z = 1.959964).
    pub fn of(hits: u64, n: u64) -> Share {
        if n == 0 {
            return Share {
                value: 0.0,
                low: 0.0,
                high: 1.0,
                n,
            };
        }
        let count = n as f64;
        let share = hits as f64 / count;
        let denominator = 1.0 + Z * Z / count;
        let centre = (share + Z * Z / (2.0 * count)) / denominator;
        let half_width = Z / denominator
            * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
        Share {
            value: share,
            // At 0 and 1 the formula leaves a rounding error on the end that is exact.
            low: if hits == 0 {
                0.0
            } else {
                (centre - half_width).max(0.0)
            },
            high: if hits == n {
                1.0
            } else {
                (centre + half_width).min(1.0)
            },
            n,
        }
    }
}

/// A mean with its count and its 95 % interval, by the normal approximation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Number of values.
    pub n: u64,
}

impl Mean {
    /// The mean of some values; none of fewer than two, whose spread is not known.
    pub fn of(values: &[f64]) -> Option<Mean> {
        if values.len() < 2 {
            return None;
        }
        let count = values.len() as f64;
        let value = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|x| (x - value) * (x - value)).sum();
        let half_width = Z * (squares / (count - 1.0) / count).sqrt();
        Some(Mean {
            value,
            low: value - half_width,
            high: value + half_width,
            n: values.len() as u64,
        })
    }
}

/// The Nonunified score: the share of own images that the model rejects. An answer that cannot be
/// read is no verdict: such images are left out of `n` and counted in `unparsed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Nonunified {
    /// Rejected among the images with a verdict.
    #[serde(flatten)]
    pub share: Share,
    /// Images whose answer could not be read.
    pub unparsed: u64,
}

impl Nonunified {
    /// The score over `verdicts`, one a generated image.
    pub fn of(verdicts: impl IntoIterator<Item = Verdict>) -> Nonunified {
        let (mut rejected, mut judged, mut unparsed) = (0, 0, 0);
        for verdict in verdicts {
            match verdict {
                Verdict::Accepted => judged += 1,
                Verdict::Rejected => {
                    judged += 1;
                    rejected += 1;
                }
                Verdict::Unparsed => unparsed += 1,
            }
        }
        Nonunified {
            share: Share::of(rejected, judged),
            unparsed,
        }
    }
}

/// A figure as it crosses to strategies: by name, so that new signals need no new contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Such as `nonunified` or `understanding_accuracy`; by category as `nonunified/spatial`.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end of its 95 % interval.
    pub high: f64,
    /// Number of trials behind it.
    pub n: u64,
}

impl Metric {
    /// `share` under `name`.
    pub fn new(name: impl Into<String>, share: Share) -> Metric {
        Metric {
            name: name.into(),
            value: share.value,
            low: share.low,
            high: share.high,
            n: share.n,
        }
    }
}

impl From<(&str, Mean)> for Metric {
    fn from((name, mean): (&str, Mean)) -> Metric {
        Metric {
            name: name.into(),
            value: mean.value,
            low: mean.low,
            high: mean.high,
            n: mean.n,
        }
    }
}

/// The figures of a finished round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundMetrics {
    /// The round, from 1; 0 stands for the model that the run began with.
    pub round: u32,
    /// Whether the quality gate kept it.
    pub kept: bool,
    /// Its figures.
    pub metrics: Vec<Metric>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_interval_matches_published_values() {
        // Newcombe (1998), table I, method 3.
        for (hits, n, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let share = Share::of(hits, n);
            assert!((share.low - low).abs() < 5e-5, "{share:?}");
            assert!((share.high - high).abs() < 5e-5, "{share:?}");
        }
    }

    #[test]
    fn ends_are_exact_and_nothing_is_known_of_nothing() {
        assert_eq!(Share::of(0, 9).low, 0.0);
        assert_eq!(Share::of(9, 9).high, 1.0);
        let nothing = Share::of(0, 0);
        assert_eq!((nothing.low, nothing.high, nothing.n), (0.0, 1.0, 0));
        let written = serde_json::json!({"value": null, "low": 0.0, "high": 1.0, "n": 0});
        assert_eq!(serde_json::to_value(nothing).ok(), Some(written.clone()));
        assert_eq!(serde_json::from_value(written).ok(), Some(nothing));
    }

    #[test]
    fn a_mean_has_an_interval_if_its_spread_is_known() {
        assert_eq!(Mean::of(&[1.0]), None);
        let mean = Mean::of(&[1.0, 3.0]).expect("a mean");
        // The standard error is 1.
        assert_eq!((mean.value, mean.n), (2.0, 2));
        assert!((mean.high - 2.0 - Z).abs() < 1e-12 && (2.0 - mean.low - Z).abs() < 1e-12);
    }

    #[test]
    fn unparsed_answers_are_counted_apart() {
        let score = Nonunified::of([
            Verdict::Accepted,
            Verdict::Rejected,
            Verdict::Unparsed,
            Verdict::Rejected,
            Verdict::Accepted,
        ]);
        assert_eq!(
            (score.share.value, score.share.n, score.unparsed),
            (0.5, 4, 1)
        );
    }
}
