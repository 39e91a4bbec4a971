//! `sc-host model`: what a checkpoint is, and whether we compute on it what we should.

use std::process::ExitCode;

use crate::args::{InfoArguments, VerifyArguments};
use crate::{model_choice, report};

/// The file of a reference implementation's values, beside the weights that they are of.
const EXPECTED: &str = "expected.safetensors";

pub fn info(arguments: &InfoArguments) -> anyhow::Result<ExitCode> {
    let model = model_choice::load(arguments.model.as_deref())?;
    let info = sc_model::info::info(&model);
    if arguments.json {
        report::json_line(&info)?;
    } else {
        report::text(&report::model_info(&info))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub fn verify(arguments: &VerifyArguments) -> anyhow::Result<ExitCode> {
    let mut model = model_choice::load(Some(&arguments.model))?;
    if let Some(adapter) = &arguments.adapter {
        model = model.with_adapter(adapter)?;
    }
    let folder = arguments.adapter.as_ref().unwrap_or(&arguments.model);
    let expected = match &arguments.expected {
        Some(file) => file.clone(),
        None => folder.join(EXPECTED),
    };
    let inputs = arguments.model.join(EXPECTED);
    let inputs = inputs.is_file().then_some(inputs);
    let verification = sc_model::verify::verify(&model, &expected, inputs.as_deref())?;
    if arguments.json {
        report::json_line(&verification)?;
    } else {
        report::text(&report::verification(&verification))?;
    }
    Ok(if verification.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
