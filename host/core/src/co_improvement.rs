//! Did understanding improve with generation? Measured on a fixed set of images of the model that a
//! run began with, judged by it and by the model that it came to.
//!
//! The understanding win rate of Han et al. (arXiv 2507.16663) counts the images on which the
//! verdicts of the two differ. A mere shift towards "no" moves it past one half, since most wrong
//! verdicts on own images are wrong acceptances; so beside it stand the area under the ROC curve,
//! which no shift moves, and the win rate at the threshold at which the new model says yes as often
//! as the old.

use serde::{Deserialize, Serialize};

use crate::metrics::Share;
use crate::roc::{AreaChange, area_change};

/// An image of the fixed set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwiceJudged {
    /// Whether it shows what it was drawn for, by an independent judge.
    pub truth: bool,
    /// p-yes of the model that the run began with.
    pub before: f64,
    /// p-yes of the model that it came to.
    pub after: f64,
}

/// The share of the differing verdicts in which the new one is right. Where none differ it is 0.5.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WinRate {
    /// Wins / flips.
    pub value: f64,
    /// Lower end of its 95 % Wilson score interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Flips: images on which the verdicts differ.
    pub n: u64,
}

impl WinRate {
    /// `wins` of `flips`.
    pub fn of(wins: u64, flips: u64) -> WinRate {
        let share = Share::of(wins, flips);
        WinRate {
            value: if flips == 0 { 0.5 } else { share.value },
            low: share.low,
            high: share.high,
            n: flips,
        }
    }
}

/// Verdicts that changed, by what they were and what is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flips {
    /// Wrongly accepted before, rejected now.
    pub false_positives_corrected: u64,
    /// Wrongly rejected before, accepted now.
    pub false_negatives_corrected: u64,
    /// Rightly rejected before, accepted now.
    pub false_positives_new: u64,
    /// Rightly accepted before, rejected now.
    pub false_negatives_new: u64,
}

impl Flips {
    fn of(verdicts: impl Iterator<Item = (bool, bool, bool)>) -> Flips {
        let mut flips = Flips::default();
        for (truth, before, after) in verdicts {
            match (truth, before, after) {
                (false, true, false) => flips.false_positives_corrected += 1,
                (true, false, true) => flips.false_negatives_corrected += 1,
                (false, false, true) => flips.false_positives_new += 1,
                (true, true, false) => flips.false_negatives_new += 1,
                _ => {}
            }
        }
        flips
    }

    fn win_rate(&self) -> WinRate {
        let wins = self.false_positives_corrected + self.false_negatives_corrected;
        let losses = self.false_positives_new + self.false_negatives_new;
        WinRate::of(wins, wins + losses)
    }
}

/// How the judging of a fixed set of images changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoImprovement {
    /// Images with a verdict of both models.
    pub images: u64,
    /// Share that the first model says yes to.
    pub yes_before: Share,
    /// Share that the second one says yes to.
    pub yes_after: Share,
    /// Verdicts that changed.
    pub flips: Flips,
    /// The understanding win rate.
    pub win_rate: WinRate,
    /// The same with the second model's threshold moved so that it says yes as often as the first.
    pub bias_free_win_rate: WinRate,
    /// That threshold on p-yes.
    pub bias_free_threshold: f64,
    /// The area under the ROC curve of p-yes; none where all images are right, or all wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<AreaChange>,
}

