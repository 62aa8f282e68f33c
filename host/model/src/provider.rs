//! One provider: its address, key and wire, and the way of a request through them.
//!
//! Promise: a request is sent once; whatever goes wrong is one `ModelFailure` that names the provider and
//! holds no key; a connection whose response was read to its end is used again.
//!
//! Not here: repeating (the core decides), the protocols.

use crate::body::ChunkedBody;
use crate::client;
use crate::endpoint::Endpoint;
use crate::failure;
use crate::key::{ApiKey, KeptKey};
use crate::key_guard::KeyGuard;
use crate::models::{ModelLimits, Reachable};
use crate::price::Price;
use crate::retry_after;
use crate::sessions::Sessions;
use crate::sse::{SseEvent, SseParser};
use crate::wire::{Decoder, Progress, Protocol};
use bytes::Bytes;
use harness_core::event::{ModelFailure, ModelFailureKind};
use harness_engine::ports::{DeltaSink, ModelRequest, ModelResponse};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Body, Response};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Of the body of an error, so many bytes are read.
const ERROR_BODY_BYTES_MAX: usize = 64 << 10;
/// Of a list of models, so many bytes are read.
const MODELS_BODY_BYTES_MAX: usize = 8 << 20;
/// After the last event, the end of the body is awaited so long, in milliseconds, before the response is
/// handed over; it mostly came with the event.
const END_WAIT_MS: u64 = 5;
/// The end of the body is awaited so long in the background, in milliseconds, for the connection's sake.
const DRAIN_WAIT_MS: u64 = 2_000;

/// A provider.
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) key: KeptKey,
    pub(crate) prices: BTreeMap<String, Price>,
    pub(crate) limits: ModelLimits,
    pub(crate) sessions: Sessions,
}

/// A failure with the key, if one was read: its words may hold it.
type Raw<T> = Result<T, ModelFailure>;

impl Provider {
    pub(crate) async fn respond(&self, request: ModelRequest, deltas: &dyn DeltaSink) -> Raw<ModelResponse> {
        let key = self.read_key().await?;
        let guard = KeyGuard::new(key.as_ref().and_then(ApiKey::secret), deltas);
        let asked = self.ask(&request, key.as_ref(), &guard).await;
        guard.finish();
        let mut response = asked.map_err(|failure| self.shown(failure, key.as_ref()))?;
        if let Some(key) = &key {
            key.scrub_response(&mut response);
        }
        if response.usage.cost_micro_usd.is_none()
            && let Some(price) = self.prices.get(&request.context.model.name)
        {
            response.usage.cost_micro_usd = price.cost_micro_usd(&response.usage);
        }
        Ok(response)
    }

