//! The requests of one call: each judged, sent and recorded.
//!
//! Promise: every request and every hop of a redirect passes the same checks in the same order (form, grants,
//! secrets, one lookup, addresses), is counted, and is in the record, also where it was refused.
//!
//! Not here: the checks themselves (`target`, `headers`, `covering`, `secret`), the wire (`connect`, `exchange`).

use crate::body::ScannedBody;
use crate::connect::timed_out;
use crate::covering::covering;
use crate::error::EgressError;
use crate::exchange::{Connection, Outgoing, exchange};
use crate::headers;
use crate::limits::{ADDRESSES_MAX, EgressLimits, REDIRECTS_MAX, Timeouts};
use crate::scan::Scan;
use crate::secret::CallSecrets;
use crate::target::{Target, check_method};
use crate::{Egress, connect};
use bytes::{Bytes, BytesMut};
use harness_core::grant::{Capability, HttpScope, SecretScope, UrlScheme};
use harness_core::outcome::LimitName;
use harness_core::record::RequestMade;
use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::timeout;

/// How much of a URL that could not be read is recorded, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// The way out of one call. Clones share everything.
#[derive(Clone)]
pub struct CallEgress {
    shared: Arc<Shared>,
}

struct Shared {
    egress: Arc<Egress>,
    http: Vec<HttpScope>,
    secret_scopes: Vec<SecretScope>,
    limits: EgressLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: Vec<RequestMade>,
    refused: Vec<Capability>,
    crossed: Option<LimitName>,
    request_bytes: u64,
    response_bytes: u64,
    secrets: Option<Arc<CallSecrets>>,
}

/// Which record a request has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry(usize);

/// A request as the guest made it, checked for its form.
struct Asked {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

impl CallEgress {
    pub(crate) fn new(egress: Arc<Egress>, granted: &[Capability], limits: EgressLimits) -> Self {
        let (mut http, mut secret_scopes) = (Vec::new(), Vec::new());
        for capability in granted {
            match capability {
                Capability::Http(scope) => http.push(scope.clone()),
                Capability::Secret(scope) => secret_scopes.push(scope.clone()),
                _ => {}
            }
        }
        Self { shared: Arc::new(Shared { egress, http, secret_scopes, limits, state: Mutex::default() }) }
    }

    /// What a guest puts where a secret's value is to be: the same text for the whole call, of no use elsewhere.
    /// Asks the port for the value, which may block.
    ///
    /// # Errors
    ///
    /// No grant names the secret, there is none of that name, or it cannot be read.
    pub fn placeholder(&self, name: &str) -> Result<String, EgressError> {
        if !self.shared.secret_scopes.iter().any(|scope| scope.name == name) {
            let shown: String = name.chars().take(64).collect::<String>().escape_debug().to_string();
            let problem = format!("no grant names it; one is `secret {shown} HOST header|query FIELD`");
            return Err(EgressError::secret(&shown, problem));
        }
        if let Some(known) = self.secrets().placeholder(name) {
            return Ok(known.to_owned());
        }
        let read = self.shared.egress.secrets.secret(name);
        let value = read.map_err(|problem| EgressError::secret(name, format!("it cannot be read: {problem}")))?;
        let value = value.ok_or_else(|| EgressError::NotConfigured { name: name.to_owned() })?;
        let mut state = self.state();
        let secrets = state.secrets.clone().unwrap_or_default();
        // Another thread of the call may have been faster.
        if let Some(known) = secrets.placeholder(name) {
            return Ok(known.to_owned());
        }
        let secrets = secrets.with(name, value)?;
        let placeholder = secrets.placeholder(name).map(str::to_owned).unwrap_or_default();
        state.secrets = Some(Arc::new(secrets));
        Ok(placeholder)
    }

    /// Reads all secrets that could be in a response, so that they are searched for in every one. One that cannot
    /// be read cannot be put in either.
    async fn read_secrets(&self) {
        let names: Vec<String> =
            self.secret_names().into_iter().filter(|name| self.secrets().placeholder(name).is_none()).collect();
        if names.is_empty() {
            return;
        }
        let call = self.clone();
        let read = move || names.iter().for_each(|name| drop(call.placeholder(name)));
        // Where a secret is kept may be slow to answer.
        let _ = tokio::task::spawn_blocking(read).await;
    }

