//! `sc-host probe`: a closer look at a run or a model.

mod dynamics;
mod label;
mod plot;

use std::process::ExitCode;

use crate::args::ProbeCommand;

pub fn probe(command: &ProbeCommand) -> anyhow::Result<ExitCode> {
    match command {
        ProbeCommand::Dynamics(arguments) => dynamics::dynamics(arguments),
        ProbeCommand::Label(arguments) => label::label(arguments),
    }
}
