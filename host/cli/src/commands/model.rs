//! `sc-host model`: what a checkpoint is, and whether we compute on it what we should.

use std::process::ExitCode;

use crate::args::{InfoArguments, VerifyArguments};
use crate::{model_choice, report};

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
    let model = model_choice::load(Some(&arguments.model))?;
    let expected = match &arguments.expected {
        Some(file) => file.clone(),
        None => arguments.model.join("expected.safetensors"),
    };
    let verification = sc_model::verify::verify(&model, &expected)?;
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
