//! The functions that scripts are given to answer with, and chance, log and memory.

use std::cell::{Cell, RefCell};

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

impl Decision {
    /// How a script writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Decision::Keep(_) => "keep()",
            Decision::Drop(_) => "drop(reason)",
            Decision::RollBack(_) => "roll_back(reason)",
            Decision::Stop(_) => "stop(reason)",
        }
    }
}

/// What `target`, `avoid` and `pair` make; indices as the script gave them.
#[derive(Clone, Copy)]
pub enum Choice {
    Target {
        group: i64,
        candidate: i64,
        weight: f64,
        desirable: bool,
    },
    Pair {
        group: i64,
        chosen: i64,
        rejected: i64,
        weight: f64,
    },
}

/// What `refuse` makes.
#[derive(Clone)]
pub struct Refusal {
    pub parameter: Option<ImmutableString>,
    pub message: ImmutableString,
}

thread_local! {
    static REMEMBERED: RefCell<Option<Dynamic>> = const { RefCell::new(None) };
    static IN_ROLE: Cell<bool> = const { Cell::new(false) };
}

/// The value that the script last gave to `remember`.
pub fn take_remembered() -> Option<Dynamic> {
    REMEMBERED.take()
}

/// Says that a role's function is called from now on, and no longer what comes before.
pub fn enter_role() {
    IN_ROLE.set(true);
}

/// Refuses what depends on the call before a role's function is called: the top level may run more
/// than once, and must come to the same each time.
///
/// # Errors
/// Before a role's function is called.
pub fn only_in_role(name: &str) -> Result<(), Box<EvalAltResult>> {
    if IN_ROLE.get() {
        Ok(())
    } else {
        Err(format!("`{name}` is for the roles' functions, not for the top level").into())
    }
}

fn no_clock() -> Result<(), Box<EvalAltResult>> {
    Err("scripts cannot `sleep`: there is no clock".into())
}

fn next_random() -> Result<u64, Box<EvalAltResult>> {
    only_in_role("random")?;
    Ok(random::next())
}

fn target(group: i64, candidate: i64, weight: f64) -> Choice {
    Choice::Target {
        group,
        candidate,
        weight,
        desirable: true,
    }
}

fn avoid(group: i64, candidate: i64, weight: f64) -> Choice {
    Choice::Target {
        group,
        candidate,
        weight,
        desirable: false,
    }
}

fn pair(group: i64, chosen: i64, rejected: i64, weight: f64) -> Choice {
    Choice::Pair {
        group,
        chosen,
        rejected,
        weight,
    }
}

/// The functions as a module.
pub fn module() -> Module {
    let mut module = Module::new();
    module
        .set_custom_type::<Decision>("decision")
        .set_custom_type::<Choice>("choice")
        .set_custom_type::<Refusal>("refusal");
    /// Registers a function under a name.
    macro_rules! register {
        ($name:literal, $function:expr) => {
            FuncRegistration::new($name).set_into_module(&mut module, $function);
        };
    }
    register!("keep", || Decision::Keep(ImmutableString::new()));
    register!("keep", |reason: ImmutableString| Decision::Keep(reason));
    register!("drop", |reason: ImmutableString| Decision::Drop(reason));
    register!("roll_back", |reason: ImmutableString| {
        Decision::RollBack(reason)
    });
    register!("stop", |reason: ImmutableString| Decision::Stop(reason));

    register!("target", |group: i64, candidate: i64| target(
        group, candidate, 1.0
    ));
    register!("target", target);
    register!("target", |group: i64, candidate: i64, weight: i64| {
        target(group, candidate, weight as f64)
    });
    register!("avoid", |group: i64, candidate: i64| avoid(
        group, candidate, 1.0
    ));
    register!("avoid", avoid);
    register!("avoid", |group: i64, candidate: i64, weight: i64| {
        avoid(group, candidate, weight as f64)
    });
    register!("pair", |group: i64, chosen: i64, rejected: i64| {
        pair(group, chosen, rejected, 1.0)
    });
    register!("pair", pair);
    register!("pair", |group: i64,
                       chosen: i64,
                       rejected: i64,
                       weight: i64| {
        pair(group, chosen, rejected, weight as f64)
    });

    register!("refuse", |message: ImmutableString| Refusal {
        parameter: None,
        message,
    });
    register!(
        "refuse",
        |parameter: ImmutableString, message: ImmutableString| Refusal {
            parameter: Some(parameter),
            message,
        }
    );

    register!("random", || -> Result<f64, Box<EvalAltResult>> {
        // 53 bits, as many as a number between 0 and 1 holds.
        Ok((next_random()? >> 11) as f64 / (1_u64 << 53) as f64)
    });
    register!("random", |bound: i64| -> Result<i64, Box<EvalAltResult>> {
        let bound = u128::from(bound.max(1).unsigned_abs());
        Ok(((u128::from(next_random()?) * bound) >> 64) as i64)
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