    /// The names of the secrets that grants name, sorted, each once.
    pub fn secret_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.shared.secret_scopes.iter().map(|scope| scope.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The requests so far, in order; the last ones may still go on.
    pub fn requests(&self) -> Vec<RequestMade> {
        self.state().records.clone()
    }

    /// The capabilities that were missing, each once.
    pub fn refused(&self) -> Vec<Capability> {
        self.state().refused.clone()
    }

    /// The first limit that was crossed.
    pub fn crossed(&self) -> Option<LimitName> {
        self.state().crossed
    }

    /// Sends a request and gives the response as soon as its headers are there. The body is first read to its
    /// end and held, so that nothing leaves before all of it was judged; GET and HEAD follow redirects.
    ///
    /// Dropping the future, or the response's body, closes the connection.
    ///
    /// # Errors
    ///
    /// Whatever keeps a response from coming, see [`EgressError`]. It is in the record, too.
    pub async fn send<B>(&self, request: Request<B>, timeouts: Timeouts) -> Result<Response<ScannedBody>, EgressError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let limits = self.shared.limits.lowered(timeouts);
        let (parts, body) = request.into_parts();
        self.read_secrets().await;
        let mut entry = self.open(parts.method.as_str(), shown(&parts.uri))?;
        let first = self.first(entry, parts, body, &limits).await;
        let (mut target, mut asked) = self.noted(entry, first)?;
        for hops in 0..=REDIRECTS_MAX {
            let sent = self.hop(entry, &target, &asked, &limits).await;
            let (response, connection, secrets) = self.noted(entry, sent)?;
            let Some(location) = location_of(&asked.method, &response) else {
                let response = self.hand_over(entry, response, connection, &secrets, limits);
                return self.noted(entry, response);
            };
            let next = if hops == REDIRECTS_MAX {
                Err(EgressError::Redirect(format!("the server redirects more than {REDIRECTS_MAX} times")))
            } else {
                next_target(&target, location, &limits)
            };
            let next = self.noted(entry, next)?;
            if !next.is_same_origin(&target) {
                headers::keep_across_origins(&mut asked.headers);
                asked.body = Bytes::new();
            }
            entry = self.open(asked.method.as_str(), next.before_query().to_owned())?;
            target = next;
        }
        // The last hop returned above.
        Err(EgressError::Redirect("it has no end".to_owned()))
    }

    /// Everything that can be judged before the guest has written its body, then the body.
    async fn first<B>(
        &self,
        entry: Entry,
        parts: http::request::Parts,
        body: B,
        limits: &EgressLimits,
    ) -> Result<(Target, Asked), EgressError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        check_method(parts.method.as_str())?;
        let text = url_text(&parts.uri)?;
        let secrets = self.secrets();
        if let Some(name) = secrets.in_url(&text) {
            self.state_entry(entry, |record| record.url = format!("[secret {name}]"));
        }
        secrets.check_guest(&text, &parts.headers, &[])?;
        let target = Target::parse(&text, limits.url_bytes)?;
        self.state_entry(entry, |record| record.url = secrets.scrub(target.before_query().to_owned()));
        headers::check_guest(&parts.headers, limits)?;
        covering(&self.shared.http, &target, parts.method.as_str())?;
        secrets.fill(&self.shared.secret_scopes, &target, &parts.headers, headers::is_authority)?;
        let body = self.collect(body).await?;
        headers::check_length(&parts.headers, body.len())?;
        let mut headers = parts.headers;
        headers.remove(CONTENT_LENGTH);
        Ok((target, Asked { method: parts.method, headers, body }))
    }

