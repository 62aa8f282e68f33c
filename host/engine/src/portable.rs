//! A session as one portable file, and back.
//!
//! Promise: what is exported is the log exactly as it is stored, with its contents; what is imported is verified
//! whole before anything is written, and written as one change. Neither holds more than a page of events or one
//! content in memory. An imported session has no grant, allowance or work under way from elsewhere.
//!
//! The file is UTF-8, one JSON object a line, in this order:
//!
//! ```text
//! {"harness-host-session":1,"session":ID,"events":COUNT,"tip":DIGEST,"lineage":[{"session":ID,"last":SEQUENCE},…]}
//! {"header":TEXT,"salt":HEX|null,"payload":TEXT|null}      each event; header and payload byte for byte as stored
//! {"blob":DIGEST,"bytes":COUNT,"part":BASE64}              each content, in one or more parts (RFC 4648, 4)
//! {"end":DIGEST,"blobs":COUNT}                             SHA-256 over all lines before, line feeds included
//! ```
//!
//! `lineage` names whose events the log begins with, where it is a fork; the rest are the session's own. Salt
//! and payload of an erased event are null.
//!
//! Not here: encryption, values that components keep (they belong to the machine), secrets (they are never in a log).

use crate::host::{Host, OpenError};
use crate::load::{LoadError, LoadedSession, check_owner};
use crate::ports::{Ancestor, AppendError, Blob, Import, ImportPage, SessionAppend, StoreError, StoredEvent, Takeover};
use crate::said;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness_core::envelope::{Payload, SealedEvent, Tip, verify};
use harness_core::event::Changes;
use harness_core::limits::{EVENT_PAYLOAD_BYTES_MAX, TITLE_CHARS_MAX};
use harness_core::{Digest, Event, Fold, Sequence, SessionId, SessionState};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use tokio::sync::mpsc;

/// The version of the file's format.
pub const PORTABLE_VERSION: u32 = 1;
/// Events read or handed on at once.
const PAGE_EVENTS_MAX: usize = 500;
/// Bytes of events handed on at once, about.
const PAGE_BYTES: usize = 4 << 20;
/// Pages on their way to the store.
const PAGES_AHEAD_MAX: usize = 2;
/// Contents whose names are read at once.
const NAMES_MAX: usize = 500;
/// A part of a content, in bytes before they are base64.
const PART_BYTES: usize = 1 << 20;
/// A line: JSON may write each byte of header and payload as two. Bytes.
const LINE_BYTES_MAX: usize = 2 * EVENT_PAYLOAD_BYTES_MAX + (1 << 20);
/// The path of a workspace (Linux: `PATH_MAX`). Bytes.
const WORKSPACE_BYTES_MAX: usize = 4_096;
/// Sessions whose events a log begins with.
const ANCESTORS_MAX: usize = 1_000;
/// Events that rewinds go back to: each is remembered as a state while the file is folded.
const REWINDS_MAX: usize = 1_000;

/// What an import may be at most.
#[derive(Debug, Clone, Copy)]
pub struct ImportLimits {
    /// The file. Bytes.
    pub bytes_max: u64,
    /// Its events.
    pub events_max: u64,
    /// One content. Bytes.
    pub content_bytes_max: u64,
}

impl Default for ImportLimits {
    fn default() -> Self {
        Self { bytes_max: 16 << 30, events_max: 10_000_000, content_bytes_max: 1 << 30 }
    }
}

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The last event, and the hash of its header.
    pub events: Sequence,
    /// That hash.
    pub head: Digest,
    /// Contents.
    pub blobs: u64,
}

/// As which session a file is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportAs {
    /// As a new one.
    New,
    /// Under the id it had, if there is no such session here.
    Same,
}

/// Why a session was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Its log cannot be read, or is damaged.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file could not be written.
    #[error("could not write the export: {0}")]
    Write(#[from] std::io::Error),
}

