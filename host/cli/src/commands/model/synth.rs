//! `sc-host model synth`: a checkpoint of a real one's form, with random weights.

use std::process::ExitCode;

use serde::Serialize;

use crate::args::SynthArguments;
use crate::{report, watch};

/// What was written.
#[derive(Serialize)]
struct Written {
    out: String,
    parameters: usize,
    bytes: u64,
    files: Vec<String>,
}

pub fn synth(arguments: &SynthArguments) -> anyhow::Result<ExitCode> {
    let synthesis = arguments.synthesis();
    let bar = watch::bytes_bar("writing weights", synthesis.weight_bytes()?);
    let written = synthesis.write(&arguments.out, |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let written = written?;
    let written = Written {
        out: arguments.out.display().to_string(),
        parameters: written.parameters,
        bytes: written.bytes,
        files: written.files,
    };
    if arguments.json {
        report::json_line(&written)?;
    } else {
        report::text(&written.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Written {
    fn text(&self) -> String {
        format!(
            "model: {}\nparameters: {}\nbytes: {} in {} files\nIts weights are random: what it draws \
             and says means nothing.\n",
            self.out,
            self.parameters,
            self.bytes,
            self.files.len()
        )
    }
}
