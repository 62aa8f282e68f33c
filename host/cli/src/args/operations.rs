//! The command line of what is done with whole sessions, and of `trust`.

use super::{ApproveWord, OutputArgs};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// Which files a fork works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FilesWord {
    /// Those of its origin, in the same folder.
    Shared,
    /// A copy of them.
    Copy,
}

/// Where a fork works.
#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    /// Whether it works on the same files, or on a copy of them as they are now.
    #[arg(long, value_name = "WORD", default_value = "shared")]
    pub(crate) files: FilesWord,
    /// The folder to copy to, which must not exist; beside the workspace if not given.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) to: Option<PathBuf>,
    /// The title of the new session.
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// The session.
    pub(crate) id: String,
    /// The approval, question or plan, as `sessions pending` names it.
    #[arg(value_name = "PENDING")]
    pub(crate) pending: String,
    /// An approval: yes; no REASON; exact, pattern [JSON], tool or category, each with how far (turn, session,
    /// workspace, agent, global) and how long (30m, 2h, 7d); edit JSON. A plan: yes [MODE]; no FEEDBACK.
    /// A question: the answer; of several choices each with a comma between; nothing to give no answer.
    #[arg(value_name = "ANSWER", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) answer: Vec<String>,
    /// What the approval binds to, as `sessions pending` shows it: the answer counts for nothing else.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) binds_to: Option<String>,
    #[command(flatten)]
    pub(crate) how: GiveArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SayArgs {
    /// The session.
    pub(crate) id: String,
    /// The words; `-` reads standard input.
    #[arg(value_name = "TEXT")]
    pub(crate) text: String,
    /// Reaches the model at its next step. So it is where nothing else is said.
    #[arg(long, conflicts_with_all = ["queue", "interrupt"])]
    pub(crate) steer: bool,
    /// Begins the next turn.
    #[arg(long, conflicts_with = "interrupt")]
    pub(crate) queue: bool,
    /// Stops the turn under way, and begins the next one.
    #[arg(long)]
    pub(crate) interrupt: bool,
    #[command(flatten)]
    pub(crate) how: GiveArgs,
}

/// How something is given to a session, whoever holds it.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct GiveArgs {
    /// Where another process holds the session: wait so long for what comes of it. 10 if not given.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<u64>,
    /// Take the session over from another process that holds it.
    #[arg(long)]
    pub(crate) take_over: bool,
    /// How much to ask from here on, where this process goes on with the session.
    #[arg(long, value_name = "WORD")]
    pub(crate) approve: Option<ApproveWord>,
    /// Print one JSON event per line; the last line is the only `run_ended`.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionOperation {
    /// List the approvals, questions and plans that wait for an answer.
    Pending {
        /// Only those of this session.
        id: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Answer an approval, question or plan, and go on until the turn ends or something else waits. Where another
    /// process holds the session, it takes the answer and goes on.
    Answer(AnswerArgs),
    /// Say something to a session, whatever is under way, and go on until its turns end. Where another process holds the
    /// session, it takes the message and goes on. Nothing that waits for an answer is declined by it.
    Say(SayArgs),
    /// Stop what is under way without saying anything: a turn that runs in another process, waits for an answer, or was
    /// left over by a crash. Nothing of it is run any more, and what asked is withdrawn.
    Stop {
        /// The session.
        id: String,
        /// Where another process holds the session: wait so long until it has stopped. 10 if not given.
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u64>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Tell what came of an answer or message that another process was to take.
    Receipt {
        /// The session.
        id: String,
        /// What was given, as `sessions answer` and `sessions say` name it.
        #[arg(value_name = "GIVEN")]
        entry: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Go on with a session in a conversation: `run --session ID`.
    Switch {
        /// The session.
        id: String,
    },
    /// Show a session's events as they come, whoever writes it.
    Follow {
        /// The session.
        id: String,
        /// Begin after this event; what is there already is left out if not given.
        #[arg(long, value_name = "N")]
        after: Option<u64>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Begin a session that goes on from an event of another one.
    Fork {
        /// The session.
        id: String,
        /// The last event that both share; the last there is if not given.
        #[arg(long, value_name = "N")]
        at: Option<u64>,
        #[command(flatten)]
        how: ForkArgs,
    },
    /// Begin a session that goes on from where another one is: `sessions fork` at its last event.
    Clone {
        /// The session.
        id: String,
        #[command(flatten)]
        how: ForkArgs,
    },
    /// Go back to an event. What came after stays in the log.
    Rewind {
        /// The session.
        id: String,
        /// The event.
        #[arg(long, value_name = "N")]
        to: u64,
        /// Take back what its calls changed since, too. Without it files stay as they are.
        #[arg(long)]
        files: bool,
        /// Replace what somebody else made of these files. It is not kept.
        #[arg(long, requires = "files")]
        force: bool,
        /// Only show what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask.
        #[arg(long, short = 'y')]
        yes: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Put sessions away: lists leave them out.
    Archive {
        /// The sessions.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Take sessions out again that were put away.
    Unarchive {
        /// The sessions.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Take in a session that `sessions export` wrote. Nothing is granted, allowed or under way in it.
    Import {
        /// The file.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The folder it works in from now on.
        #[arg(long, short = 'w', value_name = "DIR", value_hint = ValueHint::DirPath)]
        workspace: Option<PathBuf>,
        /// Under the id it had.
        #[arg(long)]
        same_id: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Check a whole log: chain, order, fold, contents. A damaged event is named.
    Verify {
        /// The session.
        id: String,
        /// A head that the log had once (`sessions show` tells it): a log that was cut does not have it any more.
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Feed the recorded inputs to the core again: it has to say the same, byte for byte.
    Replay {
        /// The session.
        id: String,
        /// Run its calls again, each in a fresh sandbox over what was there before: same outcome, changes, fuel.
        #[arg(long)]
        execute: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TrustKeyArgs {
    /// What it is about, as `trust show` writes it (AGENT/COMPONENT/TOOL/TASK/CATEGORY/RISK), or a part of it that
    /// only one has.
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    /// The session whose tools and ledger count; the latest if not given.
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
}

/// A level of trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelWord {
    /// What the defaults ask is asked.
    Supervised,
    /// Some of it is asked.
    SemiAutonomous,
    /// None of it is asked.
    Autonomous,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Show the ledger: how calls turned out, and what of them needs no asking.
    Show {
        /// As this session knows it; as all sessions together do if not given.
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Give a level. Evidence begins anew; a boundary, a deny and an ask of a rule or mode stay what they are.
    Set {
        #[command(flatten)]
        key: TrustKeyArgs,
        /// The level.
        #[arg(value_name = "LEVEL")]
        level: LevelWord,
    },
    /// Take trust back: in one key, or in everything.
    Reset {
        /// As for `trust set`; everything if not given.
        key: Option<String>,
        /// The session whose ledger counts; the latest if not given.
        #[arg(long, value_name = "ID")]
        session: Option<String>,
    },
    /// List what ran by trust alone and was not looked at yet, or say how a call was.
    Review {
        /// Only this session's.
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        /// These calls were as they should be.
        #[arg(long, value_name = "CALL")]
        accept: Vec<String>,
        /// These calls were not: it counts as a denial. `sessions undo` takes back what they changed.
        #[arg(long, value_name = "CALL")]
        reject: Vec<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
}
