//! A model on loopback: answers every request with one call of `read_file`, and after so many with words.
//!
//! Promise: it speaks OpenAI's Chat Completions, keeps connections, writes each response in one piece, and
//! notes when each response ended and when the next request of the same model name arrived. The model's
//! name is the script: `NAME-STEPS` calls the tool STEPS times; so each session has a name of its own.
//! It does not look into requests beyond that name, so it costs little beside what is measured.
//!
//! `GET /gaps/MODEL` gives what was noted, a line for each request but the first: microseconds from the
//! end of the response to the first byte of the next request, and to its last.
//!
//! Not here: anything else a server needs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Files that calls read in turn: a session that does the same over and over is stopped.
pub(crate) const FILES: u64 = 4;
/// The name of a file that calls read.
pub(crate) const FILE: &str = "notes";
/// The name of a file that calls read where the model's name begins with [`SHORT`].
pub(crate) const SHORT_FILE: &str = "short";
/// How the name of a model begins that reads the short file.
pub(crate) const SHORT: &str = "short";
/// How the name of a model begins that says something with each call.
pub(crate) const WORDY: &str = "wordy";
/// What it says: some sentences. Nobody says the same words in the same order twice, so a number is added.
const WORDS: &str = "The notes say where the parser reads its limits, and which of them a caller may change. \
    Next the file beside it has to be read, because the tests name a case there that does not fit what the notes say";
/// The head of a request is at most so long, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Read at once, in bytes.
const READ_BYTES: usize = 256 << 10;

/// The file of that name which a call reads.
pub(crate) fn file_of(name: &str, call: u64) -> String {
    format!("{name}-{}.txt", call % FILES)
}

/// What was noted of one model name.
#[derive(Debug, Default)]
struct Script {
    calls_made: u64,
    ended: Option<Instant>,
    gaps: Vec<Gap>,
}

/// The time between a response and the next request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gap {
    /// To its first byte.
    pub(crate) begin: Duration,
    /// To its last byte.
    pub(crate) whole: Duration,
}

#[derive(Debug, Default)]
struct Noted {
    scripts: Mutex<HashMap<String, Script>>,
    /// When the last request began to arrive.
    arrived: Mutex<Option<Instant>>,
}

/// The server, on a thread of its own that lives as long as the process.
#[derive(Debug, Clone)]
pub(crate) struct ModelServer {
    address: SocketAddr,
    noted: Arc<Noted>,
}

impl ModelServer {
    /// Starts on a free port.
    pub(crate) fn start() -> Self {
        let noted = Arc::<Noted>::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::clone(&noted);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&shared)));
                }
            });
        });
        Self { address, noted }
    }

    /// What clients take as the base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// When the last request began to arrive; forgets it.
    pub(crate) fn take_arrival(&self) -> Option<Instant> {
        self.noted.arrived.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What a server in another process noted of a model name.
pub(crate) fn gaps(url: &str, model: &str) -> Vec<Gap> {
    use std::io::{Read, Write};
    let address = url.trim_start_matches("http://").trim_end_matches("/v1");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET /gaps/{model} HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let gap = |line: &str| {
        let (begin, whole) = line.split_once(' ').unwrap();
        let duration = |text: &str| Duration::from_nanos(text.parse().unwrap());
        Gap { begin: duration(begin), whole: duration(whole) }
    };
    body.lines().map(gap).collect()
}

async fn serve(mut stream: TcpStream, noted: Arc<Noted>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(READ_BYTES);
    loop {
        buffer.clear();
        // Looked at before it is read: reading copies as much as came.
        if stream.peek(&mut [0]).await? == 0 {
            return Ok(());
        }
        let arrived = Instant::now();
        stream.read_buf(&mut buffer).await?;
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if buffer.len() > HEAD_BYTES_MAX || stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
        if let Some(rest) = head.strip_prefix("GET /gaps/") {
            let lines = shown(&noted, rest.split(' ').next().unwrap_or_default());
            let length = lines.len();
            let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{lines}");
            return stream.write_all(reply.as_bytes()).await;
        }
        let model = read_body(&mut stream, &mut buffer, &head, head_end).await?;
        *noted.arrived.lock().unwrap_or_else(PoisonError::into_inner) = Some(arrived);
        let reply = answer(&noted, &model, arrived);
        stream.write_all(reply.as_bytes()).await?;
    }
}

/// Reads the body without keeping it; the model's name, with which it begins.
async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: &str,
    head_end: usize,
) -> std::io::Result<String> {
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned));
    let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    buffer.drain(..head_end);
    let mut missing = length.saturating_sub(buffer.len());
    let mut beginning = buffer[..buffer.len().min(256)].to_vec();
    while missing > 0 {
        buffer.clear();
        let read = stream.read_buf(buffer).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if beginning.len() < 256 {
            beginning.extend_from_slice(&buffer[..buffer.len().min(256)]);
        }
        missing = missing.saturating_sub(read);
    }
    let text = String::from_utf8_lossy(&beginning);
    let model = text.strip_prefix("{\"model\":\"").and_then(|rest| rest.split('"').next());
    Ok(model.unwrap_or_default().to_owned())
}

/// The response, which ends now.
fn answer(noted: &Noted, model: &str, arrived: Instant) -> String {
    let mut scripts = noted.scripts.lock().unwrap_or_else(PoisonError::into_inner);
    let script = scripts.entry(model.to_owned()).or_default();
    let steps: u64 = model.rsplit_once('-').and_then(|(_, steps)| steps.parse().ok()).unwrap_or(0);
    if let Some(ended) = script.ended {
        script.gaps.push(Gap { begin: arrived.saturating_duration_since(ended), whole: ended.elapsed() });
    }
    let chunk = if script.calls_made < steps {
        script.calls_made += 1;
        let call = script.calls_made;
        let file = file_of(if model.starts_with(SHORT) { SHORT_FILE } else { FILE }, call);
        let content = if model.starts_with(WORDY) { format!(r#""content":"{WORDS} {call}.","#) } else { String::new() };
        format!(
            r#"{{"id":"r{call}","choices":[{{"index":0,"delta":{{{content}"tool_calls":[{{"index":0,"id":"call_{call}","type":"function","function":{{"name":"read_file","arguments":"{{\"path\":\"{file}\"}}"}}}}]}},"finish_reason":"tool_calls"}}]}}"#
        )
    } else {
        script.calls_made = 0;
        r#"{"id":"r0","choices":[{"index":0,"delta":{"content":"Done."},"finish_reason":"stop"}]}"#.to_owned()
    };
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":10}}"#;
    let body = format!("data: {chunk}\n\ndata: {usage}\n\ndata: [DONE]\n\n");
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    script.ended = Some(Instant::now());
    reply
}

fn shown(noted: &Noted, model: &str) -> String {
    let scripts = noted.scripts.lock().unwrap_or_else(PoisonError::into_inner);
    let gaps = scripts.get(model).map_or(&[][..], |script| &script.gaps);
    gaps.iter().map(|gap| format!("{} {}\n", gap.begin.as_nanos(), gap.whole.as_nanos())).collect()
}