    async fn ask(&self, request: &ModelRequest, key: Option<&ApiKey>, deltas: &dyn DeltaSink) -> Raw<ModelResponse> {
        let deadline = Instant::now() + Duration::from_millis(self.limits.response_ms);
        let headers = self.protocol.headers(key)?;
        let body = self.body(request)?;
        let client = client::get(self.is_local()).await?;
        let sent = client
            .post(self.endpoint.respond.clone())
            .headers(headers)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ACCEPT, HeaderValue::from_static("text/event-stream"))
            .body(Body::wrap(body))
            .send();
        let response = self.in_time(self.limits.idle_ms, sent).await?.map_err(|error| disconnected(&error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        self.read(response, request.items.len(), deadline, deltas).await
    }

    fn body(&self, request: &ModelRequest) -> Raw<ChunkedBody> {
        let protocol = self.protocol.as_ref();
        self.sessions.with(request.session, &self.name, protocol, &request.items, |encoded| {
            if encoded.conversation.writer.is_empty() {
                let message = "the request holds nothing to answer";
                return Err(failure::failure(ModelFailureKind::Refused, message));
            }
            let head =
                encoded.head(&request.context, request.output_tokens_max, || protocol.head(request, &self.endpoint));
            let tail = encoded.conversation.tail(protocol);
            Ok(encoded.conversation.writer.body(head, protocol.cache_mark(), Bytes::from(tail)))
        })
    }

    /// Reads the stream of a response with a good status. Any bytes end a silence, also comments that only
    /// keep the connection alive; nothing moves the deadline.
    async fn read(
        &self,
        mut response: Response,
        step: usize,
        deadline: Instant,
        deltas: &dyn DeltaSink,
    ) -> Raw<ModelResponse> {
        let mut reader = StreamReader::new(self.protocol.decoder(step));
        loop {
            let wait_ms = if reader.progress == Progress::Ending { self.limits.ending_ms } else { self.limits.idle_ms };
            let wait_until = deadline.min(Instant::now() + Duration::from_millis(wait_ms));
            let chunk = match tokio::time::timeout_at(wait_until, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                // What the response says is known; only its usage may be missing.
                Ok(Err(_)) | Err(_) if reader.progress != Progress::More => break,
                Ok(Err(error)) => return Err(disconnected(&error)),
                Err(_) if Instant::now() >= deadline => return Err(endless(self.limits.response_ms)),
                Err(_) => return Err(silent(wait_ms)),
            };
            reader.push(&chunk, self.limits.response_bytes_max, deltas)?;
            if reader.progress == Progress::Done {
                drain(response).await;
                break;
            }
        }
        reader.finish(deltas)
    }

    /// The failure for a response with a bad status.
    async fn refused(&self, response: Response) -> ModelFailure {
        let status = response.status().as_u16();
        let wait = retry_after::from_headers(status, response.headers());
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let deadline = Instant::now() + Duration::from_millis(self.limits.error_body_ms);
        let body = self.read_body(response, ERROR_BODY_BYTES_MAX, deadline).await;
        let mut failure = failure::from_status(status, &body, location.as_deref());
        if failure.kind == ModelFailureKind::Authentication {
            self.key.forget();
        }
        if failure.kind == ModelFailureKind::Retryable {
            failure.retry_after_ms = wait.or_else(|| retry_after::from_message(&failure.message));
        }
        failure
    }

    /// A body, or as much of it as came.
    async fn read_body(&self, mut response: Response, bytes_max: usize, deadline: Instant) -> Vec<u8> {
        let mut body = Vec::new();
        let idle = Duration::from_millis(self.limits.ending_ms);
        let wait_until = || deadline.min(Instant::now() + idle);
        while let Ok(Ok(Some(chunk))) = tokio::time::timeout_at(wait_until(), response.chunk()).await {
            let left = bytes_max.saturating_sub(body.len());
            body.extend_from_slice(&chunk[..chunk.len().min(left)]);
            if body.len() >= bytes_max {
                break;
            }
        }
        body
    }

    /// Asks for the list of models.
    pub(crate) async fn probe(&self, wait_ms: u64) -> Raw<Reachable> {
        let key = self.read_key().await?;
        let probed = async {
            let headers = self.protocol.headers(key.as_ref())?;
            let client = client::get(self.is_local()).await?;
            let started = Instant::now();
            let sent = client.get(self.endpoint.models.clone()).headers(headers).send();
            let response = self.in_time(wait_ms, sent).await?.map_err(|error| disconnected(&error))?;
            if !response.status().is_success() {
                return Err(self.refused(response).await);
            }
            let time_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let deadline = Instant::now() + Duration::from_millis(wait_ms);
            let body = self.read_body(response, MODELS_BODY_BYTES_MAX, deadline).await;
            Ok(Reachable { address: self.endpoint.shown(), time_ms, models: model_names(&body) })
        };
        probed.await.map_err(|failure| self.shown(failure, key.as_ref()))
    }

    /// Makes the client and reads the key, so that the first request finds both.
    pub(crate) async fn warm(&self) {
        let _ = client::get(self.is_local()).await;
        let _ = self.key.get().await;
    }

    async fn read_key(&self) -> Raw<Option<ApiKey>> {
        let authentication =
            |message: String| self.shown(failure::failure(ModelFailureKind::Authentication, message), None);
        match self.key.get().await {
            Ok(None) if self.endpoint.wants_key() => Err(authentication("no API key is set".to_owned())),
            Ok(key) => Ok(key),
            Err(error) => Err(authentication(format!("the API key could not be read: {error}"))),
        }
    }

    async fn in_time<T>(&self, wait_ms: u64, work: impl Future<Output = T>) -> Raw<T> {
        tokio::time::timeout(Duration::from_millis(wait_ms), work).await.map_err(|_| silent(wait_ms))
    }

    fn is_local(&self) -> bool {
        self.endpoint.is_loopback() && self.endpoint.respond.scheme() == "http"
    }

    /// The failure as it may be shown and logged.
    fn shown(&self, mut failure: ModelFailure, key: Option<&ApiKey>) -> ModelFailure {
        let said = match key {
            Some(key) => key.scrub(&failure.message),
            None => std::mem::take(&mut failure.message),
        };
        failure.message = failure::clean(&format!("{} ({}): {said}", self.name, self.endpoint.shown()));
        failure
    }
}

/// A stream as it comes in.
struct StreamReader {
    decoder: Box<dyn Decoder>,
    parser: SseParser,
    events: Vec<SseEvent>,
    /// The body, as long as it may be something else than a stream.
    other: Option<Vec<u8>>,
    is_stream: bool,
    events_seen: u64,
    bytes: u64,
    progress: Progress,
}

impl StreamReader {
    fn new(decoder: Box<dyn Decoder>) -> Self {
        Self {
            decoder,
            parser: SseParser::new(),
            events: Vec::new(),
            other: None,
            is_stream: false,
            events_seen: 0,
            bytes: 0,
            progress: Progress::More,
        }
    }

