//! A small HTTP/1.1 server on loopback that answers with exactly the bytes it was told to.
//!
//! Promise: replies are given in order, over however many connections; every request is kept with its
//! head and body; connections are counted, so that a test can tell whether one was used again.
//!
//! Not here: anything a real server needs (TLS, HTTP/2, chunked requests, errors of its own).

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The body of a request, in bytes.
const BODY_BYTES_MAX: usize = 256 << 20;
/// Connections served at most.
const CONNECTIONS_MAX: usize = 4096;

/// What happens to the connection after a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It stays open for the next request.
    Keep,
    /// It is closed.
    Close,
    /// It stays open and nothing comes any more.
    Hang,
}

/// A reply, byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What is sent, each piece flushed by itself.
    pub pieces: Vec<Vec<u8>>,
    /// What follows.
    pub after: After,
}

impl Reply {
    /// These bytes, head included, then the connection is closed.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { pieces: vec![bytes.into()], after: After::Close }
    }

    /// A whole stream of events in one piece.
    pub fn stream(body: &[u8]) -> Self {
        Self::stream_in_pieces([body])
    }

    /// A whole stream of events, one HTTP chunk for each piece.
    pub fn stream_in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut reply = Self::stream_without_end(pieces);
        reply.pieces.push(b"0\r\n\r\n".to_vec());
        reply.after = After::Keep;
        reply
    }

    /// A stream of events whose connection is closed before its end.
    pub fn cut_stream(body: &[u8]) -> Self {
        Self::stream_without_end([body])
    }

    fn stream_without_end<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut all = vec![head.as_bytes().to_vec()];
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            all.push([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
        }
        Self { pieces: all, after: After::Close }
    }

    /// A status with headers and a body.
    pub fn status(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        Self { pieces: vec![format!("{head}\r\n{body}").into_bytes()], after: After::Keep }
    }

    /// The same with another end.
    pub fn then(mut self, after: After) -> Self {
        self.after = after;
        self
    }
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRequest {
    /// Method, path and version.
    pub line: String,
    /// Names in lower case, and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl SeenRequest {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<SeenRequest>>,
    accepts: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server; it ends when dropped.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Starts on a free port of loopback.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { replies: Mutex::new(replies.into_iter().collect()), ..Shared::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a reply at the end.
    pub fn push(&self, reply: Reply) {
        lock(&self.shared.replies).push_back(reply)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<SeenRequest> {
        lock(&self.shared.requests).clone()
    }

    /// How many connections were made.
    pub fn accepts(&self) -> usize {
        self.shared.accepts.load(Ordering::SeqCst)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Ends the connections with the server.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        if shared.accepts.fetch_add(1, Ordering::SeqCst) < CONNECTIONS_MAX {
            connections.spawn(serve(stream, Arc::clone(&shared)));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        lock(&shared.requests).push(request);
        let reply = lock(&shared.replies).pop_front();
        let reply = reply.unwrap_or_else(|| Reply::status(500, &[], "the test has no reply for this request"));
        for piece in &reply.pieces {
            stream.write_all(piece).await?;
            stream.flush().await?;
            // Lets the other side read this piece alone.
            tokio::task::yield_now().await;
        }
        match reply.after {
            After::Keep => {}
            After::Close => return stream.shutdown().await,
            After::Hang => std::future::pending().await,
        }
    }
    Ok(())
}

/// The next request; none when the peer has closed.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<SeenRequest>> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > HEAD_BYTES_MAX || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let header =
        |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    let headers: Vec<(String, String)> = lines.filter_map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let length = length.unwrap_or(0).min(BODY_BYTES_MAX);
    let body_start = head_end + 4;
    while buffer.len() < body_start + length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let body = buffer[body_start..body_start + length].to_vec();
    buffer.drain(..body_start + length);
    Ok(Some(SeenRequest { line, headers, body }))
}