impl CoImprovement {
    /// The figures over `images`.
    pub fn of(images: &[TwiceJudged]) -> CoImprovement {
        let yes = |p_yes: f64| p_yes > 0.5;
        let count = |hits: usize| Share::of(hits as u64, images.len() as u64);
        let yes_before = images.iter().filter(|image| yes(image.before)).count();
        let yes_after = images.iter().filter(|image| yes(image.after)).count();
        let flips = Flips::of(
            images
                .iter()
                .map(|image| (image.truth, yes(image.before), yes(image.after))),
        );
        let threshold = threshold(images.iter().map(|image| image.after), yes_before);
        let bias_free = Flips::of(
            images
                .iter()
                .map(|image| (image.truth, yes(image.before), image.after > threshold)),
        );
        let of = |p_yes: fn(&TwiceJudged) -> f64| images.iter().map(p_yes).collect::<Vec<f64>>();
        let truths: Vec<bool> = images.iter().map(|image| image.truth).collect();
        CoImprovement {
            images: images.len() as u64,
            yes_before: count(yes_before),
            yes_after: count(yes_after),
            flips,
            win_rate: flips.win_rate(),
            bias_free_win_rate: bias_free.win_rate(),
            bias_free_threshold: threshold,
            area: area_change(&of(|i| i.before), &of(|i| i.after), &truths),
        }
    }
}

/// The threshold above which `wanted` of the values lie; fewer where values at it are equal.
fn threshold(values: impl Iterator<Item = f64>, wanted: usize) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(|one, other| other.total_cmp(one));
    match (values.get(wanted.wrapping_sub(1)), values.get(wanted)) {
        // In the middle, so that rounding does not decide.
        (Some(last_above), Some(first_below)) => {
            let middle = (last_above + first_below) / 2.0;
            if middle < *last_above {
                middle
            } else {
                *first_below
            }
        }
        (None, Some(first_below)) => *first_below,
        _ => f64::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    fn image(truth: bool, before: f64, after: f64) -> TwiceJudged {
        TwiceJudged {
            truth,
            before,
            after,
        }
    }

    #[test]
    fn flips_are_counted_both_ways() {
        let images = [
            image(false, 0.9, 0.1),
            image(false, 0.8, 0.2),
            image(true, 0.1, 0.7),
            image(true, 0.9, 0.3),
            image(false, 0.2, 0.6),
            image(true, 0.9, 0.9),
        ];
        let found = CoImprovement::of(&images);
        assert_eq!(
            found.flips,
            Flips {
                false_positives_corrected: 2,
                false_negatives_corrected: 1,
                false_positives_new: 1,
                false_negatives_new: 1,
            }
        );
        assert_eq!((found.win_rate.value, found.win_rate.n), (0.6, 5));
    }

    #[test]
    fn where_nothing_differs_the_rate_is_a_half() {
        let found = CoImprovement::of(&[image(true, 0.9, 0.8), image(false, 0.1, 0.2)]);
        assert_eq!((found.win_rate.value, found.win_rate.n), (0.5, 0));
        assert_eq!((found.win_rate.low, found.win_rate.high), (0.0, 1.0));
        let nothing = CoImprovement::of(&[]);
        assert_eq!((nothing.images, nothing.area), (0, None));
    }

    /// A shift towards no wins by the plain rate, and not by what is made to see through it.
    #[test]
    fn a_mere_shift_does_not_pass_for_understanding() {
        let mut random = crate::rng::stream(1, "co-improvement", &[]);
        let images: Vec<TwiceJudged> = (0..4000)
            .map(|_| {
                let truth = random.random_bool(0.4);
                // A permissive judge: most wrong images are accepted.
                let logit = random.random_range(-2.0..2.0) + if truth { 1.5 } else { 0.5 };
                let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
                image(truth, logistic(logit), logistic(logit - 0.7))
            })
            .collect();
        let found = CoImprovement::of(&images);
        assert!(found.win_rate.low > 0.5, "{found:?}");
        assert_eq!(found.bias_free_win_rate.n, 0, "{found:?}");
        let area = found.area.expect("an area");
        assert!(area.change.abs() < 1e-9, "{area:?}");
    }

    #[test]
    fn the_threshold_lets_as_many_through() {
        let values = [0.1, 0.9, 0.5, 0.7];
        for wanted in 0..=4 {
            let threshold = threshold(values.into_iter(), wanted);
            let above = values.iter().filter(|value| **value > threshold).count();
            assert_eq!(above, wanted, "{threshold}");
        }
        let equal = threshold([0.5, 0.5, 0.5].into_iter(), 1);
        assert_eq!(equal, 0.5, "none of equals is let through for the others");
    }
}
