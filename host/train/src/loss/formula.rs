//! The formulas, one function each.
//!
//! c, r: summed log-probabilities of chosen and rejected images under the policy; c₀, r₀ under the
//! reference; Δc = c − c₀, Δr = r − r₀; h = Δc − Δr; σ the logistic function; ε label smoothing.

use candle_core::{DType, Result, Tensor};

/// Summed log-probabilities of a batch of pairs, each \[B\].
pub struct PairLogProbs<'a> {
    /// Chosen images under the policy, c.
    pub chosen: &'a Tensor,
    /// Rejected images under the policy, r.
    pub rejected: &'a Tensor,
    /// Chosen images under the reference, c₀.
    pub reference_chosen: &'a Tensor,
    /// Rejected images under the reference, r₀.
    pub reference_rejected: &'a Tensor,
}

impl PairLogProbs<'_> {
    /// Δc = c − c₀, \[B\].
    pub fn chosen_ratio(&self) -> Result<Tensor> {
        self.chosen - self.reference_chosen
    }

    /// Δr = r − r₀, \[B\].
    pub fn rejected_ratio(&self) -> Result<Tensor> {
        self.rejected - self.reference_rejected
    }

    /// h = Δc − Δr, \[B\].
    pub fn margin(&self) -> Result<Tensor> {
        self.chosen_ratio()? - self.rejected_ratio()?
    }
}

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

/// σ(x), finite for every finite x, with the gradient σ(x)·σ(−x).
pub fn logistic(x: &Tensor) -> Result<Tensor> {
    log_sigmoid(x)?.exp()
}

/// −(1−ε)·log σ(βh) − ε·log σ(−βh) (Rafailov et al., 2023; with ε conservative DPO, Mitchell, 2023).
pub fn sigmoid(margin: &Tensor, beta: f64, smoothing: f64) -> Result<Tensor> {
    let scaled = (margin * beta)?;
    let preferred = (log_sigmoid(&scaled)? * (smoothing - 1.0))?;
    if smoothing == 0.0 {
        return Ok(preferred);
    }
    preferred - (log_sigmoid(&scaled.neg()?)? * smoothing)?
}

/// \[−(1−ε)·log σ(βh) + ε·log σ(−βh)\] / (1−2ε), unbiased where a share ε of the pairs is flipped
/// (Chowdhury et al., 2024).
pub fn robust(margin: &Tensor, beta: f64, smoothing: f64) -> Result<Tensor> {
    let scaled = (margin * beta)?;
    let preferred = (log_sigmoid(&scaled)? * (smoothing - 1.0))?;
    let flipped = (log_sigmoid(&scaled.neg()?)? * smoothing)?;
    (preferred + flipped)? / (1.0 - 2.0 * smoothing)
}

/// max(0, 1 − βh) (SLiC; Zhao et al., 2023).
pub fn hinge(margin: &Tensor, beta: f64) -> Result<Tensor> {
    ((margin * -beta)? + 1.0)?.relu()
}

/// (h/length − 1/(2β))² (Azar et al., 2023).
pub fn ipo(margin: &Tensor, beta: f64, length: f64) -> Result<Tensor> {
    ((margin / length)? - 1.0 / (2.0 * beta))?.sqr()
}

/// −log σ(β(c − r)/length − γ), from c − r (Meng et al., 2024).
pub fn simpo(difference: &Tensor, beta: f64, gamma: f64, length: f64) -> Result<Tensor> {
    log_sigmoid(&((difference * (beta / length))? - gamma)?)?.neg()
}

/// 1 − σ(βΔc) + σ(βΔr) (D'Oosterlinck et al., 2024).
pub fn apo_zero(chosen_ratio: &Tensor, rejected_ratio: &Tensor, beta: f64) -> Result<Tensor> {
    // 1 − σ(x) as σ(−x), which keeps its precision.
    logistic(&(chosen_ratio * -beta)?)? + logistic(&(rejected_ratio * beta)?)?
}

/// Of images to imitate 1 − σ(β(Δ − z)), of images to avoid 1 − σ(β(z − Δ)), each times its
/// weight; z is the mean Δ of the batch's images of the other kind, at least 0, and a constant to
/// the gradient (Ethayarajh et al., 2024).
pub fn kto(
    ratios: &Tensor,
    desirable: &[bool],
    beta: f64,
    (desirable_weight, undesirable_weight): (f64, f64),
) -> Result<Tensor> {
    let known = ratios.detach().to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let mean = |of: bool| {
        let those = known.iter().zip(desirable).filter(|(_, kind)| **kind == of);
        let (sum, count) = those.fold((0.0, 0_u32), |(sum, count), (ratio, _)| {
            (sum + ratio, count + 1)
        });
        (sum / f64::from(count.max(1))).max(0.0)
    };
    let (mean_desirable, mean_undesirable) = (mean(true), mean(false));
    let constant = |of_desirable: f64, of_undesirable: f64| {
        let each: Vec<f64> = desirable
            .iter()
            .map(|&is| if is { of_desirable } else { of_undesirable })
            .collect();
        Tensor::new(each, ratios.device())?.to_dtype(ratios.dtype())
    };
    // The loss is σ of the reward's distance from z, turned so that less is better.
    let z = constant(mean_undesirable, mean_desirable)?;
    let turned = ((ratios - z)? * constant(-beta, beta)?)?;
    logistic(&turned)? * constant(desirable_weight, undesirable_weight)?
}
