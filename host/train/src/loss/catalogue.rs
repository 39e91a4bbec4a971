//! What people read of the losses: formula, options, defaults, source.

use std::fmt;

use sc_core::choice::Objective;
use serde::Serialize;

use crate::loss::{Loss, LossSettings};

/// An option of a loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LossOption {
    /// The option of `sc-host run`, without its dashes.
    pub name: &'static str,
    /// Its default on images of 16 tokens and of 576.
    pub default: [OptionValue; 2],
}

/// The value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum OptionValue {
    /// A number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // As many digits as tell: 57.6, 0.003.
            OptionValue::Number(number) => {
                let text = format!("{number:.4}");
                f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
            }
            OptionValue::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

/// A loss as it is listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LossInfo {
    /// The name that `--objective` takes.
    pub name: &'static str,
    /// Other names that it takes.
    pub aliases: &'static [&'static str],
    /// `targets`, `labelled-targets` or `pairs`.
    pub takes: &'static str,
    /// The formula of one example.
    pub formula: &'static str,
    /// What it is for.
    pub summary: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Whether log-probabilities under a reference model enter.
    pub needs_reference: bool,
    /// Its options.
    pub options: Vec<LossOption>,
}

/// The letters of all formulas, explained.
pub const LETTERS: &str = "c, r: log-probability of the chosen and the rejected image, summed over its \
     N tokens; Δc, Δr: the same less that of the reference, the model of the round's start; \
     h = Δc − Δr; σ: logistic function; ε: label smoothing. Every preference loss has + nll-weight · \
     mean token NLL of the chosen image. Of all, --token-weights rare lets rare codes count more.";

/// Token counts of an image that defaults are shown for: the tiny model's and Janus-Pro's.
const LENGTHS: [usize; 2] = [16, 576];

/// Everything about a loss.
pub fn about(objective: Objective) -> LossInfo {
    let (formula, summary, source) = match objective {
        Objective::Sft => (
            "mean over tokens of −log p(token)",
            "Imitates accepted images.",
            "maximum likelihood; Han et al., 2025 (arXiv 2507.16663)",
        ),
        Objective::Sigmoid => (
            "−(1−ε)·log σ(βh) − ε·log σ(−βh)",
            "DPO; with label smoothing conservative DPO, which distrusts a share ε of the pairs.",
            "Rafailov et al., 2023 (arXiv 2305.18290); Mitchell, 2023",
        ),
        Objective::Robust => (
            "[−(1−ε)·log σ(βh) + ε·log σ(−βh)] / (1−2ε)",
            "DPO that is unbiased where a share ε of the pairs is flipped.",
            "Chowdhury et al., 2024 (arXiv 2403.00409)",
        ),
        Objective::Hinge => (
            "max(0, 1 − βh)",
            "Stops pushing once the margin is reached.",
            "SLiC: Zhao et al., 2023 (arXiv 2305.10425)",
        ),
        Objective::Ipo => (
            "(h/N − 1/(2β))²",
            "Aims at a margin instead of pushing without end; without length normalisation N is 1.",
            "Azar et al., 2023 (arXiv 2310.12036)",
        ),
        Objective::Simpo => (
            "−log σ(β(c − r)/N − γ)",
            "No reference; asks for a margin γ. Without length normalisation N is 1.",
            "Meng et al., 2024 (arXiv 2405.14734)",
        ),
        Objective::ApoZero => (
            "1 − σ(βΔc) + σ(βΔr)",
            "Raises the chosen image and lowers the rejected one, each for itself.",
            "D'Oosterlinck et al., 2024 (arXiv 2408.06266)",
        ),
        Objective::Kto => (
            "to imitate: w·(1 − σ(β(Δ − z))); to avoid: w·(1 − σ(β(z − Δ))); \
             z = max(0, mean Δ of the batch's other kind)",
            "Accepted and rejected images without pairs; each kind has a weight.",
            "Ethayarajh et al., 2024 (arXiv 2402.01306)",
        ),
    };
    let defaults = LENGTHS.map(|tokens| Loss::new(objective, &LossSettings::default(), tokens));
    let option = |name, of: fn(&Loss) -> f64| LossOption {
        name,
        default: [
            OptionValue::Number(of(&defaults[0])),
            OptionValue::Number(of(&defaults[1])),
        ],
    };
    let mut options = Vec::new();
    if objective != Objective::Sft {
        options.push(option("beta", |loss| loss.beta));
        options.push(option("nll-weight", |loss| loss.nll_weight));
    }
    match objective {
        Objective::Sigmoid | Objective::Robust => {
            options.push(option("label-smoothing", |loss| loss.label_smoothing));
        }
        Objective::Simpo => options.push(option("gamma", |loss| loss.gamma)),
        Objective::Kto => {
            options.push(option("desirable-weight", |loss| loss.desirable_weight));
            options.push(option("undesirable-weight", |loss| loss.undesirable_weight));
        }
        _ => {}
    }
    if matches!(objective, Objective::Ipo | Objective::Simpo) {
        options.push(LossOption {
            name: "length-normalised",
            default: [true; 2].map(OptionValue::Flag),
        });
    }
    LossInfo {
        name: objective.name(),
        aliases: objective.aliases(),
        takes: objective.takes().name(),
        formula,
        summary,
        source,
        needs_reference: defaults[0].needs_reference(),
        options,
    }
}

/// Every loss.
pub fn all() -> Vec<LossInfo> {
    Objective::ALL.map(about).to_vec()
}
