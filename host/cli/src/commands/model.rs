//! `sc-host model`: what a checkpoint is, and whether we compute on it what we should.

use std::process::ExitCode;

use crate::args::{InfoArguments, VerifyArguments};
use crate::failure::Mistake;
use crate::model_choice::Chosen;
use crate::model_reference::ModelReference;
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
    let reference = ModelReference::parse(&arguments.model)?;
    let expected = match (&arguments.expected, &reference) {
        (Some(file), _) => file.clone(),
        (None, ModelReference::Folder(folder)) => folder.join("expected.safetensors"),
        (None, ModelReference::Hub(reference)) => {
            return Err(Mistake::error(
                format!(
                    "`--expected` is not given; a model of the hub, as `{reference}` is, has none"
                ),
                "`--expected FILE` names the values of a reference implementation",
            ));
        }
    };
    let model = Chosen::of(Some(reference))?.load()?;
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
