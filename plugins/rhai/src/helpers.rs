//! The functions that scripts are given.

use std::cell::RefCell;

use rhai::{Dynamic, Engine, EvalAltResult, FuncRegistration, ImmutableString, Module};

use crate::sc::strategy::{log, random};

/// What `keep`, `drop`, `roll_back` and `stop` make.
#[derive(Clone)]
pub enum Decision {
    Keep(ImmutableString),
    Drop(ImmutableString),
    RollBack(ImmutableString),
    Stop(ImmutableString),
}

/// What `target` and `pair` make; indices as the script gave them.
#[derive(Clone, Copy)]
pub enum Choice {
    Target {
        group: i64,
        candidate: i64,
        weight: f64,
    },
    Pair {
        group: i64,
        chosen: i64,
        rejected: i64,
        weight: f64,
    },
}

thread_local! {
    static REMEMBERED: RefCell<Option<Dynamic>> = const { RefCell::new(None) };
}

/// The value that the script last gave to `remember`.
pub fn take_remembered() -> Option<Dynamic> {
    REMEMBERED.take()
}

fn no_clock() -> Result<(), Box<EvalAltResult>> {
    Err("scripts cannot `sleep`: there is no clock".into())
}

/// The functions as a module.
pub fn module() -> Module {
    let mut module = Module::new();
    module.set_custom_type::<Decision>("decision");
    module.set_custom_type::<Choice>("choice");
    /// Registers a function under a name.
    macro_rules! register {
        ($name:literal, $function:expr) => {
            FuncRegistration::new($name).set_into_module(&mut module, $function);
        };
    }
    register!("keep", || Decision::Keep(ImmutableString::new()));
    register!("keep", |reason: ImmutableString| Decision::Keep(reason));
    register!("drop", |reason: ImmutableString| Decision::Drop(reason));
    register!("roll_back", |reason: ImmutableString| Decision::RollBack(
        reason
    ));
    register!("stop", |reason: ImmutableString| Decision::Stop(reason));
    register!("target", |group: i64, candidate: i64| Choice::Target {
        group,
        candidate,
        weight: 1.0
    });
    register!("target", |group: i64, candidate: i64, weight: f64| {
        Choice::Target {
            group,
            candidate,
            weight,
        }
    });
    register!("pair", |group: i64, chosen: i64, rejected: i64| {
        Choice::Pair {
            group,
            chosen,
            rejected,
            weight: 1.0,
        }
    });
    register!("pair", |group: i64,
                       chosen: i64,
                       rejected: i64,
                       weight: f64| Choice::Pair {
        group,
        chosen,
        rejected,
        weight,
    });
    register!("random", || {
        // 53 bits, as many as a number between 0 and 1 holds.
        (random::next() >> 11) as f64 / (1_u64 << 53) as f64
    });
    register!("random", |bound: i64| {
        let bound = u128::from(bound.max(1).unsigned_abs());
        ((u128::from(random::next()) * bound) >> 64) as i64
    });
    // Those of the standard library would wait, for which there is no clock.
    register!("sleep", |_: i64| no_clock());
    register!("sleep", |_: f64| no_clock());
    register!("log", |message: ImmutableString| {
        log::write(log::Level::Info, &message);
    });
    register!("warn", |message: ImmutableString| {
        log::write(log::Level::Warn, &message);
    });
    register!("remember", |value: Dynamic| {
        REMEMBERED.replace(Some(value));
    });
    module
}

/// Sends what `print` and `debug` write to the run's log.
pub fn redirect_output(engine: &mut Engine) {
    engine.on_print(|text| log::write(log::Level::Info, text));
    engine.on_debug(|text, _, _| log::write(log::Level::Debug, text));
}
