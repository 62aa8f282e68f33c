//! The two tables of limits: what a turn may take, and what one tool call may use.
//!
//! Promise: one list gives the keys, their ranges, their documentation and both shapes (as written,
//! as resolved), so none can be forgotten in one place.
//!
//! Not here: enforcing them (the engine and the hands), ceilings (`resolve`).

use crate::source::Sourced;
use schemars::JsonSchema;
use serde::Deserialize;

macro_rules! limit_table {
    (
        $(#[$doc:meta])* $raw:ident => $resolved:ident, $group:literal {
            $($(#[$field_doc:meta])* $field:ident = $key:literal in $min:literal..=$max:literal,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $raw {
            $($(#[$field_doc])* #[serde(rename = $key)] #[schemars(range(min = $min, max = $max as u64))]
            pub(crate) $field: Option<u64>,)+
        }

        impl $raw {
            /// The table's name in files.
            pub(crate) const GROUP: &str = $group;

            /// The value under a key, if it is a key and set.
            pub(crate) fn get(&self, key: &str) -> Option<u64> {
                match key { $($key => self.$field,)+ _ => None }
            }

            /// Every key that is set, with its value.
            #[allow(dead_code)] // One of the two tables is written by components.
            pub(crate) fn set(&self) -> Vec<(&'static str, u64)> {
                [$(($key, self.$field)),+].into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
            }

            /// Drops the value under a key.
            pub(crate) fn clear(&mut self, key: &str) {
                match key { $($key => self.$field = None,)+ _ => {} }
            }
        }

        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $resolved {
            $($(#[$field_doc])* pub $field: Sourced<u64>,)+
        }

        impl $resolved {
            /// Asks for the value of every key.
            pub(crate) fn build(mut value: impl FnMut(&'static str) -> Sourced<u64>) -> Self {
                Self { $($field: value($key),)+ }
            }

            /// Every key with its value, in the order they are shown.
            pub fn entries(&self) -> Vec<(&'static str, &Sourced<u64>)> {
                vec![$(($key, &self.$field)),+]
            }
        }
    };
}

limit_table! {
    /// What a turn and its model requests may take.
    RawTurnLimits => TurnLimits, "limits" {
        /// Highest value that `max-steps` may have: model requests in one turn.
        turn_steps_max = "turn-steps-max" in 1..=100_000,
        /// How often one model request is repeated after a failure that may pass; 0 is never.
        retry_attempts_max = "retry-attempts-max" in 0..=20,
        /// Tokens that one model response may have.
        model_output_tokens_max = "model-output-tokens-max" in 1..=1_000_000,
    }
}

limit_table! {
    /// What one tool call may use. Reaching a limit is an outcome that names it.
    RawToolLimits => ToolLimits, "tool-limits" {
        /// Deterministic work, in wasmtime's fuel (about one per instruction).
        fuel = "fuel" in 1_000..=1_000_000_000_000_000,
        /// Wall-clock time of the whole call, host calls included, in milliseconds.
        deadline_ms = "deadline-ms" in 1..=86_400_000,
        /// Bytes over all linear memories of the call.
        memory_bytes = "memory-bytes" in 65_536..=17_179_869_184,
        /// Elements over all tables of the call.
        table_elements = "table-elements" in 1..=10_000_000,
        /// Core instances.
        instances = "instances" in 1..=10_000,
        /// The guest's stack, in bytes.
        stack_bytes = "stack-bytes" in 65_536..=67_108_864,
        /// Bytes of the outcome.
        output_bytes = "output-bytes" in 1..=67_108_864,
        /// Bytes written to standard output and error together.
        log_bytes = "log-bytes" in 0..=67_108_864,
        /// Bytes the host holds on behalf of the guest.
        host_bytes = "host-bytes" in 65_536..=1_073_741_824,
        /// Open files, directories and streams.
        open_handles = "open-handles" in 1..=65_536,
        /// Bytes of all staged files together.
        staged_bytes = "staged-bytes" in 0..=1_099_511_627_776,
        /// Number of staged files and directories.
        staged_files = "staged-files" in 0..=10_000_000,
        /// Bytes of the arguments.
        argument_bytes = "argument-bytes" in 1..=16_777_216,
        /// Requests that leave the host, redirects included.
        requests = "requests" in 0..=10_000,
        /// Bytes of all requests' bodies together.
        request_bytes = "request-bytes" in 0..=1_073_741_824,
        /// Bytes of all responses' bodies together.
        response_bytes = "response-bytes" in 0..=1_073_741_824,
        /// Bytes of all values written to kv, keys included.
        kv_bytes = "kv-bytes" in 0..=16_777_216,
    }
}