/// Why a file was not taken in. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It could not be read.
    #[error("could not read the export: {0}")]
    Read(#[from] std::io::Error),
    /// It is no export, or not a sound one.
    #[error("line {line} of the export: {what}")]
    Unsound {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A session of that id is here already.
    #[error("{0} is here already: import it as a new session, or delete that one first")]
    Exists(SessionId),
    /// The session could not begin.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    #[serde(rename = "harness-host-session")]
    version: u32,
    session: SessionId,
    events: u64,
    tip: Digest,
    lineage: Vec<Ancestor>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventLine {
    header: String,
    salt: Option<String>,
    payload: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlobLine {
    blob: Digest,
    bytes: u64,
    part: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: Digest,
    blobs: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Event(EventLine),
    Blob(BlobLine),
    End(EndLine),
}

impl Host {
    /// Writes a session as a file. Its chain is verified before anything is written.
    pub async fn export(&self, id: SessionId, writer: &mut (dyn Write + Send)) -> Result<Exported, ExportError> {
        let tip = self.verify(id).await?;
        let log = self.ports().log.as_ref();
        let mut out = Lines { writer, hash: Sha256::new() };
        let lineage = log.lineage(id).await?;
        let events = tip.sequence.0;
        out.put(&First { version: PORTABLE_VERSION, session: id, events, tip: tip.hash, lineage })?;
        let mut after = Sequence::START;
        while after < tip.sequence {
            let left = usize::try_from(tip.sequence.0 - after.0).unwrap_or(usize::MAX);
            let page = log.read(id, after, PAGE_EVENTS_MAX.min(left)).await?;
            for stored in &page {
                out.put(&event_line(stored))?;
                after = after.next();
            }
            if page.is_empty() {
                return Err(LoadError::NoEvent { session: id, sequence: after.next() }.into());
            }
        }
        let blobs = self.export_blobs(id, &mut out).await?;
        let end = Digest(out.hash.clone().finalize().into());
        out.put(&EndLine { end, blobs })?;
        out.writer.flush()?;
        Ok(Exported { events: tip.sequence, head: tip.hash, blobs })
    }

    async fn export_blobs(&self, id: SessionId, out: &mut Lines<'_>) -> Result<u64, ExportError> {
        let blobs = self.ports().blobs.as_ref();
        let (mut after, mut count) = (None, 0);
        loop {
            let names = blobs.named_by(id, after, NAMES_MAX).await?;
            let Some(last) = names.last() else { return Ok(count) };
            after = Some(*last);
            for blob in names {
                // What went since is as if it had not been named.
                let Some(content) = blobs.get(blob).await? else { continue };
                let bytes = content.len() as u64;
                let empty: &[u8] = &[];
                let parts = content.chunks(PART_BYTES).chain(content.is_empty().then_some(empty));
                for part in parts {
                    out.put(&BlobLine { blob, bytes, part: STANDARD.encode(part) })?;
                }
                count += 1;
            }
        }
    }

    /// Takes in a session from a file and gives its id. It works in `workspace` from now on. The file is read
    /// twice, to verify and to write, and must stay the same meanwhile.
    pub async fn import<R: Read + Seek + Send + 'static>(
        &self,
        reader: R,
        import_as: ImportAs,
        workspace: &str,
        limits: ImportLimits,
    ) -> Result<SessionId, ImportError> {
        let check = tokio::task::spawn_blocking(move || {
            let mut reader = reader;
            check(&mut reader, limits).map(|checked| (checked, reader))
        });
        let (checked, reader) = check.await.map_err(|error| std::io::Error::other(error.to_string()))??;
        let now = self.ports().clock.now();
        let id = match import_as {
            ImportAs::New => SessionId::new(now, &self.ports().ids.entropy()),
            ImportAs::Same => checked.session,
        };
        if self.ports().log.tip(id).await.is_ok() {
            return Err(ImportError::Exists(id));
        }
        let at = checked.tip;
        let event =
            Event::SessionImported { origin: checked.session, at: at.sequence, workspace: workspace.to_owned() };
        let (events, tip) = self.seal_own(id, at, event.clone());
        let mut loaded = checked.loaded;
        // Where a payload is missing the state is that before it, which is good enough for a row of the index.
        loaded.state.apply(&event).map_err(|error| OpenError::Refused(error.into()))?;
        (loaded.created, loaded.updated, loaded.origin) = (now, now, Some(checked.session));
        loaded.lineage = harness_core::envelope::Lineage::root_of(id);
        let summary = Some(loaded.summary(id, tip));
        let epoch = self.ports().lease.acquire(id, self.holder(), Takeover::IfGone).await.map_err(OpenError::from)?;
        let append = SessionAppend { summary, ..SessionAppend::new(id, epoch, at, events) };
        let (sender, pages) = mpsc::channel(PAGES_AHEAD_MAX);
        let mut whole = checked.lineage;
        whole.push(Ancestor { session: checked.session, last: at.sequence });
        let feed = tokio::task::spawn_blocking(move || feed(reader, limits, checked.digest, &sender));
        let imported = self.ports().log.import(Import { lineage: whole, pages, append }).await;
        let fed = feed.await.map_err(|error| std::io::Error::other(error.to_string()))?;
        self.give_back(id, epoch, imported.is_ok()).await.map_err(OpenError::from)?;
        // What the store says follows from what was wrong with the file.
        fed?;
        Ok(imported.map(|()| id)?)
    }
}

struct Lines<'a> {
    writer: &'a mut (dyn Write + Send),
    hash: Sha256,
}

impl Lines<'_> {
    fn put(&mut self, line: &impl Serialize) -> Result<(), std::io::Error> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.hash.update(&bytes);
        self.writer.write_all(&bytes)
    }
}

