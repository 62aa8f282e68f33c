//! `harness-host run`: a task from the argument, from standard input, or interactively.
//!
//! Promise: every way out has its exit code, `--json` ends with exactly one `run_ended` line, and a
//! session that still waits for something is kept.

mod answer_schema;
mod ask;
mod drive;
mod interactive;
mod screen;

use crate::args::{Cli, RunArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::grant_lists::GrantFiles;
use crate::installed::{self, Installation};
use crate::settings::{self, Said, Settings};
use crate::wiring::{self, Wiring};
use answer_schema::AnswerSchema;
use ask::TerminalAsker;
pub(crate) use ask::ask_question;
use drive::{Driver, TurnResult};
use harness_core::event::{ModelFailureKind, TurnEnd, TurnLimits};
use harness_core::item::ToolSpec;
use harness_core::limits::PROMPT_BYTES_MAX;
use harness_core::{ModelRef, Sequence, SessionId};
use harness_engine::ports::{Hands, SessionFilter, Takeover};
use harness_engine::{NewSession, Session};
use interactive::Surroundings;
use screen::Screen;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Attempts to get an answer that fits the schema, the first included.
const ANSWER_ATTEMPTS_MAX: u32 = 3;

/// Sessions looked through for one to continue.
const CONTINUE_SESSIONS_MAX: usize = 1_000;

/// Runs the command.
pub(crate) async fn run(cli: &Cli, args: &RunArgs) -> Result<Exit, Failure> {
    let mut screen = Screen::new(args.json);
    let result = run_with(cli, args, &mut screen).await;
    match &result {
        Ok(exit) => screen.run_ended(*exit, None),
        Err(failure) => screen.run_ended(failure.exit, Some(&failure.message)),
    }
    result
}

async fn run_with(cli: &Cli, args: &RunArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut workspace = settings::workspace_folder(args.workspace.as_deref())?;
    let said = Said::from_cli(cli).with_run(args.model.clone(), args.approve, args.max_steps);
    let mut settings = settings::read(&said, Some(&workspace))?;
    screen.set_color(settings.resolved.ui.color.value);
    let schema = args.output_schema.as_deref().map(AnswerSchema::read).transpose()?;
    let somebody = std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !args.json;
    let prompt = given_prompt(args)?;
    let mut wiring = wiring::wire(&settings)?;
    let existing = chosen_session(&wiring, args, &workspace).await?;
    if let Some(own) = other_workspace(&wiring, existing, &workspace).await? {
        if args.workspace.is_some() {
            return Err(Failure::usage(format!(
                "that session works in {}, not in {}",
                own.display(),
                workspace.display()
            )));
        }
        // The session's own folder is what its settings are read for.
        workspace = settings::workspace_folder(Some(&own))?;
        settings = settings::read(&said, Some(&workspace))?;
        wiring = wiring::wire(&settings)?;
    }
    let piped = prompt.is_none() && !std::io::stdin().is_terminal();
    let prompt = match prompt {
        // What a session still waits for comes first; a pipe is read only where nothing else is to do.
        None if piped && !waits(&wiring, existing).await? => Some(read_prompt()?),
        prompt => prompt,
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
    let Opened { session, before, model, is_under_way } =
        open(&wiring, &settings, args, &workspace, &installation, existing).await?;
    let lists = Arc::new(GrantFiles::new(&settings, &workspace, &installation));
    session.follow_grants(lists).await.map_err(|error| Failure::because("opening the session", &error))?;
    screen.session(session.id(), &model, &workspace, settings.key_place(&model.provider));
    let subscription = session.subscribe(before);
    let asker = somebody.then(|| TerminalAsker::new(screen.paint()));
    let mut driver = Driver::new(session.clone(), subscription, wiring.host.ports().blobs.clone(), asker)?;
    let prepared = installation.components.clone();
    driver.once_requested(move || wiring.prepare(&prepared));
    let mut limits = settings.turn_limits();
    limits.output_tokens_max = limits.output_tokens_max.into_iter().chain(settings.output_tokens_max(&model)).min();
    let exit = match prompt {
        None if somebody => {
            let surroundings = Surroundings { settings: &settings, workspace: &workspace, installation: &installation };
            interactive::converse(&mut driver, screen, limits, &surroundings, is_under_way).await
        }
        prompt => once(&mut driver, screen, prompt, limits, schema.as_ref(), is_under_way).await,
    };
    session.close().await;
    exit
}

/// One prompt, or only what the session still waits for.
async fn once(
    driver: &mut Driver,
    screen: &mut Screen,
    prompt: Option<String>,
    limits: TurnLimits,
    schema: Option<&AnswerSchema>,
    is_under_way: bool,
) -> Result<Exit, Failure> {
    if is_under_way {
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
        driver.prompt(prompt, limits).await?;
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

/// The exit code of a turn's end; tells the person what it means.
fn exit_of(result: &TurnResult, screen: &mut Screen) -> Exit {
    match result {
        TurnResult::Ended(TurnEnd::Done) => Exit::Done,
        TurnResult::Ended(TurnEnd::Interrupted) | TurnResult::Left => Exit::Interrupted,
        TurnResult::Ended(TurnEnd::Limit { limit, maximum }) => {
            screen.reason(&format!(
                "stopped: {limit} = {maximum} was reached. Raise it, and go on: {} \"go on\"",
                screen.resume()
            ));
            Exit::Limit
        }
        TurnResult::Ended(TurnEnd::Stopped { by, words }) => {
            screen.reason(&format!("stopped by the hook {by}: {words}"));
            Exit::Failed
        }
        TurnResult::Ended(TurnEnd::Stuck { tool, times }) => {
            screen.reason(&format!(
                "stopped: {tool} was called {times} times with the same outcome. Say what to do instead: {} \"…\"",
                screen.resume()
            ));
            Exit::Limit
        }
        TurnResult::Ended(TurnEnd::Failed { failure }) => {
            screen.reason(&format!("the model could not be asked ({}): {failure}", failure.kind.word()));
            if failure.kind == ModelFailureKind::Authentication
                && let Some(place) = screen.key_place()
            {
                screen.reason(&format!("the key came from {place}: correct it there"));
            }
            Exit::Failed
        }
        TurnResult::NeedsAnswer { asks, pending } => {
            // What a component wants to know only a person answers.
            let is_question = |pending: &serde_json::Value| pending.get("question").is_some();
            let how = match pending.iter().any(|it| !is_question(it)) {
                true => "on a terminal or with --approve edits|all|none",
                false => "on a terminal",
            };
            screen.pending(pending.clone());
            for ask in asks {
                screen.reason(&format!("an answer is needed and nobody can be asked: {ask}"));
            }
            screen.note(&format!("go on, {how}: {}", screen.resume()));
            Exit::NeedsAnswer
        }
    }
}

/// The prompt on the command line; none where it is to be read elsewhere.
fn given_prompt(args: &RunArgs) -> Result<Option<String>, Failure> {
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
    workspace: &Path,
) -> Result<Option<PathBuf>, Failure> {
    let Some(id) = session else { return Ok(None) };
    let summary = wiring.host.ports().index.summary(id).await;
    let own = PathBuf::from(summary.map_err(|error| Failure::because("reading the session", &error))?.workspace);
    Ok((own != workspace).then_some(own))
}

/// Whether a session has a turn under way.
async fn waits(wiring: &Wiring, session: Option<SessionId>) -> Result<bool, Failure> {
    let Some(id) = session else { return Ok(false) };
    let loaded = wiring.host.load(id).await.map_err(|error| Failure::because("reading the session", &error))?;
    Ok(loaded.state.turn.is_some())
}

/// A session that was opened.
struct Opened {
    session: Session,
    /// The position after which its new events begin.
    before: Sequence,
    model: ModelRef,
    /// A turn was under way when it was opened. It may have ended by now, of which its events tell.
    is_under_way: bool,
}

/// The tools that the model is told of.
fn tools(installation: &Installation, hands: &dyn Hands) -> Vec<ToolSpec> {
    let mut tools = hands.tools();
    installation.classify(&mut tools);
    tools
}

/// Opens the session that was chosen, or a new one.
async fn open(
    wiring: &Wiring,
    settings: &Settings,
    args: &RunArgs,
    workspace: &Path,
    installation: &Installation,
    existing: Option<SessionId>,
) -> Result<Opened, Failure> {
    let Some(id) = existing else {
        let hands =
            wiring.hands(settings, workspace, installation.components.clone(), wiring.host.ports().kv.clone())?;
        let context = wiring.context(settings, settings.model()?, workspace, tools(installation, hands.as_ref()));
        let new = NewSession { workspace: workspace.display().to_string(), title: None };
        let model = context.model.clone();
        let session = wiring.host.create(new, context, installation.grants.clone(), hands).await;
        let session = session.map_err(|error| Failure::because("creating a session", &error))?;
        return Ok(Opened { session, before: Sequence::START, model, is_under_way: false });
    };
    let loaded = wiring.host.load(id).await.map_err(|error| Failure::because("reading the session", &error))?;
    let hands = wiring.hands(settings, workspace, installation.components.clone(), wiring.host.ports().kv.clone())?;
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
    let context = wiring.context(settings, model, workspace, tools(installation, hands.as_ref()));
    let model = context.model.clone();
    let takeover = if args.take_over { Takeover::Force } else { Takeover::IfGone };
    let session =
        wiring.host.open(id, context, installation.grants.clone(), hands, takeover).await.map_err(|error| {
            let hint = if args.take_over { "" } else { " (--take-over takes it from another process)" };
            Failure::failed(format!("opening {id}: {}{hint}", crate::failure::chain(&error)))
        })?;
    Ok(Opened { session, before: loaded.tip.sequence, model, is_under_way: loaded.state.turn.is_some() })
}