    fn push(&mut self, chunk: &[u8], bytes_max: u64, deltas: &dyn DeltaSink) -> Raw<()> {
        self.bytes += chunk.len() as u64;
        if self.bytes > bytes_max {
            let message = format!("the response is longer than {bytes_max} bytes: ask for less at once");
            return Err(failure::failure(ModelFailureKind::Refused, message));
        }
        if !self.is_stream && self.other.is_none() {
            // The first byte tells: no line of a stream begins with a bracket.
            match chunk.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b'{' | b'[' | b'<') => self.other = Some(Vec::new()),
                Some(_) => self.is_stream = true,
                None => {}
            }
        }
        if let Some(body) = &mut self.other {
            let left = ERROR_BODY_BYTES_MAX.saturating_sub(body.len());
            body.extend_from_slice(&chunk[..chunk.len().min(left)]);
            return Ok(());
        }
        self.parser.push(chunk, &mut self.events).map_err(|error| failure::malformed(error.to_string()))?;
        self.decode(deltas)
    }

    fn decode(&mut self, deltas: &dyn DeltaSink) -> Raw<()> {
        for event in self.events.drain(..) {
            self.events_seen += 1;
            self.progress = self.decoder.event(&event, deltas)?;
            if self.progress == Progress::Done {
                break;
            }
        }
        Ok(())
    }

    /// The body has ended.
    fn finish(mut self, deltas: &dyn DeltaSink) -> Raw<ModelResponse> {
        if let Some(body) = self.other {
            let text = String::from_utf8_lossy(&body);
            let page = text.trim_start().starts_with('<');
            return Err(if page {
                failure::malformed(failure::html_title(&text))
            } else {
                failure::from_whole_json(&body)
            });
        }
        if self.progress != Progress::Done {
            self.parser.finish(&mut self.events);
            self.decode(deltas)?;
        }
        if self.events_seen == 0 && self.parser.foreign_lines() > 0 {
            return Err(failure::malformed("what came is not a stream of events; is the base URL right?"));
        }
        self.decoder.finish()
    }
}

/// Reads what follows the last event, so that the connection can be used again.
async fn drain(mut response: Response) {
    let mut rest = Box::pin(async move { while let Ok(Some(_)) = response.chunk().await {} });
    if tokio::time::timeout(Duration::from_millis(END_WAIT_MS), &mut rest).await.is_err() {
        // A server that never ends its body loses the connection, nothing else.
        tokio::spawn(tokio::time::timeout(Duration::from_millis(DRAIN_WAIT_MS), rest));
    }
}

fn silent(wait_ms: u64) -> ModelFailure {
    failure::failure(ModelFailureKind::Disconnected, format!("nothing came for {} seconds", wait_ms.div_ceil(1000)))
}

fn endless(wait_ms: u64) -> ModelFailure {
    let message = format!("the response did not end within {} seconds", wait_ms.div_ceil(1000));
    failure::failure(ModelFailureKind::Disconnected, message)
}

fn disconnected(error: &reqwest::Error) -> ModelFailure {
    let what = if error.is_connect() {
        "could not connect"
    } else if error.is_timeout() {
        "ran out of time"
    } else {
        "the connection broke"
    };
    failure::failure(ModelFailureKind::Disconnected, format!("{what}: {}", causes(error)))
}

/// The last cause says most; the address in the first would be a repetition.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The names in a list of models, of OpenAI's or Anthropic's form.
fn model_names(body: &[u8]) -> Vec<String> {
    let Ok(list) = serde_json::from_slice::<serde_json::Value>(body) else { return Vec::new() };
    let models = list.get("data").and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let name = |model: &serde_json::Value| model.get("id").and_then(serde_json::Value::as_str).map(failure::clean);
    models.iter().filter_map(name).collect()
}