fn event_line(stored: &StoredEvent) -> EventLine {
    // Both were written as JSON by this host: text.
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let payload = stored.payload.as_ref();
    let salt = payload.map(|payload| payload.salt.iter().map(|byte| format!("{byte:02x}")).collect());
    EventLine { header: text(&stored.header_bytes), salt, payload: payload.map(|payload| text(&payload.bytes)) }
}

/// A file that was read once and is sound.
struct Checked {
    session: SessionId,
    tip: Tip,
    lineage: Vec<Ancestor>,
    loaded: Box<LoadedSession>,
    digest: Digest,
}

/// Reads a file whole and verifies it; once more where it has rewinds, whose past is remembered then.
fn check<R: Read + Seek>(reader: &mut R, limits: ImportLimits) -> Result<Checked, ImportError> {
    let mut rewinds = BTreeSet::new();
    match check_knowing(reader, limits, &mut rewinds)? {
        Some(checked) => Ok(checked),
        None => check_knowing(reader, limits, &mut rewinds)?
            .ok_or(ImportError::Unsound { line: 1, what: "the file changed while it was read".to_owned() }),
    }
}

/// Reads a file whole and verifies it; none where it goes back to an event that is not among `rewinds`, which it then is.
fn check_knowing<R: Read + Seek>(
    reader: &mut R,
    limits: ImportLimits,
    rewinds: &mut BTreeSet<Sequence>,
) -> Result<Option<Checked>, ImportError> {
    let mut file = File::open(reader, limits)?;
    let mut fold = Fold::new(SessionState::default(), Sequence::START, rewinds.iter().copied());
    let (mut is_folding, mut is_whole) = (true, true);
    let mut loaded: Option<LoadedSession> = None;
    while let Some(piece) = file.next()? {
        let Piece::Event(sealed, _) = piece else { continue };
        let unsound = |what: String| ImportError::Unsound { line: file.line, what };
        let event = sealed.event().map_err(|error| unsound(chain(&error)))?;
        if let Some(what) = event.as_ref().and_then(|event| too_long(event).or_else(|| outside(event))) {
            return Err(unsound(what));
        }
        let header = &sealed.header;
        let loaded = loaded.get_or_insert_with(|| LoadedSession::begun(file.first.session, header));
        loaded.updated = header.time;
        is_folding &= event.is_some();
        let Some(event) = event.filter(|_| is_folding) else { continue };
        match event {
            Event::SessionRewound { to } if to < header.sequence && rewinds.insert(to) => is_whole = false,
            // What it goes back to is not known before the second time.
            _ if !is_whole => {}
            event => fold.apply(&event).map_err(|error| unsound(error.to_string()))?,
        }
        if rewinds.len() > REWINDS_MAX {
            return Err(unsound(format!("it goes back to more than {REWINDS_MAX} events")));
        }
    }
    let first = file.first;
    let mut loaded = loaded.ok_or(ImportError::Unsound { line: 1, what: "it has no events".to_owned() })?;
    loaded.state = fold.into_state();
    let tip = file.tip;
    let digest = file.whole.ok_or(ImportError::Unsound { line: file.line, what: "its end is missing".to_owned() })?;
    let checked = Checked { session: first.session, tip, lineage: first.lineage, loaded: Box::new(loaded), digest };
    Ok(is_whole.then_some(checked))
}

