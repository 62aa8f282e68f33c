//! `run` without a prompt on a terminal: a conversation.
//!
//! Promise: Ctrl-C stops the turn and keeps the session; a second one, or one at an empty prompt
//! twice, leaves. What was typed is in a history file that only its owner can read.

use super::ask::Hush;
use super::drive::{Disturbance, Driver, TurnResult};
use super::exit_of;
use super::said::{Line, understood};
use super::screen::Screen;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::installed::Installation;
use crate::modes::Modes;
use crate::paint::err_line;
use crate::settings::Settings;
use reedline::{
    DefaultPrompt, DefaultPromptSegment, EditCommand, Emacs, FileBackedHistory, KeyCode, KeyModifiers, Reedline,
    ReedlineEvent, Signal, ValidationResult, Validator, default_emacs_keybindings,
};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::pin::pin;

/// Lines of history kept.
const HISTORY_LINES_MAX: usize = 2_000;

/// What a conversation takes place in.
pub(super) struct Surroundings<'a> {
    pub(super) settings: &'a Settings,
    pub(super) workspace: &'a Path,
    pub(super) installation: &'a Installation,
    pub(super) modes: Modes,
}

/// Prompts and turns until the person leaves.
pub(super) async fn converse(
    driver: &mut Driver,
    screen: &mut Screen,
    mut surroundings: Surroundings<'_>,
    is_under_way: bool,
) -> Result<Exit, Failure> {
    let hush = Hush::default();
    let mut editor = Some(editor(&surroundings.settings.resolved.storage.state_dir.value, &hush)?);
    screen.note("/help for help");
    screen.begin_conversation();
    let mut running = is_under_way;
    let mut leaving = false;
    loop {
        if running {
            match driver.until_turn_ends(screen).await? {
                TurnResult::Left => return Ok(Exit::Interrupted),
                result => {
                    // The person sees why and goes on; only leaving ends the conversation.
                    exit_of(&result, screen);
                }
            }
            if driver.is_leaving() {
                return Ok(Exit::Done);
            }
        }
        running = false;
        let Some(mut line_editor) = editor.take() else { return Ok(Exit::Failed) };
        let mode = DefaultPromptSegment::Basic(screen.mode().to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let prompt = DefaultPrompt::new(mode, DefaultPromptSegment::Empty);
            let signal = line_editor.read_line(&prompt);
            (line_editor, signal)
        });
        let mut read = pin!(read);
        let read = tokio::select! {
            read = &mut read => read,
            disturbed = driver.disturbed() => match disturbed? {
                Disturbance::Terminated => return Ok(Exit::Interrupted),
                Disturbance::Begun => {
                    hush.set();
                    read.await
                }
            },
        };
        hush.clear();
        let (line_editor, signal) = read.map_err(|error| Failure::because("reading a line", &error))?;
        editor = Some(line_editor);
        match signal.map_err(|error| Failure::because("reading from the terminal", &error))? {
            Signal::Success(line) => {
                leaving = false;
                let line = continued(&line);
                let said = understood(&line);
                if said == Line::Exit {
                    return Ok(Exit::Done);
                }
                let looked = look(driver, &mut surroundings).await;
                let done = match (looked, said) {
                    (Err(failure), Line::Words(..)) => Err(failure),
                    (Ok(()), Line::Words(None, words)) => driver.prompt(words.to_owned()).await.map(|()| true),
                    (Ok(()), Line::Words(Some(delivery), words)) => {
                        driver.say(words.to_owned(), delivery).await.map(|()| true)
                    }
                    (_, command) => {
                        driver.command(&command, screen).await?;
                        driver.show_what_happened(screen).await?;
                        driver.is_under_way().await
                    }
                };
                match done {
                    Ok(begun) => running = begun,
                    Err(failure) if failure.exit == Exit::Usage => screen.note(&failure.message),
                    Err(failure) => return Err(failure),
                }
            }
            // Another process said something. What is typed so far stays in the editor.
            Signal::ExternalBreak(_) => {
                err_line("");
                driver.show_what_happened(screen).await?;
                running = driver.is_under_way().await?;
            }
            Signal::CtrlC if leaving => return Ok(Exit::Done),
            Signal::CtrlC => {
                leaving = true;
                screen.note("Ctrl-C again leaves; the session is kept");
            }
            _ => return Ok(Exit::Done),
        }
    }
}

/// Has the grants and modes that hold now in force. Where a list cannot be read, no turn begins.
async fn look(driver: &mut Driver, surroundings: &mut Surroundings<'_>) -> Result<(), Failure> {
    let Surroundings { settings, workspace, installation, modes } = surroundings;
    driver.observe(workspace).await?;
    driver.set_grants(installation.grants_now(settings, workspace)?).await?;
    if modes.refresh(installation, settings, workspace)? {
        let first = driver.first_mode().await?;
        let first = first.filter(|first| modes.has(first)).unwrap_or_else(|| settings.resolved.mode.value.clone());
        driver.set_modes(modes.specs(settings, &first)?.0).await?;
    }
    Ok(())
}

/// Lines that end in a backslash go on in the next.
struct ContinuedLines;

impl Validator for ContinuedLines {
    fn validate(&self, line: &str) -> ValidationResult {
        if line.ends_with('\\') { ValidationResult::Incomplete } else { ValidationResult::Complete }
    }
}

/// The text without the backslashes that asked for more lines.
fn continued(text: &str) -> String {
    text.replace("\\\n", "\n")
}

fn editor(state_dir: &Path, hush: &Hush) -> Result<Reedline, Failure> {
    let path = state_dir.join("history.txt");
    let failed = |error: &dyn std::error::Error| Failure::because("opening the history of prompts", error);
    // Created here, so that nobody else can read it.
    OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(|error| failed(&error))?;
    let history = FileBackedHistory::with_file(HISTORY_LINES_MAX, path).map_err(|error| failed(&error))?;
    let mut keys = default_emacs_keybindings();
    let newline = ReedlineEvent::Edit(vec![EditCommand::InsertNewline]);
    keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, newline.clone());
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::Enter, newline);
    Ok(Reedline::create()
        .with_break_signal(hush.signal())
        .with_history(Box::new(history))
        .with_validator(Box::new(ContinuedLines))
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .use_bracketed_paste(true))
}
