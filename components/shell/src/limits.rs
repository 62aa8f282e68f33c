//! What one command may use, below what the host gives a call (10 G fuel, 30 s, 64 MiB of memory, 1 MiB of output).
//!
//! Promise: every limit is a constant here, and a crossed one ends the command with a message that names it.
//! An endless loop of the script itself ends here, by the number of commands, before the host's fuel does.
//! Not here: what bashkit does not count, such as an endless loop inside one awk or jq program, a thousand `eval eval`
//! or a block of `dd` larger than memory. The host's fuel, stack and memory end those, and the whole call with them.
//! A command in a shell of its own (`guarded`) counts for itself; how many of those there are is counted.

use std::time::Duration;

use bashkit::{ExecutionLimits, FsLimits, MemoryLimits};

/// The longest script, in bytes.
const SCRIPT_BYTES_MAX: usize = 256 << 10;
/// The arguments of one command that runs in a shell of its own, in bytes.
const ARGUMENTS_BYTES_MAX: usize = 4 << 20;
/// What such a command may print, in bytes: a whole file, which is at most [`FILE_BYTES_MAX`], and more.
const COMMAND_OUTPUT_BYTES_MAX: usize = 16 << 20;
/// How deeply the syntax of a script may nest: each level takes native stack, of which the host gives 1 MiB.
const SYNTAX_LEVELS_MAX: usize = 40;
/// Steps of the parser.
const PARSER_STEPS_MAX: usize = 1_000_000;
/// Commands run.
const COMMANDS_MAX: usize = 50_000;
/// Loop rounds, all loops together.
const LOOP_ROUNDS_MAX: usize = 100_000;
/// Functions, scripts and shells inside each other. bashkit allows no more, for the sake of its stack.
const CALL_LEVELS_MAX: usize = 16;
/// `$(…)` inside `$(…)`.
const SUBSTITUTION_LEVELS_MAX: usize = 12;
/// `(…)` inside `(…)`.
const SUBSHELL_LEVELS_MAX: usize = 12;
/// Steps that bashkit counts inside commands such as awk, sed, jq and find.
const WORK_UNITS_MAX: u64 = 100_000_000;
/// Bytes that all commands together may read.
const INPUT_BYTES_MAX: u64 = 256 << 20;
/// Bytes that buffers between commands hold at one time.
const LIVE_BYTES_MAX: u64 = 16 << 20;
/// Bytes of standard output that are kept, and as many of standard error.
const OUTPUT_BYTES_MAX: usize = 512 << 10;
/// Words that one expansion may split into, and their bytes.
const WORDS_MAX: usize = 100_000;
/// See [`WORDS_MAX`].
const WORDS_BYTES_MAX: usize = 4 << 20;
/// Bytes of all variables together.
const VARIABLES_BYTES_MAX: usize = 4 << 20;
/// Background jobs at one time.
const JOBS_MAX: usize = 16;
/// File descriptors opened with `exec`.
const DESCRIPTORS_MAX: usize = 64;
/// How long a command may take: less than the host allows, so that there is an answer.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(25);
/// The largest file that a command reads or writes, in bytes: bashkit holds files whole.
pub(crate) const FILE_BYTES_MAX: u64 = 8 << 20;
/// Entries of one folder.
pub(crate) const FOLDER_ENTRIES_MAX: usize = 20_000;
/// What `/tmp` holds, in bytes.
const TMP_BYTES_MAX: u64 = 8 << 20;
/// What `/tmp` holds, in files and in folders.
const TMP_FILES_MAX: u64 = 1_000;

/// For one script, which may take no longer than `time`.
pub(crate) fn execution(time: Duration) -> ExecutionLimits {
    ExecutionLimits::new()
        .max_input_bytes(SCRIPT_BYTES_MAX)
        .max_ast_depth(SYNTAX_LEVELS_MAX)
        .max_parser_operations(PARSER_STEPS_MAX)
        .max_commands(COMMANDS_MAX)
        .max_loop_iterations(LOOP_ROUNDS_MAX)
        .max_total_loop_iterations(LOOP_ROUNDS_MAX)
        .max_function_depth(CALL_LEVELS_MAX)
        .max_subst_depth(SUBSTITUTION_LEVELS_MAX)
        .max_subshell_depth(SUBSHELL_LEVELS_MAX)
        .max_work_units(WORK_UNITS_MAX)
        .max_aggregate_input_bytes(INPUT_BYTES_MAX)
        .max_live_intermediate_bytes(LIVE_BYTES_MAX)
        .max_stdout_bytes(OUTPUT_BYTES_MAX)
        .max_stderr_bytes(OUTPUT_BYTES_MAX)
        .max_word_split_fields(WORDS_MAX)
        .max_word_split_bytes(WORDS_BYTES_MAX)
        .max_background_jobs(JOBS_MAX)
        .max_file_descriptors(DESCRIPTORS_MAX)
        .max_history_entries(0)
        .timeout(time)
        .parser_timeout(time)
}

pub(crate) fn memory() -> MemoryLimits {
    MemoryLimits::new().max_total_variable_bytes(VARIABLES_BYTES_MAX)
}

/// For one command in a shell of its own: what it prints may go into a file, so it is more than what is kept.
pub(crate) fn guarded(time: Duration) -> ExecutionLimits {
    execution(time).max_input_bytes(ARGUMENTS_BYTES_MAX).max_stdout_bytes(COMMAND_OUTPUT_BYTES_MAX)
}

/// For a folder of the session. How much it holds is the host's to limit.
pub(crate) fn folder() -> FsLimits {
    FsLimits::new().max_total_bytes(u64::MAX).max_file_size(FILE_BYTES_MAX).max_file_count(u64::MAX)
}

pub(crate) fn tmp() -> FsLimits {
    FsLimits::new()
        .max_total_bytes(TMP_BYTES_MAX)
        .max_file_size(TMP_BYTES_MAX)
        .max_file_count(TMP_FILES_MAX)
        .max_dir_count(TMP_FILES_MAX)
}
