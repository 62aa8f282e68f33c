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
/// What is allowed for later calls in one session.
pub const ALLOWANCES_MAX: usize = 256;
/// One allowance as it is kept, in bytes of JSON.
pub const ALLOWANCE_BYTES_MAX: usize = 16 << 10;
/// How often one call may need something before it ends.
pub const CALL_ROUNDS_MAX: u32 = 32;
/// Calls that one call of the model's may need, theirs included.
pub const NESTED_CALLS_MAX: u32 = 16;
/// How deep calls may need each other: a call that the model asked for is at depth 0.
pub const NESTED_DEPTH_MAX: u32 = 4;
/// A component's question, in bytes.
pub const QUESTION_BYTES_MAX: usize = 16 << 10;
/// Answers to choose from.
pub const QUESTION_CHOICES_MAX: usize = 64;
/// One answer to choose from, in bytes.
pub const QUESTION_CHOICE_BYTES_MAX: usize = 1 << 10;
/// A person's answer to a question, or the reason of a no, in bytes.
pub const ANSWER_BYTES_MAX: usize = 16 << 10;
/// A submitted plan's title, in characters.
pub const PLAN_TITLE_CHARS_MAX: usize = 120;
/// A submitted plan, in bytes.
pub const PLAN_BYTES_MAX: usize = 64 << 10;
/// Things in the list of what is to be done.
pub const TODOS_MAX: usize = 100;
/// One of them, in characters.
pub const TODO_TEXT_CHARS_MAX: usize = 500;
/// What a component leaves for itself until it goes on, in bytes.
pub const RESUME_STATE_BYTES_MAX: usize = 64 << 10;
/// Requests of one call's record.
pub const RECORD_REQUESTS_MAX: usize = 10_000;
/// Kv writes of one call's record.
pub const RECORD_KV_WRITES_MAX: usize = 10_000;
/// Refused capabilities of one call's record.
pub const RECORD_REFUSED_MAX: usize = 1_024;
/// A key in kv, in bytes.
pub const KV_KEY_BYTES_MAX: usize = 256;
/// A value in kv, in bytes.
pub const KV_VALUE_BYTES_MAX: usize = 64 << 10;
/// Paths that are named of what nested calls changed.
pub const NESTED_PATHS_SHOWN_MAX: usize = 16;
/// Characters of replaced arguments that the model is shown in the result.
pub const REPLACED_ARGUMENTS_SHOWN_CHARS_MAX: usize = 2_000;
/// Calls whose changes one undoing takes back.
pub const UNDO_CALLS_MAX: usize = 10_000;
/// Messages that wait in a session.
pub const MESSAGES_WAITING_MAX: usize = 64;
/// Bytes of all messages that wait in a session.
pub const MESSAGES_WAITING_BYTES_MAX: usize = 4 << 20;
/// Tokens of a response that are set aside where the turn does not limit them.
pub const OUTPUT_TOKENS_RESERVED: u32 = 8_192;
/// How often the same call has the same outcome before the model is told of it.
pub const REPEAT_TOLD: u32 = 3;
/// How often the same call has the same outcome before the turn ends.
pub const REPEAT_STOPS: u32 = 5;
/// Answers of policies that are kept for the step under way: two for each of its calls, and for those they need.
pub const POLICY_ANSWERS_MAX: usize = 2 * STEP_CALLS_MAX * (1 + NESTED_CALLS_MAX as usize);
/// Notes of modes and hooks that wait for the model's next step.
pub const NOTES_MAX: usize = 64;
/// A note of a hook, in bytes.
pub const NOTE_BYTES_MAX: usize = 16 << 10;
/// Modes of a context.
pub const MODES_MAX: usize = 64;
/// A mode's instructions, in bytes.
pub const MODE_INSTRUCTIONS_BYTES_MAX: usize = 16 << 10;
/// Answers that one input may bring.
pub const ANSWERS_MAX: usize = 256;
/// Keys of the trust ledger that a session knows.
pub const TRUST_KEYS_MAX: usize = 1_024;
/// Calls whose undoing still counts for trust: the last that changed something.
pub const TRUST_CALLS_MAX: usize = 1_024;
/// Calls that ran by trust alone and wait for a review; the oldest are left out beyond it.
pub const UNREVIEWED_MAX: usize = 256;
/// Arguments of one of them that are shown, in characters.
pub const UNREVIEWED_ARGUMENTS_CHARS_MAX: usize = 500;
/// A payload of one event, in bytes: a response with a few large calls must fit.
pub const EVENT_PAYLOAD_BYTES_MAX: usize = 64 << 20;

// A legal call must be loggable.
const _: () = assert!(ARGUMENT_BYTES_MAX * 4 < EVENT_PAYLOAD_BYTES_MAX);
