//! Comparisons that are exact, and quick look-ups in arrays.
//!
//! Rhai takes two numbers with a point for equal when they are neighbours. A threshold would then
//! mean something else in a script than in a compiled strategy, so scripts are given plain
//! comparisons.

use rhai::{Array, FuncRegistration, ImmutableString, Module};

/// The functions as a module. They count where the engine's built-in operators are off.
pub fn module() -> Module {
    let mut module = Module::new();
    /// Registers the comparisons of two types that `$number` makes numbers of.
    macro_rules! comparisons {
        ($left:ty, $right:ty) => {
            comparisons!($left, $right, "==", ==);
            comparisons!($left, $right, "!=", !=);
            comparisons!($left, $right, "<", <);
            comparisons!($left, $right, "<=", <=);
            comparisons!($left, $right, ">", >);
            comparisons!($left, $right, ">=", >=);
        };
        ($left:ty, $right:ty, $name:literal, $operator:tt) => {
            FuncRegistration::new($name).set_into_module(&mut module, |left: $left, right: $right| {
                (left as f64) $operator (right as f64)
            });
        };
    }
    comparisons!(f64, f64);
    comparisons!(f64, i64);
    comparisons!(i64, f64);
    // What `value in array` calls. The standard one calls `==` for each element, through the engine.
    FuncRegistration::new("contains").set_into_module(
        &mut module,
        |array: &mut Array, value: i64| {
            array
                .iter()
                .any(|item| item.as_int() == Ok(value) || item.as_float() == Ok(value as f64))
        },
    );
    FuncRegistration::new("contains").set_into_module(
        &mut module,
        |array: &mut Array, value: ImmutableString| {
            array.iter().any(|item| {
                item.as_immutable_string_ref()
                    .is_ok_and(|item| *item == value)
            })
        },
    );
    module
}