/// A path that leads out of the workspace, which no call of this host could have changed.
fn outside(event: &Event) -> Option<String> {
    let manifest = match event {
        Event::CallReported { changes: Changes::Staged { manifest } | Changes::Observed { manifest }, .. } => manifest,
        Event::CallEnded { changes: manifest, .. } | Event::UndoRequested { manifest, .. } => manifest,
        _ => return None,
    };
    manifest.outside().map(|path| format!("a changed path leads out of the workspace: {path:?}"))
}

/// What of an event is beyond what this host would have written, where that reaches the index.
fn too_long(event: &Event) -> Option<String> {
    let (title, workspace) = match event {
        Event::SessionCreated { workspace, title } => (title.as_deref(), Some(workspace.as_str())),
        Event::SessionRenamed { title } => (Some(title.as_str()), None),
        Event::SessionForked { title, files, .. } => (Some(title.as_str()), files.workspace()),
        Event::SessionImported { workspace, .. } => (None, Some(workspace.as_str())),
        _ => return None,
    };
    if title.is_some_and(|title| title.chars().count() > TITLE_CHARS_MAX) {
        return Some(format!("its title has more than {TITLE_CHARS_MAX} characters"));
    }
    let is_long = workspace.is_some_and(|workspace| workspace.len() > WORKSPACE_BYTES_MAX);
    is_long.then(|| format!("its workspace has more than {WORKSPACE_BYTES_MAX} bytes"))
}

/// Hands a file on, page by page. Only where it is still the file of that digest its last page comes.
fn feed<R: Read + Seek>(
    mut reader: R,
    limits: ImportLimits,
    digest: Digest,
    pages: &mpsc::Sender<ImportPage>,
) -> Result<(), ImportError> {
    let mut file = File::open(&mut reader, limits)?;
    let mut page = ImportPage::default();
    let mut bytes = 0_usize;
    while let Some(piece) = file.next()? {
        match piece {
            Piece::Event(sealed, size) => {
                if let Ok(Some(event)) = sealed.event() {
                    page.said.extend(said::of(&sealed.header, &event));
                }
                bytes += size;
                page.events.push(StoredEvent { header_bytes: sealed.header_bytes, payload: sealed.payload });
            }
            Piece::Blob(blob) => {
                bytes += blob.bytes.len();
                page.blobs.push(blob);
            }
        }
        if bytes >= PAGE_BYTES || page.events.len() >= PAGE_EVENTS_MAX {
            bytes = 0;
            if pages.blocking_send(std::mem::take(&mut page)).is_err() {
                // The store gave up, and says why.
                return Ok(());
            }
        }
    }
    if file.whole != Some(digest) {
        let what = "the file changed while it was read".to_owned();
        return Err(ImportError::Unsound { line: file.line, what });
    }
    let _ = pages.blocking_send(ImportPage { is_last: true, ..page });
    Ok(())
}