    async fn collect<B>(&self, body: B) -> Result<Bytes, EgressError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut body = pin!(body);
        let mut collected = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let broken = |error: B::Error| EgressError::malformed(format!("its body broke off: {}", error.into()));
            let piece = frame.map_err(broken)?.into_data();
            let piece = piece.map_err(|_| EgressError::malformed("its body has trailers, which are not sent"))?;
            let bytes = self.state().request_bytes.saturating_add((collected.len() + piece.len()) as u64);
            if bytes > self.shared.limits.request_bytes {
                return Err(EgressError::Limit(LimitName::RequestBytes));
            }
            collected.extend_from_slice(&piece);
        }
        Ok(collected.freeze())
    }

    /// One request to one place, up to the response's headers.
    async fn hop(
        &self,
        entry: Entry,
        target: &Target,
        asked: &Asked,
        limits: &EgressLimits,
    ) -> Result<(Response<Incoming>, Connection, Arc<CallSecrets>), EgressError> {
        let secrets = self.secrets();
        // A redirect's URL is the server's: it may hold a value that the server was sent.
        secrets.check_guest(target.as_str(), &asked.headers, &asked.body)?;
        let covering = covering(&self.shared.http, target, asked.method.as_str())?;
        let filled = secrets.fill(&self.shared.secret_scopes, target, &asked.headers, headers::is_authority)?;
        let outgoing = Outgoing {
            method: asked.method.clone(),
            path: target.path_with(filled.query.as_ref().map(|query| query.as_str())),
            headers: headers::outgoing(filled.headers, &target.authority())?,
            body: asked.body.clone(),
        };
        let addresses = self.addresses(target, limits).await?;
        let mut reachable = covering.reachable(&addresses)?;
        reachable.truncate(ADDRESSES_MAX);
        let egress = &self.shared.egress;
        let (wire, address) = connect::connect(&egress.tls, target, &reachable, limits.connect).await?;
        self.state_entry(entry, |record| record.address = Some(address.to_string()));
        self.count_request(entry, outgoing.body.len())?;
        let (response, connection) = exchange(wire, outgoing, limits).await?;
        self.state_entry(entry, |record| record.status = Some(response.status().as_u16()));
        Ok((response, connection, secrets))
    }

    /// The one lookup.
    async fn addresses(&self, target: &Target, limits: &EgressLimits) -> Result<Vec<IpAddr>, EgressError> {
        if let Some(address) = target.address() {
            return Ok(vec![address]);
        }
        let wrong = |problem: String| EgressError::Dns { host: target.host().to_owned(), problem };
        let resolved = timeout(limits.connect, self.shared.egress.resolver.resolve(target.host())).await;
        let resolved = resolved.map_err(|_| timed_out("resolving the name", limits.connect))?;
        let addresses = resolved.map_err(|error| wrong(error.to_string()))?;
        if addresses.is_empty() {
            return Err(wrong("it has no address".to_owned()));
        }
        Ok(addresses)
    }

    /// The response as the guest gets it.
    fn hand_over(
        &self,
        entry: Entry,
        response: Response<Incoming>,
        connection: Connection,
        secrets: &CallSecrets,
        limits: EgressLimits,
    ) -> Result<Response<ScannedBody>, EgressError> {
        let (parts, incoming) = response.into_parts();
        let left = limits.response_bytes.saturating_sub(self.state().response_bytes);
        if incoming.size_hint().lower() > left {
            return Err(EgressError::Limit(LimitName::ResponseBytes));
        }
        let patterns = secrets.patterns();
        let headers = headers::incoming(&parts.headers, patterns.map(Arc::as_ref))?;
        let scan = patterns.cloned().map(Scan::new);
        let body = ScannedBody::new((incoming, connection), scan, (self.clone(), entry), limits);
        // Built anew: nothing of the connection's own comes along.
        let mut response = Response::new(body);
        *response.status_mut() = parts.status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secrets(&self) -> Arc<CallSecrets> {
        self.state().secrets.clone().unwrap_or_default()
    }

    fn state_entry(&self, entry: Entry, change: impl FnOnce(&mut RequestMade)) {
        if let Some(record) = self.state().records.get_mut(entry.0) {
            change(record);
        }
    }

    /// Begins the record of one more request.
    fn open(&self, method: &str, url: String) -> Result<Entry, EgressError> {
        let mut state = self.state();
        // A call that crossed a limit comes to nothing: it sends nothing more either.
        if let Some(limit) = state.crossed {
            return Err(EgressError::Limit(limit));
        }
        if state.records.len() as u64 >= self.shared.limits.requests {
            state.crossed.get_or_insert(LimitName::Requests);
            return Err(EgressError::Limit(LimitName::Requests));
        }
        let url = match &state.secrets {
            Some(secrets) => secrets.scrub(url),
            None => url,
        };
        let method: String = method.chars().take(SHOWN_CHARS_MAX).collect();
        state.records.push(RequestMade {
            method,
            url,
            address: None,
            status: None,
            problem: None,
            request_bytes: 0,
            response_bytes: 0,
        });
        Ok(Entry(state.records.len() - 1))
    }

    fn noted<T>(&self, entry: Entry, result: Result<T, EgressError>) -> Result<T, EgressError> {
        result.map_err(|error| {
            // A server may have had a hand in the words.
            let error = error.scrubbed(|text| self.secrets().scrub(text));
            self.note_problem(entry, &error);
            error
        })
    }

    /// Puts an error into the record.
    pub(crate) fn note_problem(&self, entry: Entry, error: &EgressError) {
        let problem = self.secrets().scrub(error.to_string());
        let mut state = self.state();
        if let Some(missing) = error.missing()
            && !state.refused.contains(missing)
        {
            state.refused.push(missing.clone());
        }
        if let EgressError::Limit(limit) = error {
            state.crossed.get_or_insert(*limit);
        }
        if let Some(record) = state.records.get_mut(entry.0) {
            record.problem = Some(problem);
        }
    }

    fn count_request(&self, entry: Entry, bytes: usize) -> Result<(), EgressError> {
        let mut state = self.state();
        let all = state.request_bytes.saturating_add(bytes as u64);
        if all > self.shared.limits.request_bytes {
            return Err(EgressError::Limit(LimitName::RequestBytes));
        }
        state.request_bytes = all;
        if let Some(record) = state.records.get_mut(entry.0) {
            record.request_bytes = bytes as u64;
        }
        Ok(())
    }

    /// Counts a piece of a response.
    pub(crate) fn count_response(&self, entry: Entry, bytes: usize) -> Result<(), EgressError> {
        let mut state = self.state();
        state.response_bytes = state.response_bytes.saturating_add(bytes as u64);
        if let Some(record) = state.records.get_mut(entry.0) {
            record.response_bytes = record.response_bytes.saturating_add(bytes as u64);
        }
        if state.response_bytes > self.shared.limits.response_bytes {
            return Err(EgressError::Limit(LimitName::ResponseBytes));
        }
        Ok(())
    }
}

