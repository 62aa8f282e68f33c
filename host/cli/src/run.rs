//! `harness-host run`: a task from the argument, from standard input, or interactively.
//!
//! Promise: every way out has its exit code, `--json` ends with exactly one `run_ended` line, and a
//! session that still waits for something is kept.

mod answer_schema;
mod answers;
mod ask;
mod drive;
mod elsewhere;
mod given;
mod interactive;
mod plan;
mod receipt;
mod reply;
mod said;
mod screen;
mod typed;
mod waiting;

use crate::args::{Cli, RunArgs};
use crate::budget_words::{self, Raise};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::grant_lists::GrantFiles;
use crate::installed::{self, Installation};
use crate::modes::Modes;
use crate::settings::{self, Said, Settings};
use crate::wiring::{self, Wiring};
use answer_schema::AnswerSchema;
pub(crate) use answers::letter;
use ask::TerminalAsker;
pub(crate) use ask::{Hush, ask_question};
use drive::{Driver, TurnResult};
use elsewhere::Elsewhere;
pub(crate) use elsewhere::{Handed, hand_over, hand_over_and_wait};
use given::{Given, Here, limits_of};
pub(crate) use given::{answer, say};
use harness_core::event::{Context, ModelFailureKind, TurnEnd};
use harness_core::limits::PROMPT_BYTES_MAX;
use harness_core::message::Delivery;
use harness_core::{ModelRef, Sequence, SessionId};
use harness_engine::ports::{Hands, SessionFilter, Takeover};
use harness_engine::{NewSession, Session, SessionError};
use interactive::Surroundings;
pub(crate) use receipt::Receipt;
use screen::Screen;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub(crate) use waiting::Waiting;

/// Attempts to get an answer that fits the schema, the first included.
const ANSWER_ATTEMPTS_MAX: u32 = 3;

/// Sessions looked through for one to continue.
const CONTINUE_SESSIONS_MAX: usize = 1_000;

/// Runs the command.
pub(crate) async fn run(cli: &Cli, args: &RunArgs) -> Result<Exit, Failure> {
    run_or_give(cli, args, None).await
}

async fn run_or_give(cli: &Cli, args: &RunArgs, given: Option<&Given<'_>>) -> Result<Exit, Failure> {
    let mut screen = Screen::new(args.json);
    let result = run_with(cli, args, given, &mut screen).await;
    match &result {
        Ok(exit) => screen.run_ended(*exit, None),
        Err(failure) => screen.run_ended(failure.exit, Some(&failure.message)),
    }
    result
}

