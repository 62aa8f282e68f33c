//! A terminal with a person at it: a real pseudo-terminal, a screen that understands what is written to
//! it, and every byte as it came.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
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
    keys: Arc<Mutex<File>>,
    child: Child,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both sides of a new pseudo-terminal: the person's and the program's.
fn open_terminal() -> (File, OwnedFd) {
    let size = libc::winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut person, mut program) = (-1, -1);
    // SAFETY: both descriptors and the size outlive the call; no name and no settings are given.
    let result = unsafe { libc::openpty(&mut person, &mut program, std::ptr::null_mut(), std::ptr::null(), &size) };
    assert_eq!(result, 0, "no terminal: {}", std::io::Error::last_os_error());
    // SAFETY: openpty has just given us both, and nobody else has them.
    unsafe {
        // The program must not hold the person's side, else its end would never be seen.
        libc::fcntl(person, libc::F_SETFD, libc::FD_CLOEXEC);
        (File::from_raw_fd(person), OwnedFd::from_raw_fd(program))
    }
}

impl Terminal {
    /// Starts a command, as [`crate::program::Place`] makes it, on a terminal.
    ///
    /// # Panics
    /// If there is no terminal to be had or the command does not start.
    pub fn start(mut command: Command) -> Self {
        let (person, program) = open_terminal();
        let side = || program.try_clone().expect("a descriptor");
        command.env("TERM", "xterm-256color").stdin(side()).stdout(side()).stderr(side());
        drop(program);
        // SAFETY: setsid and ioctl are async-signal-safe, and standard input is the terminal by then.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("it starts");
        // The command holds the program's side as long as it lives.
        drop(command);
        let mut reader = person.try_clone().expect("the terminal's output");
        let keys = Arc::new(Mutex::new(person));
        let shown = Arc::new(Mutex::new(Shown { screen: vt100::Parser::new(ROWS, COLUMNS, 0), raw: Vec::new() }));
        let (screen, answers) = (Arc::clone(&shown), Arc::clone(&keys));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // When the program has ended, reading fails.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
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
        Self { shown, keys, child }
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

    /// Waits until the program asks for a prompt.
    ///
    /// # Panics
    /// If it does not in time; shows the screen.
    pub fn wait_for_prompt(&self) {
        self.wait_for_prompt_with("");
    }

    /// The same, with what is typed already.
    ///
    /// # Panics
    /// If it does not in time; shows the screen.
    pub fn wait_for_prompt_with(&self, typed: &str) {
        let started = Instant::now();
        let is_prompt = |line: &str| {
            let line = line.strip_suffix(typed).map_or(line, str::trim_end);
            line.strip_suffix('>').is_some_and(|mode| mode.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        };
        while !self.text().trim_end().lines().last().is_some_and(is_prompt) {
            assert!(started.elapsed() < WAIT_MAX, "no prompt comes:\n{}", self.text().trim_end());
            std::thread::sleep(POLL);
        }
    }

    /// Sends the program a signal.
    ///
    /// # Panics
    /// If it has ended.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is our own child and has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), signal) }, 0);
    }

    /// How the program ended, if it has: see [`Terminal::exit_code`].
    ///
    /// # Panics
    /// If the system does not say.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().expect("it can be waited for")?;
        Some(status.code().unwrap_or_else(|| -status.signal().unwrap_or_default()))
    }

    /// Waits for the end of the program; gives its exit code, or the negative number of the signal that ended it.
    ///
    /// # Panics
    /// If it does not end in time; shows the screen.
    pub fn exit_code(&mut self) -> i32 {
        let started = Instant::now();
        loop {
            if let Some(code) = self.ended() {
                return code;
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
