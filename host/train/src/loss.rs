//! Losses on the log-probabilities of images.
//!
//! A sequence is one image; its log-probability is the sum over its tokens, in nats. All
//! functions take and return tensors of one element a sequence, in f32 or f64, and gradients flow
//! to the policy's log-probabilities alone: pass the reference's detached.

use candle_core::{Result, Tensor};

/// log σ(x), finite for every finite x, with the gradient σ(−x) also at 0.
///
/// Plain formulas fail at one place or another: −log(1 + e^(−x)) overflows, and the stable form
/// min(x, 0) − log(1 + e^(−|x|)) has a kink in each term at x = 0, where every DPO run begins and
/// where automatic differentiation then returns a wrong slope. So value and slope are computed
/// apart.
pub fn log_sigmoid(x: &Tensor) -> Result<Tensor> {
    let fixed = x.detach();
    let soft = (fixed.abs()?.neg()?.exp()? + 1.0)?.log()?;
    let value = (fixed.minimum(&fixed.zeros_like()?)? - soft)?;
    // σ(−x) as e^(log σ(−x)) keeps its relative precision far out.
    let slope = (&value - &fixed)?.exp()?;
    // x − x is 0: it adds nothing to the value and carries the gradient.
    value + ((x - &fixed)? * slope)?
}

/// Summed log-probabilities of a batch of pairs, each \[B\].
pub struct PairLogProbs<'a> {
    /// Chosen images under the policy.
    pub chosen: &'a Tensor,
    /// Rejected images under the policy.
    pub rejected: &'a Tensor,
    /// Chosen images under the reference.
    pub reference_chosen: &'a Tensor,
    /// Rejected images under the reference.
    pub reference_rejected: &'a Tensor,
}

impl PairLogProbs<'_> {
    /// h = (c − c₀) − (r − r₀), the difference of the log-ratios, \[B\].
    pub fn margin(&self) -> Result<Tensor> {
        let chosen = (self.chosen - self.reference_chosen)?;
        let rejected = (self.rejected - self.reference_rejected)?;
        chosen - rejected
    }
}

/// Direct preference optimisation: −log σ(βh) a pair, \[B\] (Rafailov et al., 2023).
pub fn dpo_sigmoid(pairs: &PairLogProbs<'_>, beta: f64) -> Result<Tensor> {
    log_sigmoid(&(pairs.margin()? * beta)?)?.neg()
}

/// Hinge loss: max(0, 1 − βh) a pair, \[B\] (SLiC; Zhao et al., 2023).
pub fn dpo_hinge(pairs: &PairLogProbs<'_>, beta: f64) -> Result<Tensor> {
    ((pairs.margin()? * -beta)? + 1.0)?.relu()
}

/// Identity preference optimisation with length normalisation: (h/N − 1/(2β))² a pair, \[B\], for
/// images of `tokens` tokens (Azar et al., 2023).
pub fn dpo_ipo(pairs: &PairLogProbs<'_>, beta: f64, tokens: usize) -> Result<Tensor> {
    ((pairs.margin()? / tokens as f64)? - 1.0 / (2.0 * beta))?.sqr()
}

/// Mean token negative log-likelihood of each image, \[B\], from its token log-probabilities
/// \[B, N\].
pub fn token_nll(token_log_probs: &Tensor) -> Result<Tensor> {
    token_log_probs.mean(1)?.neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    fn golden() -> serde_json::Value {
        serde_json::from_str(include_str!("../tests/data/dpo-golden.json")).expect("golden values")
    }

    fn numbers(value: &serde_json::Value) -> Vec<f64> {
        value
            .as_array()
            .expect("a list")
            .iter()
            .map(|v| v.as_f64().expect("a number"))
            .collect()
    }

    fn check(name: &str, loss: impl Fn(&PairLogProbs<'_>) -> Result<Tensor>) -> Result<()> {
        let golden = golden();
        for (dtype, limit) in [(DType::F64, 1e-9), (DType::F32, 1e-6)] {
            let input = |key: &str| {
                Tensor::new(numbers(&golden["inputs"][key]), &Device::Cpu)?.to_dtype(dtype)
            };
            let (chosen, rejected) = (input("chosen_logps")?, input("rejected_logps")?);
            let (c0, r0) = (input("ref_chosen_logps")?, input("ref_rejected_logps")?);
            let found = loss(&PairLogProbs {
                chosen: &chosen,
                rejected: &rejected,
                reference_chosen: &c0,
                reference_rejected: &r0,
            })?
            .to_dtype(DType::F64)?
            .to_vec1::<f64>()?;
            for (found, expected) in found.iter().zip(numbers(&golden["per_sequence"][name])) {
                // The golden values have twelve digits.
                let error = (found - expected).abs() / expected.abs().max(1.0);
                assert!(error < limit, "{name} {dtype:?}: {found} for {expected}");
            }
        }
        Ok(())
    }

    #[test]
    fn golden_values() -> Result<()> {
        check("sigmoid", |pairs| dpo_sigmoid(pairs, 0.1))?;
        check("hinge", |pairs| dpo_hinge(pairs, 0.1))?;
        check("ipo (len-normalised)", |pairs| dpo_ipo(pairs, 0.1, 576))
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

    #[test]
    fn dpo_gradient_matches_finite_differences_where_every_run_begins() -> Result<()> {
        let device = Device::Cpu;
        let reference = Tensor::new(&[-20.0_f64, -31.5], &device)?;
        let loss_at = |chosen: &Tensor| {
            dpo_sigmoid(
                &PairLogProbs {
                    chosen,
                    rejected: &reference,
                    reference_chosen: &reference,
                    reference_rejected: &reference,
                },
                0.1,
            )?
            .sum_all()
        };
        let chosen = Var::from_tensor(&reference.copy()?)?;
        let gradient = loss_at(&chosen)?.backward()?;
        let gradient = gradient
            .get(&chosen)
            .expect("a gradient")
            .to_vec1::<f64>()?;
        let step = 1e-5;
        let up = loss_at(&(&reference + step)?)?.to_scalar::<f64>()?;
        let down = loss_at(&(&reference - step)?)?.to_scalar::<f64>()?;
        let numeric = (up - down) / (2.0 * step);
        assert!((gradient.iter().sum::<f64>() - numeric).abs() < 1e-9);
        assert!((gradient[0] + 0.05).abs() < 1e-12, "−β/2 at h = 0");
        Ok(())
    }
}
