//! Every loss against golden values, at extremes, and its gradient against finite differences.

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use sc_core::choice::{Objective, Takes};
use sc_train::loss::formula::{self, PairLogProbs, log_sigmoid};
use sc_train::loss::{Loss, LossSettings, token_nll};

/// Images of the golden values.
const TOKENS: usize = 576;

fn golden() -> serde_json::Value {
    serde_json::from_str(include_str!("data/dpo-golden.json")).expect("golden values")
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    let list = value.as_array().expect("a list").iter();
    list.map(|number| number.as_f64().expect("a number"))
        .collect()
}

/// The objective with β, and what else is given.
fn loss(objective: Objective, beta: f64, change: fn(&mut LossSettings)) -> Loss {
    let mut settings = LossSettings {
        beta: Some(beta),
        ..LossSettings::default()
    };
    change(&mut settings);
    Loss::new(objective, &settings, TOKENS)
}

/// Losses from \[chosen, rejected, reference chosen, reference rejected\].
fn of_pairs(loss: &Loss, [c, r, c0, r0]: [&Tensor; 4]) -> Result<Tensor> {
    loss.pairs(&PairLogProbs {
        chosen: c,
        rejected: r,
        reference_chosen: c0,
        reference_rejected: r0,
    })
}

#[test]
fn golden_values() -> Result<()> {
    let same: fn(&mut LossSettings) = |_| ();
    let smooth: fn(&mut LossSettings) = |settings| settings.label_smoothing = Some(0.1);
    let simpo_1: fn(&mut LossSettings) = |settings| settings.gamma = Some(1.0);
    let simpo_05: fn(&mut LossSettings) = |settings| settings.gamma = Some(0.5);
    let table = [
        ("sigmoid", loss(Objective::Sigmoid, 0.1, same)),
        (
            "sigmoid_ls0.1 (TRL<=0.28 cDPO)",
            loss(Objective::Sigmoid, 0.1, smooth),
        ),
        ("robust_ls0.1", loss(Objective::Robust, 0.1, smooth)),
        ("hinge", loss(Objective::Hinge, 0.1, same)),
        ("ipo (len-normalised)", loss(Objective::Ipo, 0.1, same)),
        ("apo_zero", loss(Objective::ApoZero, 0.1, same)),
        (
            "simpo beta=2.0 gamma=1.0 (TRL CPO loss term only, w/o cpo_alpha*nll)",
            loss(Objective::Simpo, 2.0, simpo_1),
        ),
        (
            "simpo beta=0.1 gamma=0.5 (TRL CPO loss term only, w/o cpo_alpha*nll)",
            loss(Objective::Simpo, 0.1, simpo_05),
        ),
        (
            "kto_pair legacy (TRL 0.8.6) concat[chosen,rejected]",
            loss(Objective::Kto, 0.1, same),
        ),
    ];
    let golden = golden();
    for (key, loss) in table {
        for (dtype, limit) in [(DType::F64, 1e-9), (DType::F32, 1e-6)] {
            let input = |name: &str| {
                Tensor::new(numbers(&golden["inputs"][name]), &Device::Cpu)?.to_dtype(dtype)
            };
            let (c, r) = (input("chosen_logps")?, input("rejected_logps")?);
            let (c0, r0) = (input("ref_chosen_logps")?, input("ref_rejected_logps")?);
            let found = if loss.objective.takes() == Takes::Pairs {
                of_pairs(&loss, [&c, &r, &c0, &r0])?
            } else {
                let ratios = Tensor::cat(&[(&c - &c0)?, (&r - &r0)?], 0)?;
                loss.labelled(&ratios, &[true, true, false, false])?
            };
            let found = found.to_dtype(DType::F64)?.to_vec1::<f64>()?;
            let expected = numbers(&golden["per_sequence"][key]);
            assert_eq!(found.len(), expected.len(), "{key}");
            let mean = found.iter().sum::<f64>() / found.len() as f64;
            let golden_mean = golden["mean"][key].as_f64().expect("a mean");
            for (found, expected) in found.iter().zip(&expected).chain([(&mean, &golden_mean)]) {
                // The golden values have twelve digits.
                let error = (found - expected).abs() / expected.abs().max(1.0);
                assert!(error < limit, "{key} {dtype:?}: {found} for {expected}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_nll_is_that_of_the_mean_token() -> Result<()> {
    let log_probs = Tensor::new(&[[-1.0_f64, -3.0], [-0.5, -0.5]], &Device::Cpu)?;
    assert_eq!(token_nll(&log_probs)?.to_vec1::<f64>()?, [2.0, 0.5]);
    Ok(())
}

#[test]
fn log_sigmoid_is_finite_and_its_slope_is_right_everywhere() -> Result<()> {
    let points = [-1e4_f64, -700.0, -30.0, -1.0, 0.0, 1.0, 30.0, 700.0, 1e4];
    let x = Var::new(&points, &Device::Cpu)?;
    let y = log_sigmoid(&x)?;
    let slopes = y.sum_all()?.backward()?;
    let slopes = slopes.get(&x).expect("a gradient").to_vec1::<f64>()?;
    for ((x, y), slope) in points.iter().zip(y.to_vec1::<f64>()?).zip(slopes) {
        let (value, expected) = if *x >= 0.0 {
            (-(-x).exp().ln_1p(), (-x).exp() / (1.0 + (-x).exp()))
        } else {
            (x - x.exp().ln_1p(), 1.0 / (1.0 + x.exp()))
        };
        assert!(
            (y - value).abs() <= 1e-12 * value.abs().max(1.0),
            "{x}: {y}"
        );
        assert!((slope - expected).abs() <= 1e-12, "{x}: slope {slope}");
    }
    Ok(())
}

/// The mean loss of examples: two log-probabilities under the policy, and two under the reference,
/// of each pair; KTO takes the first as to imitate and the second as to avoid.
fn mean_loss(loss: &Loss, policy: &Tensor, reference: &Tensor) -> Result<Tensor> {
    let half = policy.elem_count() / 2;
    let part = |all: &Tensor, second: bool| all.narrow(0, if second { half } else { 0 }, half);
    if loss.objective == Objective::Kto {
        let kinds: Vec<bool> = (0..2 * half).map(|at| at < half).collect();
        return loss.labelled(&(policy - reference)?, &kinds)?.mean_all();
    }
    let parts = [
        &part(policy, false)?,
        &part(policy, true)?,
        &part(reference, false)?,
        &part(reference, true)?,
    ];
    of_pairs(loss, parts)?.mean_all()
}

fn preference_losses(tokens: usize) -> Vec<Loss> {
    let all = Objective::ALL.into_iter();
    let preferences = all.filter(|objective| *objective != Objective::Sft);
    let with = |normalised: bool| LossSettings {
        length_normalised: Some(normalised),
        ..LossSettings::default()
    };
    let smoothed = LossSettings {
        label_smoothing: Some(0.2),
        ..LossSettings::default()
    };
    preferences
        .flat_map(|objective| {
            [with(true), with(false), smoothed]
                .map(|settings| Loss::new(objective, &settings, tokens))
        })
        .collect()
}

/// Whether the loss has a kink, or KTO's z would pass one, near these log-ratios.
fn near_a_kink(loss: &Loss, policy: &[f64], reference: &[f64]) -> bool {
    let ratios: Vec<f64> = policy.iter().zip(reference).map(|(p, r)| p - r).collect();
    let (chosen, rejected) = ratios.split_at(ratios.len() / 2);
    let mut margins = chosen.iter().zip(rejected).map(|(c, r)| c - r);
    loss.objective == Objective::Hinge && margins.any(|h| (1.0 - loss.beta * h).abs() < 1e-3)
}

/// The gradient, and what finite differences say of it. KTO's z is a constant to the gradient: the
/// differences hold it too, by moving one kind at a time and reading that kind's losses.
fn differences(loss: &Loss, policy: &[f64], reference: &[f64]) -> Result<Vec<(f64, f64)>> {
    const STEP: f64 = 1e-4;
    let device = Device::Cpu;
    let reference = Tensor::new(reference, &device)?;
    let var = Var::new(policy, &device)?;
    let gradients = mean_loss(loss, &var, &reference)?.backward()?;
    let gradient = gradients.get(&var).expect("a gradient").to_vec1::<f64>()?;
    let kinds: Vec<bool> = (0..policy.len()).map(|at| at < policy.len() / 2).collect();
    let mut found = Vec::new();
    for (at, &gradient) in gradient.iter().enumerate() {
        let value = |offset: f64| -> Result<f64> {
            let mut moved = policy.to_vec();
            moved[at] += offset;
            let moved = Tensor::new(moved, &device)?;
            if loss.objective == Objective::Kto {
                let each = loss.labelled(&(moved - &reference)?, &kinds)?;
                return Ok(each.to_vec1::<f64>()?[at] / policy.len() as f64);
            }
            mean_loss(loss, &moved, &reference)?.to_scalar()
        };
        let difference = (value(STEP)? - value(-STEP)?) / (2.0 * STEP);
        found.push((gradient, difference));
    }
    Ok(found)
}

#[test]
fn gradients_match_finite_differences_where_every_run_begins() -> Result<()> {
    for loss in preference_losses(16) {
        let start = [-20.0, -31.5, -22.0, -30.0];
        for (gradient, difference) in differences(&loss, &start, &start)? {
            let error = (gradient - difference).abs();
            assert!(
                error < 1e-6 * gradient.abs().max(1.0),
                "{loss:?}: {gradient} {difference}"
            );
        }
    }
    let sigmoid = loss(Objective::Sigmoid, 0.1, |_| ());
    let chosen = differences(&sigmoid, &[-20.0, -31.5], &[-20.0, -31.5])?[0].0;
    assert!((chosen + 0.05).abs() < 1e-12, "−β/2 at h = 0: {chosen}");
    Ok(())
}

/// The pushes are of one size at 16 tokens and at 576: the defaults scale with the length.
#[test]
fn defaults_keep_their_signal_at_any_length() -> Result<()> {
    for objective in [Objective::Sigmoid, Objective::Simpo, Objective::Kto] {
        let slope = |tokens: usize| -> Result<f64> {
            let loss = Loss::new(objective, &LossSettings::default(), tokens);
            Ok(differences(&loss, &[-50.0, -50.0], &[-50.0, -50.0])?[0].0)
        };
        let (short, long) = (slope(16)?, slope(576)?);
        assert!((short - long).abs() < 1e-9, "{objective}: {short} {long}");
        assert!(short < -0.01, "{objective}: {short}");
    }
    // IPO's slope is 1/(βN): its NLL term falls with it.
    for tokens in [16, 576] {
        let loss = Loss::new(Objective::Ipo, &LossSettings::default(), tokens);
        let slope = differences(&loss, &[-50.0, -50.0], &[-50.0, -50.0])?[0].0;
        assert!(
            (-slope / loss.nll_weight - 0.05 / 5.0).abs() < 1e-9,
            "{loss:?}: {slope}"
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn finite_at_extremes(
        policy in prop::collection::vec(-1e5..=0.0_f64, 4),
        reference in prop::collection::vec(-1e5..=0.0_f64, 4),
        tokens in prop_oneof![Just(16_usize), Just(576)],
        dtype in prop_oneof![Just(DType::F32), Just(DType::F64)],
    ) {
        for loss in preference_losses(tokens) {
            let device = Device::Cpu;
            let tensor = |values: &[f64]| Tensor::new(values, &device)?.to_dtype(dtype);
            let var = Var::from_tensor(&tensor(&policy).expect("a tensor")).expect("a variable");
            let reference = tensor(&reference).expect("a tensor");
            let value = mean_loss(&loss, &var, &reference).expect("a loss");
            let gradients = value.backward().expect("gradients");
            let gradient = gradients.get(&var).expect("a gradient");
            let all = Tensor::cat(&[value.reshape(1).expect("one"), gradient.clone()], 0)
                .and_then(|all| all.to_dtype(DType::F64)?.to_vec1::<f64>())
                .expect("numbers");
            prop_assert!(all.iter().all(|number| number.is_finite()), "{loss:?}: {all:?}");
        }
    }

    #[test]
    fn gradients_match_finite_differences(
        policy in prop::collection::vec(-60.0..-20.0_f64, 6),
        moved in prop::collection::vec(-15.0..15.0_f64, 6),
    ) {
        let reference: Vec<f64> = policy.iter().zip(&moved).map(|(p, m)| p + m).collect();
        for loss in preference_losses(16) {
            if near_a_kink(&loss, &policy, &reference) {
                continue;
            }
            for (gradient, difference) in differences(&loss, &policy, &reference).expect("both") {
                prop_assert!(
                    (gradient - difference).abs() < 1e-5 * gradient.abs().max(1.0),
                    "{loss:?}: {gradient} for {difference}"
                );
            }
        }
    }

    /// A pair turned round is as bad as the pair is good; smoothing by a half cannot tell them apart.
    #[test]
    fn a_flipped_pair_has_the_opposite_slope(margin in -50.0..50.0_f64) {
        let at = |h: f64, smoothing: f64| {
            let h = Tensor::new(&[h], &Device::Cpu).expect("a tensor");
            let loss = formula::sigmoid(&h, 0.1, smoothing).expect("a loss");
            loss.to_vec1::<f64>().expect("a number")[0]
        };
        prop_assert!((at(margin, 0.2) - (0.8 * at(margin, 0.0) + 0.2 * at(-margin, 0.0))).abs() < 1e-9);
        prop_assert!((at(margin, 0.0) - at(-margin, 0.0) + 0.1 * margin).abs() < 1e-9);
    }
}