/// A piece of a file, verified.
enum Piece {
    /// An event and the size of its line.
    Event(Box<SealedEvent>, usize),
    Blob(Blob),
}

/// A content of which some parts were read.
struct Partial {
    digest: Digest,
    bytes_left: u64,
    content: Vec<u8>,
}

/// A file that is being read.
struct File<'a, R> {
    reader: BufReader<&'a mut R>,
    limits: ImportLimits,
    first: First,
    tip: Tip,
    line: u64,
    bytes: u64,
    blobs: u64,
    hash: Sha256,
    /// The digest over all lines, once the end was read.
    whole: Option<Digest>,
}

impl<'a, R: Read + Seek> File<'a, R> {
    fn open(reader: &'a mut R, limits: ImportLimits) -> Result<Self, ImportError> {
        reader.seek(SeekFrom::Start(0))?;
        let nothing = First {
            version: PORTABLE_VERSION,
            session: SessionId::from_bits(0),
            events: 0,
            tip: Digest::ZERO,
            lineage: Vec::new(),
        };
        let mut file = Self {
            reader: BufReader::new(reader),
            limits,
            first: nothing,
            tip: Tip::START,
            line: 0,
            bytes: 0,
            blobs: 0,
            hash: Sha256::new(),
            whole: None,
        };
        let line = file.read_line()?.ok_or_else(|| file.unsound("the file is empty"))?;
        file.first = serde_json::from_slice(&line)
            .map_err(|error| file.unsound(format!("this is no export of a session: {error}")))?;
        file.hash.update(&line);
        file.check_first()?;
        Ok(file)
    }

    fn check_first(&self) -> Result<(), ImportError> {
        let First { version, session, events, lineage, .. } = &self.first;
        if *version != PORTABLE_VERSION {
            let what =
                format!("it has format {version}, this host reads {PORTABLE_VERSION}: use the host that wrote it");
            return Err(self.unsound(what));
        }
        if *events == 0 || *events > self.limits.events_max {
            return Err(self.unsound(format!("it has {events} events, 1 to {} are taken", self.limits.events_max)));
        }
        let mut before = Sequence::START;
        let is_rising = lineage.iter().all(|ancestor| {
            let rises = ancestor.last > before && ancestor.last.0 < *events;
            before = ancestor.last;
            rises
        });
        if !is_rising || lineage.len() > ANCESTORS_MAX {
            return Err(self.unsound(format!("the lineage of {session} makes no sense")));
        }
        Ok(())
    }

    fn unsound(&self, what: impl Into<String>) -> ImportError {
        ImportError::Unsound { line: self.line, what: what.into() }
    }

