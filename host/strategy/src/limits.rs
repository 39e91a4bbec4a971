//! What a strategy may cost.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::RequestError;

/// The limits of a sandboxed strategy. They bound what a stranger's code can take from the machine;
/// the defaults leave a legitimate strategy at 100,000 groups of candidates room to spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Size of a component's file, in bytes.
    pub component_bytes: u64,
    /// Functions in a component: each costs compile time, however small.
    pub component_functions: u32,
    /// Bytes of all functions of a component together.
    pub component_code_bytes: u64,
    /// Time to compile a component.
    #[serde(with = "seconds", rename = "compile_seconds")]
    pub compile_time: Duration,
    /// Size of a script's text, in bytes.
    pub script_bytes: u64,
    /// Fuel, about one unit an instruction, for a call of a role.
    pub fuel: u64,
    /// Time for a call of a role, host calls included; what the model takes to answer further
    /// questions is not the strategy's time.
    #[serde(with = "seconds", rename = "seconds")]
    pub deadline: Duration,
    /// Fuel for what comes before a role is called: instantiating, loading a script, describing
    /// and checking settings.
    pub setup_fuel: u64,
    /// Time for what comes before a role is called.
    #[serde(with = "seconds", rename = "setup_seconds")]
    pub setup_deadline: Duration,
    /// Memory and tables of all instances of a call together, in bytes.
    pub memory_bytes: usize,
    /// Stack of the compiled code, in bytes.
    pub stack_bytes: usize,
    /// What a call may hand over to the host, in bytes, beside an allowance that grows with its
    /// input (an answer of one decision a candidate cannot be small when there are 100,000).
    pub output_bytes: usize,
    /// The state that a call returns, in bytes.
    pub state_bytes: usize,
    /// Log lines of a call; further ones are counted and dropped.
    pub log_lines: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            component_bytes: 32 << 20,
            component_functions: 60_000,
            component_code_bytes: 16 << 20,
            compile_time: Duration::from_secs(120),
            script_bytes: 64 << 10,
            fuel: 20_000_000_000,
            deadline: Duration::from_secs(60),
            setup_fuel: 1_000_000_000,
            setup_deadline: Duration::from_secs(10),
            memory_bytes: 512 << 20,
            stack_bytes: 1 << 20,
            output_bytes: 1 << 20,
            state_bytes: 1 << 20,
            log_lines: 100,
        }
    }
}