async fn run_with(cli: &Cli, args: &RunArgs, given: Option<&Given<'_>>, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut workspace = settings::workspace_folder(args.workspace.as_deref())?;
    let said = Said::from_cli(cli).with_run(args);
    let mut settings = settings::read(&said, Some(&workspace))?;
    screen.set_color(settings.resolved.ui.color.value);
    let schema = args.output_schema.as_deref().map(AnswerSchema::read).transpose()?;
    let somebody = std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !args.json && given.is_none();
    let prompt = given_prompt(args)?;
    let mut wiring = wiring::wire(&settings)?;
    let existing = chosen_session(&wiring, args, &workspace).await?;
    if let Some(own) = other_workspace(&wiring, existing, (args, &workspace)).await? {
        // The session's own folder is what its settings are read for.
        workspace = settings::workspace_folder(Some(&own))?;
        settings = settings::read(&said, Some(&workspace))?;
        wiring = wiring::wire(&settings)?;
    }
    let piped = prompt.is_none() && given.is_none() && !std::io::stdin().is_terminal();
    let prompt = match prompt {
        // What a session still waits for comes first; a pipe is read only where nothing else is to do.
        None if piped && args.then.is_empty() && !waits(&wiring, existing).await? => Some(read_prompt()?),
        prompt => prompt,
    };
    let to = given.zip(existing).filter(|_| !args.take_over);
    let sent = match to {
        Some(to) => match elsewhere::give(&wiring, &settings, to, None, screen).await? {
            Elsewhere::Told(exit) => return Ok(exit),
            Elsewhere::Left(sent) => sent,
        },
        None => None,
    };
    for withheld in &settings.resolved.withheld {
        screen.note(&format!("{withheld} (harness-host config trust, to trust it)"));
    }
    if let Ok((ModelRef { provider, .. }, _)) = settings.model() {
        let models = wiring.models.clone();
        // Certificates and the key are read while the session opens.
        tokio::spawn(async move { models.warm(&provider).await });
    }
    let installation = installed::installation(&settings, Some(&workspace), *wiring.runtime.limits())?.whole()?;
    for withheld in &installation.lists.withheld {
        screen.note(&format!("{withheld} (harness-host config trust, to trust it)"));
    }
    screen.set_components(installation.components_by_tool(), &installation.grants);
    let modes = Modes::new(&wiring.runtime, &installation)?;
    wiring.judge_by(modes.policies());
    let place = Site { settings: &settings, workspace: &workspace, installation: &installation, modes: &modes };
    let opened = open(&wiring, &place, args, existing, screen).await;
    let Opened { session, before, model, mode, is_under_way } = match (opened, to) {
        // Another process was faster.
        (Err(failure), Some(to)) => match elsewhere::give(&wiring, &settings, to, sent, screen).await? {
            Elsewhere::Told(exit) => return Ok(exit),
            Elsewhere::Left(_) => return Err(failure),
        },
        (opened, _) => opened?,
    };
    let lists = Arc::new(GrantFiles::new(&settings, &workspace, &installation));
    session.follow_grants(lists).await.map_err(|error| Failure::because("opening the session", &error))?;
    screen.session(session.id(), &model, &mode, &workspace, settings.key_place(&model.provider));
    let asker = somebody.then(|| TerminalAsker::new(screen.paint()));
    let limits = limits_of(&settings, Some(&model));
    let state = session.snapshot().await.map_err(|error| Failure::because("opening the session", &error))?.state;
    if let Some(words) = budget_words::without_price(&state, &limits.budget) {
        screen.note(&words);
    }
    let mut driver = Driver::new(session.clone(), before, wiring.host.ports(), asker, limits)?;
    let (prepared, policies) = (installation.components.clone(), modes.clone());
    let host = wiring.host.clone();
    driver.once_requested(move || wiring.prepare(&prepared, &policies));
    driver.observe(&workspace).await?;
    let receipt = match given {
        Some(given) => {
            driver.settle();
            Here { session: &session, host: &host, before, limits }.give(given, sent).await?
        }
        None => None,
    };
    let exit = match prompt {
        None if somebody && args.then.is_empty() => {
            let (settings, workspace, installation) = (&settings, workspace.as_path(), &installation);
            let surroundings = Surroundings { settings, workspace, installation, modes };
            interactive::converse(&mut driver, screen, surroundings, is_under_way).await
        }
        prompt => {
            // What was given may have begun a turn.
            let is_under_way = is_under_way || given.is_some();
            let task = Task { prompt, then: &args.then, schema: schema.as_ref(), is_under_way };
            once(&mut driver, screen, task).await
        }
    };
    session.close().await;
    if let Some(mut receipt) = receipt {
        receipt.look(&host).await?;
        screen.note(&receipt.in_words());
        screen.receipt(&receipt);
    }
    exit
}

/// What is to be done without a conversation.
struct Task<'a> {
    prompt: Option<String>,
    /// Prompts that wait for the turn before them.
    then: &'a [String],
    schema: Option<&'a AnswerSchema>,
    is_under_way: bool,
}