/// The parts of a URI put together, each of which has to be what it says.
fn url_text(uri: &Uri) -> Result<String, EgressError> {
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(EgressError::malformed("its URL has no scheme or no host"));
    };
    let authority = authority.as_str();
    if authority.contains('@') {
        return Err(EgressError::malformed("its URL has a user name or password; a secret goes into a header"));
    }
    if authority.ends_with(':') {
        return Err(EgressError::malformed("its URL has a colon and no port"));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    if !path.starts_with('/') {
        return Err(EgressError::malformed("its path does not begin with a slash"));
    }
    Ok(format!("{scheme}://{authority}{path}"))
}

/// A URI for the record before it could be read: no query, no user name.
fn shown(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let path = uri.path();
    let text = format!("{scheme}://{}{path}", uri.host().unwrap_or_default());
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

/// Where a redirect leads that is to be followed.
fn location_of<'a>(method: &Method, response: &'a Response<Incoming>) -> Option<&'a [u8]> {
    let is_followed = matches!(*method, Method::GET | Method::HEAD)
        && matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION)?;
    is_followed.then(|| location.as_bytes())
}

fn next_target(target: &Target, location: &[u8], limits: &EgressLimits) -> Result<Target, EgressError> {
    let unfit = |_| EgressError::Redirect("its location is not text".to_owned());
    let location = std::str::from_utf8(location).map_err(unfit)?;
    let next = target.join(location, limits.url_bytes).map_err(|error| EgressError::Redirect(error.to_string()))?;
    if target.scheme() == UrlScheme::Https && next.scheme() == UrlScheme::Http {
        return Err(EgressError::Redirect("it leads from https to http".to_owned()));
    }
    Ok(next)
}
