//! A terminal with a person at it: a real pseudo-terminal, a screen that understands what is written to
//! it, and every byte as it came.

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Rows: so many that nothing scrolls away.
const ROWS: u16 = 300;
/// Columns.
const COLUMNS: u16 = 160;
/// What is waited for comes within this time, on a machine that is busy.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often is looked.
const POLL: Duration = Duration::from_millis(5);
/// The question where the cursor is (DSR 6), which line editors wait for.
const WHERE_IS_THE_CURSOR: &[u8] = b"\x1b[6n";

struct Shown {
    screen: vt100::Parser,
    raw: Vec<u8>,
}

/// A program on a terminal. It is ended with it.
pub struct Terminal {
    shown: Arc<Mutex<Shown>>,
    keys: Arc<Mutex<Box<dyn Write + Send>>>,
    child: Box<dyn Child + Send + Sync>,
    // Keeps the terminal open until the last byte was read.
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Terminal {
    /// Starts a command, as [`crate::program::Place`] makes it, on a terminal.
    ///
    /// # Panics
    /// If there is no terminal to be had or the command does not start.
    pub fn start(command: &Command) -> Self {
        let size = PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a terminal");
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        builder.env_clear();
        builder.env("TERM", "xterm-256color");
        for (name, value) in command.get_envs() {
            builder.env(name, value.unwrap_or_default());
        }
        if let Some(folder) = command.get_current_dir() {
            builder.cwd(folder);
        }
        let child = pair.slave.spawn_command(builder).expect("it starts");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("the terminal's output");
        let keys = Arc::new(Mutex::new(pair.master.take_writer().expect("the terminal's input")));
        let shown = Arc::new(Mutex::new(Shown { screen: vt100::Parser::new(ROWS, COLUMNS, 0), raw: Vec::new() }));
        let (screen, answers) = (Arc::clone(&shown), Arc::clone(&keys));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = reader.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                let position = {
                    let mut shown = lock(&screen);
                    shown.raw.extend_from_slice(&buffer[..count]);
                    shown.screen.process(&buffer[..count]);
                    shown.screen.screen().cursor_position()
                };
                if buffer[..count].windows(WHERE_IS_THE_CURSOR.len()).any(|window| window == WHERE_IS_THE_CURSOR) {
                    let answer = format!("\x1b[{};{}R", position.0 + 1, position.1 + 1);
                    let _ = lock(&answers).write_all(answer.as_bytes());
                }
            }
        });
        Self { shown, keys, child, _master: pair.master }
    }

    /// Types, as a person does.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn keys(&self, keys: &str) {
        let mut writer = lock(&self.keys);
        writer.write_all(keys.as_bytes()).and_then(|()| writer.flush()).expect("the terminal takes keys");
    }

    /// Types a line and Enter.
    pub fn line(&self, text: &str) {
        self.keys(text);
        self.keys("\r");
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        lock(&self.shown).screen.screen().contents()
    }

    /// Every byte that was written to the terminal.
    pub fn raw(&self) -> Vec<u8> {
        lock(&self.shown).raw.clone()
    }

    /// Waits until a text is on the screen so many times.
    ///
    /// # Panics
    /// If it does not come in time; shows the screen.
    pub fn wait_for_times(&self, text: &str, times: usize) {
        let started = Instant::now();
        while self.text().matches(text).count() < times {
            assert!(
                started.elapsed() < WAIT_MAX,
                "`{text}` is not on the screen {times} times:\n{}",
                self.text().trim_end()
            );
            std::thread::sleep(POLL);
        }
    }

    /// Waits until a text is on the screen.
    ///
    /// # Panics
    /// If it does not come in time; shows the screen.
    pub fn wait_for(&self, text: &str) {
        self.wait_for_times(text, 1);
    }

    /// Waits for the end of the program; gives its exit code.
    ///
    /// # Panics
    /// If it does not end in time; shows the screen.
    pub fn exit_code(&mut self) -> u32 {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.exit_code();
            }
            assert!(started.elapsed() < WAIT_MAX, "it does not end:\n{}", self.text().trim_end());
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
