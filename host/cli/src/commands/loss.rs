//! `sc-host loss`: the losses by name, and their values.

use std::fmt::Write as _;
use std::io::Read as _;
use std::process::ExitCode;

use candle_core::{Device, Tensor};
use sc_core::choice::Takes;
use sc_train::loss::formula::PairLogProbs;
use sc_train::loss::{Loss, LossSettings, catalogue};
use serde::{Deserialize, Serialize};

use crate::args::{LossCommand, LossEvalArguments};
use crate::failure::Mistake;
use crate::{config, report};

/// Most bytes that are read of standard input.
const MOST_INPUT: u64 = 256 << 20;

pub fn loss(command: &LossCommand) -> anyhow::Result<ExitCode> {
    match command {
        LossCommand::List(arguments) if arguments.json => report::json_line(&catalogue::all())?,
        LossCommand::List(_) => report::text(&listed())?,
        LossCommand::Eval(arguments) => eval(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn listed() -> String {
    let mut text = String::new();
    for loss in catalogue::all() {
        let aliases = match loss.aliases {
            [] => String::new(),
            aliases => format!(" ({})", aliases.join(", ")),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}{aliases}, takes {}", loss.name, loss.takes);
        let _ = writeln!(text, "  {}\n  {}", loss.formula, loss.summary);
        for option in &loss.options {
            let [short, long] = option.default;
            let _ = if short == long {
                writeln!(text, "  --{} {short}", option.name)
            } else {
                let name = option.name;
                writeln!(
                    text,
                    "  --{name} {short} at 16 tokens an image, {long} at 576"
                )
            };
        }
        let _ = writeln!(text, "  {}\n", loss.source);
    }
    let _ = writeln!(text, "{}", catalogue::LETTERS);
    text
}

/// Log-probabilities of whole images, as the golden files of trainers hold them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inputs {
    chosen_logps: Vec<f64>,
    rejected_logps: Vec<f64>,
    ref_chosen_logps: Vec<f64>,
    ref_rejected_logps: Vec<f64>,
    len: f64,
    #[serde(default)]
    beta: Option<f64>,
}

#[derive(Serialize)]
struct Values {
    per_sequence: Vec<f64>,
    mean: f64,
}

fn eval(arguments: &LossEvalArguments) -> anyhow::Result<()> {
    if let Some(option) = arguments.options.unused(arguments.objective) {
        return Err(config::no_such_option(option, arguments.objective));
    }
    if arguments.options.nll_weight.is_some() {
        return Err(Mistake::error(
            "`--nll-weight` is given; expected the loss without its NLL term, which needs the tokens",
            "leave it out; a run has it",
        ));
    }
    let inputs = read()?;
    let mut settings = LossSettings {
        beta: inputs.beta,
        ..LossSettings::default()
    };
    arguments.options.apply(&mut settings);
    for (name, value, range) in settings.numbers() {
        if let Some(value) = value.filter(|value| !range.contains(value)) {
            let option = name.replace('_', "-");
            return Err(Mistake::error(
                format!(
                    "`--{option}` is {value}; expected a number from {} to {}",
                    range.start(),
                    range.end()
                ),
                "`sc-host loss list` shows the options and their defaults",
            ));
        }
    }
    let loss = Loss::new(arguments.objective, &settings, inputs.len as usize);
    let per_sequence = values(&loss, &inputs)?;
    let mean = per_sequence.iter().sum::<f64>() / per_sequence.len() as f64;
    if let Some(at) = per_sequence.iter().position(|value| !value.is_finite()) {
        return Err(Mistake::error(
            format!("the loss of sequence {at} is no finite number"),
            "log-probabilities of an image are sums of logarithms: 0 at most, and some thousands below \
             it at least",
        ));
    }
    if arguments.json {
        return report::json_line(&Values { per_sequence, mean });
    }
    let mut text: String = per_sequence
        .iter()
        .zip(0..)
        .map(|(value, number)| format!("{number:>8}  {value}\n"))
        .collect();
    let _ = writeln!(text, "{:>8}  {mean}", "mean");
    report::text(&text)
}

fn values(loss: &Loss, inputs: &Inputs) -> anyhow::Result<Vec<f64>> {
    let tensor = |values: &[f64]| Tensor::new(values, &Device::Cpu);
    let (chosen, rejected) = (
        tensor(&inputs.chosen_logps)?,
        tensor(&inputs.rejected_logps)?,
    );
    let reference_chosen = tensor(&inputs.ref_chosen_logps)?;
    let reference_rejected = tensor(&inputs.ref_rejected_logps)?;
    let each = match loss.objective.takes() {
        // The mean over the tokens of an image is the sum over its length.
        Takes::Targets => (chosen / -inputs.len)?,
        Takes::LabelledTargets => {
            let ratios = [
                (chosen - reference_chosen)?,
                (rejected - reference_rejected)?,
            ];
            let of = |kind: bool, ratios: &Tensor| vec![kind; ratios.elem_count()];
            let kinds = [of(true, &ratios[0]), of(false, &ratios[1])].concat();
            loss.labelled(&Tensor::cat(&ratios, 0)?, &kinds)?
        }
        Takes::Pairs => loss.pairs(&PairLogProbs {
            chosen: &chosen,
            rejected: &rejected,
            reference_chosen: &reference_chosen,
            reference_rejected: &reference_rejected,
        })?,
    };
    Ok(each.to_vec1()?)
}

/// What stands on standard input, checked.
fn read() -> anyhow::Result<Inputs> {
    let hint = "one JSON object with lists `chosen_logps`, `rejected_logps`, `ref_chosen_logps`, \
                `ref_rejected_logps` and the number `len`; the `inputs` of \
                host/train/tests/data/dpo-golden.json is one";
    let mistake = |problem: String| Mistake::error(format!("standard input {problem}"), hint);
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MOST_INPUT)
        .read_to_end(&mut bytes)
        .map_err(|error| mistake(format!("cannot be read: {error}")))?;
    let inputs: Inputs = serde_json::from_slice(&bytes)
        .map_err(|error| mistake(format!("is not what is expected: {error}")))?;
    let n = inputs.chosen_logps.len();
    if n == 0 {
        return Err(mistake(
            "has an empty `chosen_logps`; expected at least one".into(),
        ));
    }
    for (name, list) in [
        ("rejected_logps", &inputs.rejected_logps),
        ("ref_chosen_logps", &inputs.ref_chosen_logps),
        ("ref_rejected_logps", &inputs.ref_rejected_logps),
    ] {
        if list.len() != n {
            let found = list.len();
            return Err(mistake(format!(
                "has {found} numbers in `{name}`; expected {n}, as in `chosen_logps`"
            )));
        }
    }
    if !(inputs.len >= 1.0 && inputs.len.fract() == 0.0 && inputs.len <= 1e9) {
        let len = inputs.len;
        return Err(mistake(format!(
            "has `len` {len}; expected the whole number of tokens of an image"
        )));
    }
    Ok(inputs)
}
