//! Figures as people read them.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use sc_core::co_improvement::{CoImprovement, WinRate};
use sc_core::metrics::Share;
use sc_model::info::ModelInfo;
use sc_model::verify::Report;
use sc_run::evaluation::Figures;
use serde::Serialize;

use crate::failure::Mistake;
use crate::terminal::printable;

/// Prints one JSON object as one line on stdout.
pub fn json_line<T: Serialize>(value: &T) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    print(&line)
}

/// Prints text for people on stdout.
pub fn text(text: &str) -> anyhow::Result<()> {
    print(printable(text).as_bytes())
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => error.into(),
        _ => Mistake::error(
            format!("cannot write to standard output: {error}"),
            "what the command leaves on disk is in its place; only what it prints is lost",
        ),
    })
}

/// `45.7 % [42.6, 48.8]`
pub fn share(share: &Share) -> String {
    if share.n == 0 {
        return "not known".to_owned();
    }
    format!(
        "{:5.1} % [{:.1}, {:.1}]",
        share.value * 100.0,
        share.low * 100.0,
        share.high * 100.0
    )
}

/// The change in points, `+4.5`; nothing where one of the two is not known.
fn change(before: &Share, after: &Share) -> String {
    if before.n == 0 || after.n == 0 {
        return String::new();
    }
    format!("{:+.1}", (after.value - before.value) * 100.0)
}

/// The figures before and after, a line each, with the change in points.
pub fn before_after(before: &Figures, after: &Figures) -> String {
    let rows = [
        (
            "Nonunified score",
            Some(before.nonunified.share),
            Some(after.nonunified.share),
        ),
        (
            "generation accuracy",
            before.generation_accuracy,
            after.generation_accuracy,
        ),
        (
            "understanding accuracy",
            before.understanding_accuracy,
            after.understanding_accuracy,
        ),
        (
            "weak-generation share",
            before.weak_generation_share,
            after.weak_generation_share,
        ),
    ];
    let mut table = format!("{:24}{:24}{:24}{:>8}\n", "", "before", "after", "change");
    for (name, before, after) in rows {
        if let (Some(before), Some(after)) = (before, after) {
            let change = change(&before, &after);
            // Writing to a string cannot fail.
            let _ = writeln!(
                table,
                "{name:24}{:24}{:24}{change:>8}",
                share(&before),
                share(&after),
            );
        }
    }
    let unparsed = before.nonunified.unparsed + after.nonunified.unparsed;
    if unparsed > 0 {
        let _ = writeln!(
            table,
            "answers that could not be read: {} before, {} after",
            before.nonunified.unparsed, after.nonunified.unparsed
        );
    }
    table
}

/// How the judging of the first model's images changed.
pub fn co_improvement(found: &CoImprovement) -> String {
    let rate = |rate: &WinRate| {
        format!(
            "{:5.1} % [{:.1}, {:.1}], {} flips",
            rate.value * 100.0,
            rate.low * 100.0,
            rate.high * 100.0,
            rate.n
        )
    };
    let flips = &found.flips;
    let mut lines = vec![
        ("understanding win rate", rate(&found.win_rate)),
        ("the same, free of bias", rate(&found.bias_free_win_rate)),
        (
            "false positives",
            format!(
                "{:5} corrected, {} new",
                flips.false_positives_corrected, flips.false_positives_new
            ),
        ),
        (
            "false negatives",
            format!(
                "{:5} corrected, {} new",
                flips.false_negatives_corrected, flips.false_negatives_new
            ),
        ),
    ];
    if let Some(area) = &found.area {
        let area = format!(
            "{:5.1} before, {:.1} after, change {:+.2} [{:+.2}, {:+.2}]",
            area.before * 100.0,
            area.after * 100.0,
            area.change * 100.0,
            area.low * 100.0,
            area.high * 100.0
        );
        lines.push(("area under ROC of p-yes", area));
    }
    let lines: String = (lines.into_iter())
        .map(|(name, value)| format!("{name:24}{value}\n"))
        .collect();
    format!(
        "\njudging {} images of the model that it began with:\n{lines}",
        found.images
    )
}

/// Every tensor of a verification with its errors, the failed ones marked.
pub fn verification(report: &Report) -> String {
    let mut table = format!(
        "{:6}{:>12}{:>12}{:>12}  tensor\n",
        "", "absolute", "relative", "limit"
    );
    for tensor in &report.tensors {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "{:6}{:>12.2e}{:>12.2e}{:>12.0e}  {}",
            if tensor.passed { "ok" } else { "FAILED" },
            tensor.max_abs,
            tensor.max_rel,
            tensor.limit,
            tensor.name
        );
        if let Some(reason) = &tensor.reason {
            let _ = writeln!(table, "      {}", printable(reason));
        }
    }
    let failed = report.tensors.iter().filter(|t| !t.passed).count();
    let _ = match failed {
        0 => writeln!(
            table,
            "all {} tensors are as expected",
            report.tensors.len()
        ),
        _ => writeln!(table, "{failed} of {} tensors differ", report.tensors.len()),
    };
    table
}

/// A checkpoint's description, a fact a line.
pub fn model_info(info: &ModelInfo) -> String {
    let (language, eye, pictures) = (
        &info.language_model,
        &info.vision_model,
        &info.image_tokenizer,
    );
    let mut facts = vec![
        ("family", info.family.to_owned()),
        (
            "parameters",
            format!("{} in {}", info.parameters, info.dtype),
        ),
        (
            "language model",
            format!(
                "{} layers of {}, MLP of {}, {} heads of {}, {} key-value heads, {} words",
                language.layers,
                language.hidden,
                language.intermediate,
                language.heads,
                language.head_dim,
                language.kv_heads,
                language.vocabulary
            ),
        ),
        (
            "understanding eye",
            format!(
                "{} layers of {}, {} heads, patches of {} pixels, {} tokens an image",
                eye.layers, eye.hidden, eye.heads, eye.patch, eye.tokens
            ),
        ),
        (
            "image tokenizer",
            format!(
                "{} codes of {}, {} levels, {} tokens an image of {} pixels a side",
                pictures.codes, pictures.width, pictures.levels, pictures.tokens, info.image_size
            ),
        ),
        (
            "guidance",
            info.guidance
                .map_or("not given".to_owned(), |w| w.to_string()),
        ),
        ("verdict", info.verdict.to_owned()),
    ];
    if let Some(adapter) = &info.adapter {
        let scaled = if adapter.rslora { " (rsLoRA)" } else { "" };
        facts.push((
            "adapter",
            format!(
                "rank {}, alpha {}{scaled}, {} parameters on {} linear layers",
                adapter.rank, adapter.alpha, adapter.parameters, adapter.modules
            ),
        ));
    }
    facts.extend(info.groups.iter().map(|group| {
        let count = format!(
            "{} parameters in {} tensors",
            group.parameters, group.tensors
        );
        (group.group, count)
    }));
    facts.extend(
        info.special_tokens
            .iter()
            .map(|special| (special.token, special.id.to_string())),
    );
    facts
        .into_iter()
        .map(|(name, fact)| format!("{name:24}{fact}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_from_or_to_nothing_known_is_not_shown() {
        let (known, other, unknown) = (Share::of(1, 4), Share::of(3, 4), Share::of(0, 0));
        assert_eq!(change(&known, &other), "+50.0");
        assert_eq!(change(&known, &unknown), "");
        assert_eq!(change(&unknown, &known), "");
    }
}