/// One prompt with those that wait for it, or only what the session still waits for.
async fn once(driver: &mut Driver, screen: &mut Screen, task: Task<'_>) -> Result<Exit, Failure> {
    let Task { prompt, then, schema, is_under_way } = task;
    if prompt.is_none() {
        queue(driver, then).await?;
    }
    if is_under_way || (prompt.is_none() && !then.is_empty()) {
        let result = driver.until_turn_ends(screen).await?;
        match (exit_of(&result, screen), &prompt) {
            (Exit::Done, Some(_)) => {}
            (exit, _) => return Ok(exit),
        }
    } else if prompt.is_none() {
        return Err(Failure::usage(
            "there is nothing to do: the session waits for a prompt. Give one: harness-host run --continue \"…\"",
        ));
    }
    let Some(mut prompt) = prompt else { return Ok(Exit::Done) };
    if let Some(schema) = schema {
        prompt = schema.ask_for(&prompt);
    }
    for attempt in 1..=ANSWER_ATTEMPTS_MAX {
        driver.prompt(prompt).await?;
        queue(driver, then).await?;
        let result = driver.until_turn_ends(screen).await?;
        let exit = exit_of(&result, screen);
        let Some(schema) = schema.filter(|_| exit == Exit::Done) else { return Ok(exit) };
        match schema.check(screen.answer()) {
            Ok(answer) => {
                screen.structured_answer(answer);
                return Ok(Exit::Done);
            }
            Err(why) if attempt == ANSWER_ATTEMPTS_MAX => {
                return Err(Failure::failed(format!("the answer does not fit the output schema: {why}")));
            }
            Err(why) => {
                screen.note(&format!("the answer does not fit the output schema, asking again: {why}"));
                prompt = schema.ask_again(&why);
            }
        }
    }
    Ok(Exit::Failed)
}

/// Has prompts wait for their turns, each durable when this returns.
async fn queue(driver: &mut Driver, then: &[String]) -> Result<(), Failure> {
    for text in then {
        driver.say(text.clone(), Delivery::Queue).await?;
    }
    Ok(())
}

/// The exit code of a drive's end; tells the person what it means.
fn exit_of(result: &TurnResult, screen: &mut Screen) -> Exit {
    match result {
        TurnResult::Ended { end, raise } => exit_of_turn(end, raise.as_ref(), screen),
        TurnResult::Left => Exit::Interrupted,
        TurnResult::NeedsAnswer { asks, ids, pending } => {
            // What a component or the model wants to know, and a plan, only a person answers.
            let how = match pending.iter().any(|it| it.get("approval").is_some()) {
                true => "on a terminal or with --approve edits|all|none",
                false => "on a terminal",
            };
            screen.pending(pending.clone());
            for ask in asks {
                screen.reason(&format!("an answer is needed and nobody can be asked: {ask}"));
            }
            screen.note(&format!("go on, {how}: {}", screen.resume()));
            if let (Some(session), Some(id)) = (screen.session_id(), ids.first()) {
                screen.note(&format!("or answer: harness-host sessions answer {session} {id} ANSWER"));
                if ids.len() > 1 {
                    screen.note(&format!("all that waits, and its answers: harness-host sessions pending {session}"));
                }
            }
            Exit::NeedsAnswer
        }
    }
}

/// The exit code of a turn's end, with what it means.
fn exit_of_turn(end: &TurnEnd, raise: Option<&Raise>, screen: &mut Screen) -> Exit {
    match end {
        TurnEnd::Done => Exit::Done,
        TurnEnd::Interrupted => Exit::Interrupted,
        TurnEnd::Limit { limit, maximum } => {
            let command = raise.map(|raise| format!("{} {} \"go on\"", screen.resume(), raise.option));
            let how = match (raise, &command) {
                (Some(raise), Some(command)) if screen.is_in_conversation() => {
                    format!(" {}", raise.in_conversation(command))
                }
                (_, Some(command)) => format!(" Raise it, and go on: {command}"),
                (_, None) => String::new(),
            };
            let reached = budget_words::reached(limit, *maximum);
            screen.reason(&format!("stopped: {reached} was reached.{how}"));
            screen.limit(limit, *maximum, command);
            Exit::Limit
        }
        TurnEnd::Stopped { by, words } => {
            screen.reason(&format!("stopped by the hook {by}: {words}"));
            Exit::Failed
        }
        TurnEnd::Stuck { tool, times } => {
            let how = match screen.is_in_conversation() {
                true => String::new(),
                false => format!(": {} \"…\"", screen.resume()),
            };
            screen.reason(&format!(
                "stopped: {tool} was called {times} times with the same outcome. Say what to do instead{how}"
            ));
            Exit::Limit
        }
        TurnEnd::Failed { failure } => {
            screen.reason(&format!("the model could not be asked ({}): {failure}", failure.kind.word()));
            if failure.kind == ModelFailureKind::Authentication
                && let Some(place) = screen.key_place()
            {
                screen.reason(&format!("the key came from {place}: correct it there"));
            }
            Exit::Failed
        }
    }
}

