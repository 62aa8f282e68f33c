//! Limits of the core's own, each with its unit in its name. Limits of one tool call live with the
//! hand that enforces them.

/// Steps a turn takes at most, unless told otherwise.
pub const TURN_STEPS_MAX_DEFAULT: u32 = 64;
/// Tool calls that one response may make; more are answered with a failure and not run.
pub const STEP_CALLS_MAX: usize = 64;
/// Attempts at one model request, the first included, unless told otherwise.
pub const RETRY_ATTEMPTS_MAX_DEFAULT: u32 = 6;
/// Wait before the first repetition; it doubles from there. Milliseconds.
pub const RETRY_DELAY_FIRST_MS: u64 = 500;
/// No wait between repetitions is longer, whatever a provider asks for. Milliseconds.
pub const RETRY_DELAY_MAX_MS: u64 = 120_000;
/// A prompt is at most this long, in bytes.
pub const PROMPT_BYTES_MAX: usize = 1 << 20;
/// Arguments of one call are at most this long, in bytes.
pub const ARGUMENT_BYTES_MAX: usize = 4 << 20;
/// Text of one tool result that reaches the model, in bytes. What is beyond is cut, with the way to read on.
pub const RESULT_TEXT_BYTES_MAX: usize = 64 << 10;
/// A title, in characters.
pub const TITLE_CHARS_MAX: usize = 80;
/// Grants in force in one session.
pub const GRANTS_MAX: usize = 1_024;
/// A payload of one event, in bytes: a response with a few large calls must fit.
pub const EVENT_PAYLOAD_BYTES_MAX: usize = 64 << 20;

// A legal call must be loggable.
const _: () = assert!(ARGUMENT_BYTES_MAX * 4 < EVENT_PAYLOAD_BYTES_MAX);
