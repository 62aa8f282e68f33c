//! A provider's server that answers by what it is asked, so that a request which is repeated after a
//! crash gets the same answer again.
//!
//! Not here: replies in a fixed order, byte by byte (`harness_sim::http_server`).

use crate::provider::Wire;
use crate::wire_text::Response;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What [`page`] serves.
pub const PAGE: &str = "the page that was asked for\n";

/// What the server does with a request.
pub enum Answer {
    /// A whole response.
    Respond(Response),
    /// A whole response, once this file is there.
    Once(std::path::PathBuf, Response),
    /// The head and the first words of a response, and then nothing for ever.
    Hang(String),
}

type Answering = dyn Fn(&Value) -> Answer + Send + Sync;

/// The server; its threads end with the test's process.
pub struct Responder {
    url: String,
    requests: Arc<Mutex<Vec<Value>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Responder {
    /// Starts on a free port of loopback.
    ///
    /// # Panics
    /// If there is none.
    pub fn start(wire: Wire, answer: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests: Arc<Mutex<Vec<Value>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let answer: Arc<Answering> = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, wire, &seen, answer.as_ref()));
            }
        });
        Self { url, requests }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The bodies of all requests so far.
    pub fn requests(&self) -> Vec<Value> {
        lock(&self.requests).clone()
    }
}

/// Ends when the other side goes away: a client that was killed is no failure here.
fn serve(stream: TcpStream, wire: Wire, seen: &Mutex<Vec<Value>>, answer: &Answering) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim_end().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let answer = answer(&body);
        lock(seen).push(body);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
        match answer {
            Answer::Respond(response) => {
                let stream = response.stream(wire);
                let reply = [format!("{head}content-length: {}\r\n\r\n", stream.len()).as_bytes(), &stream].concat();
                writer.write_all(&reply).ok()?;
            }
            Answer::Once(path, response) => {
                while !path.exists() {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                let stream = response.stream(wire);
                let reply = [format!("{head}content-length: {}\r\n\r\n", stream.len()).as_bytes(), &stream].concat();
                writer.write_all(&reply).ok()?;
            }
            Answer::Hang(words) => {
                let stream = Response::text(&words).stream(wire);
                // Up to the first words, without the end.
                let text = String::from_utf8_lossy(&stream).into_owned();
                let cut = text.find(&words).map_or(text.len(), |at| at + words.len());
                let end = text[cut..].find("\n\n").map_or(text.len(), |at| cut + at + 2);
                writer.write_all(format!("{head}content-length: 1000000\r\n\r\n{}", &text[..end]).as_bytes()).ok()?;
            }
        }
        writer.flush().ok()?;
    }
}

/// A web server on loopback with one page, [`PAGE`]; gives its address. Its thread ends with the test's process.
///
/// # Panics
/// If there is no free port.
pub fn page() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4_096]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n";
            let _ = stream.write_all(format!("{head}content-length: {}\r\n\r\n{PAGE}", PAGE.len()).as_bytes());
        }
    });
    url
}
