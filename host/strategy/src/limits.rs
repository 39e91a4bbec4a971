//! What a strategy may cost.

use std::time::Duration;

/// The limits of a sandboxed strategy. They bound what a stranger's code can take from the machine;
/// the defaults leave a legitimate strategy at 100,000 candidates room to spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of a component's file, in bytes.
    pub component_bytes: u64,
    /// Functions in a component: each costs compile time, however small.
    pub component_functions: u32,
    /// Bytes of all functions of a component together.
    pub component_code_bytes: u64,
    /// Time to compile a component.
    pub compile_time: Duration,
    /// Size of a script's text, in bytes.
    pub script_bytes: u64,
    /// Fuel, about one unit an instruction, for a call of a role.
    pub fuel: u64,
    /// Time for a call of a role.
    pub deadline: Duration,
    /// Fuel for what comes before a role is called: instantiating, loading a script, describing
    /// and configuring.
    pub setup_fuel: u64,
    /// Time for what comes before a role is called.
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
            component_bytes: 16 << 20,
            component_functions: 20_000,
            component_code_bytes: 5 << 20,
            compile_time: Duration::from_secs(30),
            script_bytes: 64 << 10,
            fuel: 5_000_000_000,
            deadline: Duration::from_secs(10),
            setup_fuel: 500_000_000,
            setup_deadline: Duration::from_secs(2),
            memory_bytes: 512 << 20,
            stack_bytes: 1 << 20,
            output_bytes: 1 << 20,
            state_bytes: 1 << 20,
            log_lines: 100,
        }
    }
}
