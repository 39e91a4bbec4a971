//! The program `sc-host`: arguments, printing, and nothing else.

mod args;
mod commands;
mod config;
mod failure;
mod hub;
mod model_choice;
mod model_reference;
mod new_file;
mod prompts;
mod report;
mod sharing;
mod task_choice;
mod terminal;
mod watch;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command, ModelCommand, StrategyCommand, WorldCommand};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(&error),
    };
    start_log();
    let outcome = match arguments.command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Draw(arguments) => commands::draw::draw(&arguments),
        Command::Score(arguments) => commands::score::score(&arguments),
        Command::Compare(arguments) => commands::compare::compare(&arguments),
        Command::Replay(arguments) => commands::replay::run(&arguments),
        Command::Strategy(StrategyCommand::List(arguments)) => {
            commands::strategy::list::list(&arguments)
        }
        Command::Strategy(StrategyCommand::Inspect(arguments)) => {
            commands::strategy::inspect::inspect(&arguments)
        }
        Command::Strategy(StrategyCommand::Check(arguments)) => {
            commands::strategy::inspect::check(&arguments)
        }
        Command::Strategy(StrategyCommand::Test(arguments)) => {
            commands::strategy::test::test(&arguments)
        }
        Command::Strategy(StrategyCommand::Bench(arguments)) => {
            commands::strategy::test::bench(&arguments)
        }
        Command::Strategy(StrategyCommand::Push(arguments)) => {
            commands::strategy::transfer::push(&arguments)
        }
        Command::Strategy(StrategyCommand::Pull(arguments)) => {
            commands::strategy::transfer::pull(&arguments)
        }
        Command::Strategy(StrategyCommand::Add(arguments)) => {
            commands::strategy::lock::add(&arguments)
        }
        Command::Strategy(StrategyCommand::Update(arguments)) => {
            commands::strategy::lock::update(&arguments)
        }
        Command::Strategy(StrategyCommand::Remove(arguments)) => {
            commands::strategy::lock::remove(&arguments)
        }
        Command::Strategy(StrategyCommand::Prune(arguments)) => {
            commands::strategy::lock::prune(&arguments)
        }
        Command::Strategy(StrategyCommand::Keygen(arguments)) => {
            commands::strategy::sign::keygen(&arguments)
        }
        Command::Strategy(StrategyCommand::Sign(arguments)) => {
            commands::strategy::sign::sign(&arguments)
        }
        Command::Strategy(StrategyCommand::Verify(arguments)) => {
            commands::strategy::sign::verify(&arguments)
        }
        Command::Strategy(StrategyCommand::Limits(arguments)) => {
            commands::strategy::limits::limits(&arguments)
        }
        Command::Strategy(StrategyCommand::New(arguments)) => {
            commands::strategy::new::new(&arguments)
        }
        Command::Probe(command) => commands::probe::probe(&command),
        Command::Debug(command) => commands::debug::debug(&command),
        Command::Loss(command) => commands::loss::loss(&command),
        Command::Model(ModelCommand::Info(arguments)) => commands::model::info(&arguments),
        Command::Model(ModelCommand::Verify(arguments)) => commands::model::verify(&arguments),
        Command::Model(ModelCommand::Speed(arguments)) => commands::model::speed::speed(&arguments),
        Command::Model(ModelCommand::Synth(arguments)) => commands::model::synth::synth(&arguments),
        Command::Model(ModelCommand::Export(arguments)) => {
            commands::model::export::export(&arguments)
        }
        Command::World(WorldCommand::Evaluate(arguments)) => {
            commands::world::evaluate::evaluate(&arguments)
        }
        Command::World(WorldCommand::Pretrain(arguments)) => {
            commands::world::pretrain::pretrain(&arguments)
        }
    };
    match outcome {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}

/// Diagnostics and what strategies log go to stderr; `SC_HOST_LOG` says how much, such as `debug`.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SC_HOST_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,strategy=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        // Nobody reads stderr: it would be told so, and that failure ends the program.
        .log_internal_errors(false)
        .init();
}