/// The prompt on the command line; none where it is to be read elsewhere.
fn given_prompt(args: &RunArgs) -> Result<Option<String>, Failure> {
    // One that could not wait would be found after the first turn began.
    if args.then.iter().any(|text| text.trim().is_empty() || text.len() > PROMPT_BYTES_MAX) {
        return Err(Failure::usage(format!("a prompt of --then has 1 to {PROMPT_BYTES_MAX} bytes")));
    }
    match args.prompt.as_deref() {
        None => Ok(None),
        Some("-") => read_prompt().map(Some),
        Some(text) if text.trim().is_empty() => Err(Failure::usage("the prompt is empty")),
        Some(text) => Ok(Some(text.to_owned())),
    }
}

fn read_prompt() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let limit = PROMPT_BYTES_MAX as u64 + 1;
    std::io::stdin()
        .lock()
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::because("reading standard input", &error))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::usage("standard input is not UTF-8 text"))?;
    if text.len() > PROMPT_BYTES_MAX {
        return Err(Failure::usage(format!("the prompt on standard input is longer than {PROMPT_BYTES_MAX} bytes")));
    }
    if text.trim().is_empty() {
        return Err(Failure::usage(
            "no prompt: give one as an argument or on standard input (see harness-host run --help)",
        ));
    }
    Ok(text)
}

/// The session that `--session` or `--continue` means; none for a new one.
async fn chosen_session(wiring: &Wiring, args: &RunArgs, workspace: &Path) -> Result<Option<SessionId>, Failure> {
    if let Some(text) = &args.session {
        return wiring.find_session(text).await.map(Some);
    }
    if !args.continue_last {
        return Ok(None);
    }
    let workspace = workspace.display().to_string();
    let sessions_max = CONTINUE_SESSIONS_MAX;
    let filter = SessionFilter { workspace: Some(workspace.clone()), sessions_max, ..SessionFilter::default() };
    let latest =
        wiring.host.ports().index.list(filter).await.map_err(|error| Failure::because("listing sessions", &error))?;
    // A session in which nothing was said yet has nothing to go on with.
    match latest.iter().find(|summary| summary.turns > 0) {
        Some(summary) => Ok(Some(summary.session)),
        None => Err(Failure::usage(format!(
            "there is no session to continue in {workspace}: begin one with harness-host run \"…\""
        ))),
    }
}

/// The folder of a session, if it is another one.
async fn other_workspace(
    wiring: &Wiring,
    session: Option<SessionId>,
    (args, workspace): (&RunArgs, &Path),
) -> Result<Option<PathBuf>, Failure> {
    let Some(id) = session else { return Ok(None) };
    let summary = wiring.host.ports().index.summary(id).await;
    let own = PathBuf::from(summary.map_err(|error| Failure::because("reading the session", &error))?.workspace);
    if own != workspace && args.workspace.is_some() {
        let (own, workspace) = (own.display(), workspace.display());
        return Err(Failure::usage(format!("that session works in {own}, not in {workspace}")));
    }
    Ok((own != workspace).then_some(own))
}

/// Whether a session has a turn under way, or something in its inbox.
async fn waits(wiring: &Wiring, session: Option<SessionId>) -> Result<bool, Failure> {
    let Some(id) = session else { return Ok(false) };
    if !given::left_for(&wiring.host, id).await?.is_empty() {
        return Ok(true);
    }
    let loaded = wiring.host.load(id).await.map_err(|error| Failure::because("reading the session", &error))?;
    Ok(loaded.state.turn.is_some())
}

/// A session that was opened.
struct Opened {
    session: Session,
    /// The position after which its new events begin.
    before: Sequence,
    model: ModelRef,
    /// The mode in force.
    mode: String,
    /// A turn was under way when it was opened, or began by what was left for it. It may have ended by now, of which its
    /// events tell.
    is_under_way: bool,
}

/// What a session is opened in.
struct Site<'a> {
    settings: &'a Settings,
    workspace: &'a Path,
    installation: &'a Installation,
    modes: &'a Modes,
}

