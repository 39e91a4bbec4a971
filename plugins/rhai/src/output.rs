//! What scripts return beside plans: decisions, choices, and why settings are refused.

use rhai::Dynamic;

use crate::exports::sc::strategy::about::Refusal;
use crate::exports::sc::strategy::{data_filter, pair_selection, quality_gate};
use crate::fields::{array, found, natural, wrong};
use crate::helpers::{self, Choice, Decision};

pub fn filter(value: Dynamic) -> Result<Vec<Vec<data_filter::Decision>>, String> {
    const EXPECTED: &str = "an array with one keep() or drop(reason) for each candidate";
    array(
        "what `data_filter` returns",
        "an array with an array for each group",
        value,
    )?
    .into_iter()
    .enumerate()
    .map(|(group, decisions)| {
        array(format_args!("group {group}"), EXPECTED, decisions)?
            .into_iter()
            .enumerate()
            .map(|(position, value)| {
                candidate_decision(value).map_err(|found| {
                    format!(
                        "candidate {position} of group {group} must be keep() or drop(reason), \
                         not {found}"
                    )
                })
            })
            .collect()
    })
    .collect()
}

/// The decision on one candidate; otherwise what was found.
fn candidate_decision(value: Dynamic) -> Result<data_filter::Decision, String> {
    match value.try_cast_result() {
        Ok(Decision::Keep(_)) => Ok(data_filter::Decision::Keep),
        Ok(Decision::Drop(reason)) => Ok(data_filter::Decision::Drop(reason.into())),
        Ok(other) => Err(other.name().to_owned()),
        Err(value) => Err(found(&value)),
    }
}

pub fn choices(value: Dynamic) -> Result<Vec<pair_selection::Choice>, String> {
    const EXPECTED: &str =
        "target(group, candidate), avoid(group, candidate) or pair(group, chosen, rejected)";
    array(
        "what `pair_selection` returns",
        "an array of target(…), avoid(…) or pair(…)",
        value,
    )?
    .into_iter()
    .enumerate()
    .map(|(position, value)| {
        let index = |name, index| natural(format_args!("{name} of choice {position}"), index);
        match value.try_cast_result() {
            Ok(Choice::Target {
                group,
                candidate,
                weight,
                desirable,
            }) => Ok(pair_selection::Choice::Target(pair_selection::Target {
                group: index("the group", group)?,
                candidate: index("the candidate", candidate)?,
                weight,
                desirable,
            })),
            Ok(Choice::Pair {
                group,
                chosen,
                rejected,
                weight,
            }) => Ok(pair_selection::Choice::Pair(pair_selection::Pair {
                group: index("the group", group)?,
                chosen: index("the chosen candidate", chosen)?,
                rejected: index("the rejected candidate", rejected)?,
                weight,
            })),
            Err(value) => Err(wrong(format_args!("choice {position}"), EXPECTED, &value)),
        }
    })
    .collect()
}

pub fn gate(value: Dynamic) -> Result<quality_gate::Decision, String> {
    let found = match value.try_cast_result() {
        Ok(Decision::Keep(reason)) => return Ok(quality_gate::Decision::Keep(reason.into())),
        Ok(Decision::RollBack(reason)) => {
            return Ok(quality_gate::Decision::RollBack(reason.into()));
        }
        Ok(Decision::Stop(reason)) => return Ok(quality_gate::Decision::Stop(reason.into())),
        Ok(other) => other.name().to_owned(),
        Err(value) => found(&value),
    };
    Err(format!(
        "what `quality_gate` returns must be keep(reason), roll_back(reason) or stop(reason), not \
         {found}"
    ))
}

/// Why `check` refuses settings, if it does. `is_parameter` says whether there is one of a name.
pub fn refusal(
    value: Dynamic,
    is_parameter: impl Fn(&str) -> bool,
) -> Result<Option<Refusal>, String> {
    if value.is_unit() {
        return Ok(None);
    }
    let helpers::Refusal { parameter, message } = value.try_cast_result().map_err(|value| {
        let expected = "nothing, refuse(message) or refuse(parameter, message)";
        wrong("what `check` returns", expected, &value)
    })?;
    match parameter {
        Some(name) if !is_parameter(&name) => {
            Err(format!("`check` refuses `{name}`, which is no parameter"))
        }
        parameter => Ok(Some(Refusal {
            parameter: parameter.map(Into::into),
            message: message.into(),
        })),
    }
}
