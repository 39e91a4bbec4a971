//! `sc-host model export`: a model for other programs.

use std::process::ExitCode;

use sc_model::{Naming, UnifiedModel};
use serde::Serialize;

use crate::args::{ExportArguments, Format};
use crate::failure::Mistake;
use crate::model_choice::Chosen;
use crate::{report, watch};

/// What was written.
#[derive(Serialize)]
struct Written {
    to: String,
    format: &'static str,
    /// Whether an adapter is in the weights.
    merged: bool,
}

pub fn export(arguments: &ExportArguments) -> anyhow::Result<ExitCode> {
    // A run directory has its model in a folder of it.
    let of_run = arguments.model.join("model");
    let is_run = arguments.model.join("config.toml").is_file() && of_run.is_dir();
    let named = if is_run { &of_run } else { &arguments.model };
    let model = Chosen::typed(Some(named))?.load(&arguments.load)?;
    let adapted = model.parameters().adapter().is_some();
    let (format, layout) = match arguments.format {
        Format::Peft => ("peft", None),
        Format::HuggingFace => ("hf", Some(Naming::HuggingFace)),
        Format::Original => ("original", Some(Naming::Original)),
    };
    match layout {
        Some(layout) => {
            let bytes = sc_model::export::weight_bytes(&model);
            let bar = watch::bytes_bar("writing weights", bytes);
            let written = sc_model::export::export(&model, layout, &arguments.to, &mut |bytes| {
                bar.inc(bytes);
            });
            bar.finish_and_clear();
            written?;
        }
        None if adapted => model.export_adapter(&arguments.to)?,
        None => {
            return Err(Mistake::error(
                format!("`{}` has no adapter to write", arguments.model.display()),
                "`--format hf` or `--format original` writes a whole model; runs with `--train lora` \
                 make adapters",
            ));
        }
    }
    let written = Written {
        to: arguments.to.display().to_string(),
        format,
        merged: adapted && layout.is_some(),
    };
    if arguments.json {
        report::json_line(&written)?;
    } else {
        let merged = if written.merged {
            ", with its adapter in the weights"
        } else {
            ""
        };
        report::text(&format!("{}{merged}\n", written.to))?;
    }
    Ok(ExitCode::SUCCESS)
}