impl Site<'_> {
    /// What a model is told, in a session whose modes begin with this one.
    fn context(
        &self,
        wiring: &Wiring,
        model: (ModelRef, String),
        mode: &str,
        hands: &dyn Hands,
        screen: &Screen,
    ) -> Result<Context, Failure> {
        let mut tools = hands.tools();
        self.installation.classify(&mut tools);
        let (modes, notes) = self.modes.specs(self.settings, mode)?;
        notes.iter().for_each(|note| screen.note(note));
        Ok(wiring.context(self.settings, model, self.workspace, tools, modes))
    }

    fn hands(&self, wiring: &Wiring) -> Result<Arc<dyn Hands>, Failure> {
        let components = self.installation.components.clone();
        wiring.hands(self.settings, self.workspace, components, wiring.host.ports().kv.clone())
    }
}

/// Opens the session that was chosen, or a new one.
async fn open(
    wiring: &Wiring,
    site: &Site<'_>,
    args: &RunArgs,
    existing: Option<SessionId>,
    screen: &mut Screen,
) -> Result<Opened, Failure> {
    let settings = site.settings;
    let Some(id) = existing else {
        let hands = site.hands(wiring)?;
        let mode = settings.resolved.mode.value.clone();
        let context = site.context(wiring, settings.model()?, &mode, hands.as_ref(), screen)?;
        let new = NewSession { workspace: site.workspace.display().to_string(), title: None };
        let model = context.model.clone();
        let session = wiring.host.create(new, context, site.installation.grants.clone(), hands).await;
        let session = session.map_err(|error| Failure::because("creating a session", &error))?;
        let budget = settings.session_budget();
        if !budget.is_empty() {
            set(session.set_budget(budget).await)?;
        }
        return Ok(Opened { session, before: Sequence::START, model, mode, is_under_way: false });
    };
    let loaded = wiring.host.load(id).await.map_err(|error| Failure::because("reading the session", &error))?;
    screen.expect(&loaded.state.messages);
    let hands = site.hands(wiring)?;
    // A session keeps its model unless another one is asked for.
    let model = match (&args.model, &loaded.state.context) {
        (None, Some(before)) if settings.resolved.providers.contains_key(&before.model.provider) => {
            (before.model.clone(), before.model_reason.clone())
        }
        (None, Some(before)) => {
            return Err(Failure::usage(format!(
                "{id} asks {}, whose provider is not configured any more: configure it, or choose another model with --model",
                before.model
            )));
        }
        _ => settings.model()?,
    };
    // It keeps its mode too, and the order of its modes, so that nothing changes where nothing was said.
    let of_session = loaded.state.context.as_ref().and_then(|context| context.modes.first());
    let first = of_session.map(|mode| &mode.name).filter(|name| site.modes.has(name));
    let first = first.unwrap_or(&settings.resolved.mode.value);
    let context = site.context(wiring, model, first, hands.as_ref(), screen)?;
    if let Some(mode) = args.mode.as_ref().filter(|mode| !site.modes.has(mode)) {
        site.modes.specs(settings, mode)?;
    }
    let model = context.model.clone();
    let before = loaded.state.mode.clone();
    let mode = if site.modes.has(&before) { before } else { first.clone() };
    let takeover = if args.take_over { Takeover::Force } else { Takeover::IfGone };
    let session =
        wiring.host.open(id, context, site.installation.grants.clone(), hands, takeover).await.map_err(|error| {
            let hint = match args.take_over {
                true => String::new(),
                false => format!(
                    " (--take-over takes it from another process; harness-host sessions say {id} TEXT, and sessions answer, \
                     give it something where it is)"
                ),
            };
            Failure::failed(format!("opening {id}: {}{hint}", crate::failure::chain(&error)))
        })?;
    // What was left for it comes before everything that is said now.
    let has_begun = given::take(&wiring.host, &session, loaded.state.turns).await?;
    let is_under_way = loaded.state.turn.is_some() || has_begun;
    if let Some(wanted) = args.mode.as_ref().filter(|wanted| **wanted != mode) {
        set(session.choose_mode(wanted.clone()).await)?;
    }
    if let Some(budget) = settings.changed_budget(loaded.state.budget) {
        set(session.set_budget(budget).await)?;
    }
    Ok(Opened { session, before: loaded.tip.sequence, model, mode, is_under_way })
}

/// What a session was told when it was opened.
fn set(result: Result<(), SessionError>) -> Result<(), Failure> {
    result.map_err(|error| Failure::because("opening the session", &error))
}