/// Reads and writes one limit as a whole number, or seconds.
enum Field<'a> {
    Count(&'a mut u64),
    Small(&'a mut u32),
    Bytes(&'a mut usize),
    Seconds(&'a mut Duration),
}

impl Limits {
    /// The names that `--limit` takes, with the values that hold.
    pub fn listed(mut self) -> Vec<(&'static str, String)> {
        let fields = self.fields();
        fields
            .into_iter()
            .map(|(name, field)| {
                let value = match field {
                    Field::Count(value) => value.to_string(),
                    Field::Small(value) => value.to_string(),
                    Field::Bytes(value) => value.to_string(),
                    Field::Seconds(value) => value.as_secs_f64().to_string(),
                };
                (name, value)
            })
            .collect()
    }

    /// Changes the limits that `changes` name, each as `NAME=VALUE`. Numbers may be written as
    /// `5e9`, sizes with `k`, `M` or `G` (powers of 1024).
    ///
    /// # Errors
    /// On another name, or a value that is no number in range.
    pub fn with(mut self, changes: &[String]) -> Result<Limits, RequestError> {
        for change in changes {
            let wrong = |expected: String| RequestError::Limit {
                given: change.clone(),
                expected,
            };
            let Some((name, value)) = change.split_once('=') else {
                return Err(wrong("NAME=VALUE".into()));
            };
            let names: Vec<&str> = self.fields().into_iter().map(|(name, _)| name).collect();
            let field = self.fields().into_iter().find(|(known, _)| *known == name);
            let Some((_, field)) = field else {
                return Err(wrong(format!("one of {}", names.join(", "))));
            };
            match field {
                Field::Count(limit) => {
                    *limit = whole(value, u64::MAX).map_err(wrong)?;
                }
                Field::Small(limit) => {
                    *limit = whole(value, u32::MAX.into()).map_err(wrong)? as u32;
                }
                // More than this could not be addressed, or would run over the stack of the main
                // thread, which calls guests too.
                Field::Bytes(limit) => {
                    let most = if name == "stack_bytes" {
                        2 << 20
                    } else {
                        1 << 36
                    };
                    *limit = whole(value, most).map_err(wrong)? as usize;
                }
                Field::Seconds(limit) => {
                    let seconds = value
                        .parse()
                        .ok()
                        .filter(|s| (0.001..=86_400.0).contains(s));
                    *limit = seconds
                        .map(Duration::from_secs_f64)
                        .ok_or_else(|| wrong("seconds, from 0.001 to 86400".into()))?;
                }
            }
        }
        Ok(self)
    }

    fn fields(&mut self) -> [(&'static str, Field<'_>); 14] {
        use Field::{Bytes, Count, Seconds, Small};
        [
            ("component_bytes", Count(&mut self.component_bytes)),
            ("component_functions", Small(&mut self.component_functions)),
            (
                "component_code_bytes",
                Count(&mut self.component_code_bytes),
            ),
            ("compile_seconds", Seconds(&mut self.compile_time)),
            ("script_bytes", Count(&mut self.script_bytes)),
            ("fuel", Count(&mut self.fuel)),
            ("seconds", Seconds(&mut self.deadline)),
            ("setup_fuel", Count(&mut self.setup_fuel)),
            ("setup_seconds", Seconds(&mut self.setup_deadline)),
            ("memory_bytes", Bytes(&mut self.memory_bytes)),
            ("stack_bytes", Bytes(&mut self.stack_bytes)),
            ("output_bytes", Bytes(&mut self.output_bytes)),
            ("state_bytes", Bytes(&mut self.state_bytes)),
            ("log_lines", Small(&mut self.log_lines)),
        ]
    }
}

/// A whole number from 0 to `most`.
fn whole(text: &str, most: u64) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'k')) => (&text[..at], 1 << 10),
        Some((at, 'M')) => (&text[..at], 1 << 20),
        Some((at, 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().ok().or_else(|| {
        // Such as 5e9; beyond 2^53 only the digits themselves are exact.
        let number: f64 = digits.parse().ok()?;
        (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
    });
    number
        .and_then(|number| number.checked_mul(factor))
        .filter(|number| *number <= most)
        .ok_or_else(|| format!("a whole number from 0 to {most}"))
}

/// Durations as seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: &str, expected: &str) {
        let found = Limits::default().with(&[change.to_owned()]).map_or_else(
            |error| error.to_string(),
            |limits| format!("{:?}", limits.listed()),
        );
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn limits_are_changed_by_name() {
        check("fuel=5e9", "(\"fuel\", \"5000000000\")");
        check("memory_bytes=64M", "(\"memory_bytes\", \"67108864\")");
        check("seconds=0.5", "(\"seconds\", \"0.5\")");
        check("log_lines=7", "(\"log_lines\", \"7\")");
        check("fuel", "expected NAME=VALUE");
        check("speed=1", "expected one of component_bytes, ");
        for value in ["-1", "1.5", "many", "", "1e300", "99999999999G"] {
            check(
                &format!("fuel={value}"),
                "expected a whole number from 0 to",
            );
        }
        check("log_lines=4294967296", "from 0 to 4294967295");
        check("stack_bytes=1G", "from 0 to 2097152");
        for value in ["0", "NaN", "inf", "-1"] {
            check(&format!("seconds={value}"), "expected seconds, from 0.001");
        }
    }
}