    /// The next line with its line feed; none at the end.
    fn read_line(&mut self) -> Result<Option<Vec<u8>>, ImportError> {
        let left = self.limits.bytes_max.saturating_sub(self.bytes);
        let max = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX).min(left);
        let mut line = Vec::new();
        self.line += 1;
        let read = (&mut self.reader).take(max).read_until(b'\n', &mut line)?;
        self.bytes += read as u64;
        if read == 0 && left > 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') {
            return Err(self.unsound(match self.bytes >= self.limits.bytes_max {
                true => format!("the file has more than {} bytes", self.limits.bytes_max),
                false if line.len() >= LINE_BYTES_MAX => format!("it has more than {LINE_BYTES_MAX} bytes"),
                false => "the file ends in the middle of a line".to_owned(),
            }));
        }
        Ok(Some(line))
    }

    /// The next event or content; none at the end, which is verified too.
    fn next(&mut self) -> Result<Option<Piece>, ImportError> {
        let mut partial: Option<Partial> = None;
        loop {
            let Some(bytes) = self.read_line()? else {
                return match self.whole {
                    Some(_) => Ok(None),
                    None => Err(self.unsound("the file ends here, in the middle of the session")),
                };
            };
            if self.whole.is_some() {
                return Err(self.unsound("something stands behind its end"));
            }
            let line = serde_json::from_slice(&bytes)
                .map_err(|_| self.unsound("it is neither an event nor a content nor the end"))?;
            let before: Digest = Digest(self.hash.clone().finalize().into());
            self.hash.update(&bytes);
            match line {
                Line::Event(event) if partial.is_none() && self.blobs == 0 => {
                    return Ok(Some(Piece::Event(Box::new(self.event(event)?), bytes.len())));
                }
                Line::Blob(blob) if self.tip.sequence.0 == self.first.events => {
                    let read = self.part(partial.take(), &blob)?;
                    if read.bytes_left > 0 {
                        partial = Some(read);
                        continue;
                    }
                    let blob = Blob::new(read.content);
                    if blob.digest != read.digest {
                        return Err(self.unsound(format!("the content is not {}", read.digest)));
                    }
                    self.blobs += 1;
                    return Ok(Some(Piece::Blob(blob)));
                }
                Line::End(end) if partial.is_none() => self.end(&end, before)?,
                _ => return Err(self.unsound("it does not belong here")),
            }
        }
    }

    fn end(&mut self, end: &EndLine, before: Digest) -> Result<(), ImportError> {
        let found = Tip { sequence: Sequence(self.first.events), hash: self.first.tip };
        if self.tip != found || end.blobs != self.blobs {
            return Err(self.unsound("events or contents are missing"));
        }
        if end.end != before {
            return Err(self.unsound("the file was changed: its digest is another"));
        }
        self.whole = Some(before);
        Ok(())
    }

    fn event(&mut self, line: EventLine) -> Result<SealedEvent, ImportError> {
        let EventLine { header, salt, payload } = line;
        let payload = match (salt, payload) {
            (None, None) => None,
            (Some(salt), Some(payload)) => {
                let salt = salt_of(&salt).ok_or_else(|| self.unsound("its salt is not 32 hexadecimal digits"))?;
                Some(Payload { salt, bytes: payload.into_bytes() })
            }
            _ => return Err(self.unsound("a payload and its salt come together")),
        };
        let too_long = payload.as_ref().is_some_and(|payload| payload.bytes.len() > EVENT_PAYLOAD_BYTES_MAX);
        if too_long || self.tip.sequence.0 >= self.first.events {
            return Err(self.unsound("there are more events, or a longer one, than there may be"));
        }
        let verified = verify(self.tip, header.into_bytes(), payload);
        let (sealed, tip) = verified.map_err(|error| self.unsound(chain(&error)))?;
        check_owner(self.first.session, &self.first.lineage, &sealed).map_err(|error| self.unsound(chain(&error)))?;
        self.tip = tip;
        Ok(sealed)
    }

    /// Adds a part to a content.
    fn part(&self, partial: Option<Partial>, line: &BlobLine) -> Result<Partial, ImportError> {
        if line.bytes > self.limits.content_bytes_max {
            let max = self.limits.content_bytes_max;
            return Err(self.unsound(format!("a content has {} bytes, at most {max} are taken", line.bytes)));
        }
        let fresh = || Partial { digest: line.blob, bytes_left: line.bytes, content: Vec::new() };
        let mut partial = partial.unwrap_or_else(fresh);
        let part = STANDARD.decode(&line.part).map_err(|_| self.unsound("a content is not base64"))?;
        let length = part.len() as u64;
        if partial.digest != line.blob || length > partial.bytes_left || (length == 0 && line.bytes > 0) {
            return Err(self.unsound("the parts of a content do not fit together"));
        }
        partial.bytes_left -= length;
        partial.content.extend(part);
        Ok(partial)
    }
}

fn salt_of(hex: &str) -> Option<[u8; 16]> {
    let is_hex = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(hex, 16).ok())?.map(u128::to_be_bytes)
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}
