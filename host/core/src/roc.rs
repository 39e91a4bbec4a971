//! The area under the ROC curve, and whether it changed on the same images.
//!
//! Source: DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), with midranks as in Sun and Xu
//! (IEEE Signal Processing Letters 21, 2014).

use serde::{Deserialize, Serialize};

use crate::metrics::Z;

/// Two areas on the same images, and their difference with its paired 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AreaChange {
    /// The area under the first scores, in 0–1.
    pub before: f64,
    /// The area under the second scores.
    pub after: f64,
    /// After less before.
    pub change: f64,
    /// Lower end of the change's interval.
    pub low: f64,
    /// Upper end of the change's interval.
    pub high: f64,
}

/// What a score says of each image: how it compares with those of the other kind.
struct Placements {
    area: f64,
    /// Of each true image, the share of false ones that it stands above.
    of_true: Vec<f64>,
    /// Of each false image, the share of true ones that stand above it.
    of_false: Vec<f64>,
}

impl Placements {
    fn new(scores: &[f64], truths: &[bool]) -> Placements {
        let of_kind = |kind: bool| {
            let those = scores
                .iter()
                .zip(truths)
                .filter(|(_, truth)| **truth == kind);
            those.map(|(score, _)| *score).collect::<Vec<f64>>()
        };
        let (yes, no) = (of_kind(true), of_kind(false));
        let (m, n) = (yes.len() as f64, no.len() as f64);
        let all = midranks(&[&*yes, &*no].concat());
        let above = |all: &[f64], own: &[f64], others: f64| {
            let ranks = all.iter().zip(own);
            ranks
                .map(|(all, own)| (all - own) / others)
                .collect::<Vec<f64>>()
        };
        let of_true = above(&all[..yes.len()], &midranks(&yes), n);
        let below = above(&all[yes.len()..], &midranks(&no), m);
        Placements {
            area: of_true.iter().sum::<f64>() / m,
            of_true,
            of_false: below.iter().map(|below| 1.0 - below).collect(),
        }
    }
}

/// Ranks from 1; equal values share the mean of theirs.
fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&one, &other| values[one].total_cmp(&values[other]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let equal = |&&at: &&usize| values[at] == values[order[start]];
        let end = start + order[start..].iter().take_while(equal).count();
        for &at in &order[start..end] {
            ranks[at] = (start + end + 1) as f64 / 2.0;
        }
        start = end.max(start + 1);
    }
    ranks
}

/// The variance of the mean of the differences between two lists.
fn variance_of_mean_difference(one: &[f64], other: &[f64]) -> f64 {
    let count = one.len() as f64;
    let differences: Vec<f64> = one.iter().zip(other).map(|(a, b)| a - b).collect();
    let mean = differences.iter().sum::<f64>() / count;
    let squares: f64 = differences.iter().map(|d| (d - mean) * (d - mean)).sum();
    squares / (count - 1.0) / count
}

/// The areas of two scores of the same images, `truths` saying which of them show what they are
/// said to. None where fewer than two images are of either kind: nothing is known then.
pub fn area_change(before: &[f64], after: &[f64], truths: &[bool]) -> Option<AreaChange> {
    let true_images = truths.iter().filter(|truth| **truth).count();
    if true_images < 2 || truths.len() - true_images < 2 {
        return None;
    }
    let (first, second) = (
        Placements::new(before, truths),
        Placements::new(after, truths),
    );
    let variance = variance_of_mean_difference(&second.of_true, &first.of_true)
        + variance_of_mean_difference(&second.of_false, &first.of_false);
    let change = second.area - first.area;
    let half_width = Z * variance.sqrt();
    Some(AreaChange {
        before: first.area,
        after: second.area,
        change,
        low: change - half_width,
        high: change + half_width,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition: over all pairs of a true and a false image.
    fn by_pairs(scores: &[f64], truths: &[bool]) -> f64 {
        let of = |kind: bool| {
            let those = scores.iter().zip(truths);
            those
                .filter(move |(_, truth)| **truth == kind)
                .map(|(s, _)| *s)
        };
        let mut sum = 0.0;
        for yes in of(true) {
            for no in of(false) {
                sum += match yes.partial_cmp(&no) {
                    Some(std::cmp::Ordering::Greater) => 1.0,
                    Some(std::cmp::Ordering::Equal) => 0.5,
                    _ => 0.0,
                };
            }
        }
        sum / (of(true).count() * of(false).count()) as f64
    }

    proptest::proptest! {
        #[test]
        fn areas_are_those_of_all_pairs(
            images in proptest::collection::vec(
                (0_u8..6, 0_u8..6, proptest::bool::ANY), 4..40
            )
        ) {
            let before: Vec<f64> = images.iter().map(|image| f64::from(image.0)).collect();
            let after: Vec<f64> = images.iter().map(|image| f64::from(image.1)).collect();
            let truths: Vec<bool> = images.iter().map(|image| image.2).collect();
            if let Some(area) = area_change(&before, &after, &truths) {
                assert!((area.before - by_pairs(&before, &truths)).abs() < 1e-12);
                assert!((area.after - by_pairs(&after, &truths)).abs() < 1e-12);
                assert!(area.low <= area.change && area.change <= area.high);
            }
        }
    }

    /// Worked out by hand from the definition: two true and two false images.
    #[test]
    fn the_interval_is_delongs() {
        let truths = [true, true, false, false];
        let area = area_change(&[0.9, 0.4, 0.5, 0.1], &[0.9, 0.8, 0.5, 0.1], &truths);
        let area = area.expect("an area");
        assert_eq!((area.before, area.after, area.change), (0.75, 1.0, 0.25));
        // Placements change by (0, ½) among the true and by (½, 0) among the false images: each kind
        // has a variance of ⅛, and its mean one of 1/16.
        let half_width = Z * (2.0_f64 / 16.0).sqrt();
        assert!((area.high - 0.25 - half_width).abs() < 1e-12);
    }

    #[test]
    fn the_same_scores_have_not_changed() {
        let scores = [0.1, 0.4, 0.35, 0.8, 0.7];
        let truths = [false, false, true, true, true];
        let area = area_change(&scores, &scores, &truths).expect("an area");
        assert_eq!((area.change, area.low, area.high), (0.0, 0.0, 0.0));
        assert_eq!(area_change(&scores, &scores, &[true; 5]), None);
    }
}
