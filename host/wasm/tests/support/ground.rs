//! Where requests of attackers may end: a server on 127.0.0.1 that answers as the case says, one beside it on 127.0.0.2
//! that nobody is to reach, and a resolver whose answers change from one question to the next.

use super::case::Case;
use async_trait::async_trait;
use harness_core::outcome::LimitName;
use harness_egress::{Egress, EgressSettings, Resolve};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a server answers where the case says nothing.
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// The head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Ports that are tried, until one is free on both addresses.
const PORTS_MAX: usize = 100;

/// The network around a case, and what is to come of it in one call.
#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Site {
    /// What the server answers under a path, byte by byte.
    replies: BTreeMap<String, String>,
    /// Whether the connection stays open behind a reply.
    holds: bool,
    /// What is sent behind a reply for ever.
    floods: Option<String>,
    /// The answers for a name, one for each question, the last one for all later ones; `*.NAME` stands for each name
    /// below, with questions of its own. For other names there is none.
    names: BTreeMap<String, Vec<Vec<IpAddr>>>,
    /// Requests that come to the server.
    asked: u64,
    /// Names that are looked up.
    lookups: u64,
    /// Lines that each request for a path has, exactly once.
    sent: BTreeMap<String, Vec<String>>,
    /// What no request for a path contains, in lower case.
    unsent: BTreeMap<String, Vec<String>>,
}

/// The servers and the resolver.
pub(crate) struct Ground {
    port: u16,
    scene: Arc<Scene>,
    tasks: [JoinHandle<()>; 2],
}

/// What they share.
#[derive(Default)]
struct Scene {
    port: u16,
    site: Mutex<Site>,
    /// Requests that came, their bodies dropped.
    heads: Mutex<Vec<String>>,
    /// Connections to the server that nobody is to reach.
    trespasses: AtomicU64,
    /// How often each name was looked up.
    lookups: Mutex<BTreeMap<String, u64>>,
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Ground {
    /// Both servers, on one port.
    pub(crate) async fn start() -> Self {
        for _ in 0..PORTS_MAX {
            let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = open.local_addr().unwrap().port();
            let Ok(inner) = TcpListener::bind(("127.0.0.2", port)).await else { continue };
            let scene = Arc::new(Scene { port, ..Scene::default() });
            let tasks =
                [tokio::spawn(scene.clone().serve(open, false)), tokio::spawn(scene.clone().serve(inner, true))];
            return Self { port, scene, tasks };
        }
        panic!("no port is free on 127.0.0.1 and 127.0.0.2");
    }

    /// A way out that asks this resolver.
    pub(crate) fn egress(&self) -> Arc<Egress> {
        Egress::new(EgressSettings { resolver: self.scene.clone(), ..EgressSettings::default() })
    }

    /// With the port in its place.
    pub(crate) fn fill(&self, text: &str) -> String {
        fill(text, self.port)
    }

    /// Answers as this case says from now on.
    pub(crate) fn set(&self, case: &Case) {
        *self.scene.site.lock().unwrap() = case.site.clone();
        self.scene.heads.lock().unwrap().clear();
        self.scene.lookups.lock().unwrap().clear();
        self.scene.trespasses.store(0, Ordering::SeqCst);
    }

    /// What is wrong after that many calls of a case.
    pub(crate) fn check(&self, case: &Case, calls: u64) -> Result<(), String> {
        let site = &case.site;
        let trespasses = self.scene.trespasses.load(Ordering::SeqCst);
        if trespasses > 0 {
            return Err(format!("{trespasses} connections to where nothing was granted"));
        }
        // A call that is stopped may be stopped before its request.
        let is_stopped = case.crosses() == Some(LimitName::DeadlineMs);
        let differs = |found: u64, expected: u64| if is_stopped { found > expected } else { found != expected };
        let heads = self.scene.heads.lock().unwrap();
        if differs(heads.len() as u64, site.asked * calls) {
            return Err(format!("{} requests in {calls} calls, the last {:?}", heads.len(), heads.last()));
        }
        let lookups = self.scene.lookups.lock().unwrap();
        if differs(lookups.values().sum(), site.lookups * calls) {
            return Err(format!("in {calls} calls it looked up {lookups:?}"));
        }
        heads.iter().try_for_each(|head| self.check_head(site, head))
    }

    fn check_head(&self, site: &Site, head: &str) -> Result<(), String> {
        for line in site.sent.get(path(head)).into_iter().flatten() {
            let line = self.fill(line);
            let times = head.lines().filter(|there| *there == line).count();
            if times != 1 {
                return Err(format!("`{line}` is there {times} times: {head}"));
            }
        }
        let mut unsent = site.unsent.get(path(head)).into_iter().flatten();
        match unsent.find(|word| head.to_ascii_lowercase().contains(*word)) {
            Some(word) => Err(format!("`{word}` was sent: {head}")),
            None => Ok(()),
        }
    }
}

/// Puts the port where `PORT` stands, and where `<x*3>` stands `xxx`.
fn fill(text: &str, port: u16) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, (word, (times, after)))) = rest.split_once('<').and_then(|(before, rest)| {
        let (word, rest) = rest.split_once('*')?;
        Some((before, (word, rest.split_once('>')?)))
    }) {
        filled += before;
        filled += &word.repeat(times.parse().unwrap());
        rest = after;
    }
    (filled + rest).replace("PORT", &port.to_string())
}

impl Scene {
    async fn serve(self: Arc<Self>, listener: TcpListener, is_inner: bool) {
        // Ends the connections with the server.
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            if is_inner {
                self.trespasses.fetch_add(1, Ordering::SeqCst);
            }
            // A client that goes away in the middle is part of the attack.
            connections.spawn(self.clone().answer(stream));
            while connections.try_join_next().is_some() {}
        }
    }

    async fn answer(self: Arc<Self>, mut stream: TcpStream) -> io::Result<()> {
        let Some(head) = read_request(&mut stream).await? else { return Ok(()) };
        let site = self.site.lock().unwrap().clone();
        let reply = fill(site.replies.get(path(&head)).map_or(OK, String::as_str), self.port);
        self.heads.lock().unwrap().push(head);
        stream.write_all(reply.as_bytes()).await?;
        if let Some(flood) = site.floods {
            let flood = fill(&flood, self.port);
            loop {
                stream.write_all(flood.as_bytes()).await?;
            }
        }
        if site.holds {
            // Until the client closes.
            while stream.read(&mut [0; 1024]).await? > 0 {}
        }
        stream.shutdown().await
    }
}

/// What a request asks for.
fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// The head of a request, its body read and dropped; none where the client closed before.
async fn read_request(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut buffer = Vec::new();
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > HEAD_BYTES_MAX || stream.read_buf(&mut buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body_bytes = buffer.len() - head_end;
    while body_bytes < length {
        buffer.clear();
        match stream.read_buf(&mut buffer).await? {
            0 => return Ok(None),
            bytes => body_bytes += bytes,
        }
    }
    Ok(Some(head))
}

#[async_trait]
impl Resolve for Scene {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let before = {
            let mut lookups = self.lookups.lock().unwrap();
            let count = lookups.entry(host.to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        let site = self.site.lock().unwrap();
        let below = host.split_once('.').map(|(_, parent)| format!("*.{parent}")).unwrap_or_default();
        let answers = site.names.get(host).or_else(|| site.names.get(&below));
        let answers = answers.ok_or_else(|| io::Error::other("no such name"))?;
        let turn = usize::try_from(before).unwrap();
        Ok(answers.get(turn).or(answers.last()).cloned().unwrap_or_default())
    }
}
