//! `sc-host model`: what a checkpoint is, and whether we compute on it what we should.

pub mod export;
pub mod speed;
pub mod synth;

use std::process::ExitCode;

use crate::args::{InfoArguments, VerifyArguments};
use crate::failure::Mistake;
use crate::model_choice::Chosen;
use crate::model_reference::ModelReference;
use crate::{model_choice, report};

/// The file of a reference implementation's values, beside the weights that they are of.
const EXPECTED: &str = "expected.safetensors";

pub fn info(arguments: &InfoArguments) -> anyhow::Result<ExitCode> {
    let model = model_choice::load(arguments.model.as_deref(), &arguments.load)?;
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
    let own = match &reference {
        ModelReference::Folder(folder) => Some(folder.join(EXPECTED)),
        ModelReference::Hub(_) => None,
    };
    let of_adapter = (arguments.load.adapter.as_ref()).map(|folder| folder.join(EXPECTED));
    let given = arguments.expected.clone();
    let Some(expected) = given.or(of_adapter).or_else(|| own.clone()) else {
        return Err(Mistake::error(
            format!(
                "`--expected` is not given; a model of the hub, as `{}` is, has none",
                reference.name()
            ),
            "`--expected FILE` names the values of a reference implementation",
        ));
    };
    let model = Chosen::of(Some(reference))?.load(&arguments.load)?;
    let inputs = own.filter(|file| file.is_file());
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
