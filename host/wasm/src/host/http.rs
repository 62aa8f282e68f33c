//! `wasi:http`: requests of guests, on their way to the host's one way out.
//!
//! Promise: no request leaves but through harness-egress; what a guest holds of requests and responses is
//! bounded; no time that it asks for is longer than what is left of its call.
//!
//! Not here: judging, sending and recording requests (harness-egress), serving (there is no incoming handler).

use crate::guest::GuestState;
use crate::limits::CallLimits;
use harness_core::grant::Capability;
use harness_egress::{CallEgress, Egress, EgressError, EgressLimits, ScannedBody, Timeouts};
use http::{HeaderName, Request, Response};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::Linker;
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, Result, WasiBody, WasiHttp, WasiHttpCtx,
    WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// All headers of one message as the host holds them, in bytes.
const FIELDS_BYTES_MAX: usize = 32 << 10;
/// One write to a request's body, in bytes.
const BODY_CHUNK_BYTES_MAX: usize = 64 << 10;
/// Writes to a request's body that wait to be taken.
const BODY_CHUNKS_MAX: usize = 1;
/// Headers that guests neither set nor see, beside those of wasmtime-wasi-http: of one connection
/// (RFC 9110, 7.6.1), or read by servers as another address than the one that was judged.
const FORBIDDEN_HEADERS: &[&str] = &["te", "trailer", "expect", "forwarded", "x-forwarded-host", "x-original-url"];

/// Adds `wasi:http/types` and `wasi:http/outgoing-handler`.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let options = types::LinkOptions::default();
    types::add_to_linker::<_, WasiHttp>(linker, &options, GuestState::http)?;
    outgoing_handler::add_to_linker::<_, WasiHttp>(linker, GuestState::http)
}

/// A call's way out, made when it is first looked for.
pub(crate) struct Requests {
    context: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks {
    egress: Arc<Egress>,
    call: Option<CallEgress>,
    /// When the call ends at the latest.
    deadline: Option<Instant>,
}

impl Requests {
    pub(crate) fn new(egress: Arc<Egress>, deadline: Option<Instant>) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELDS_BYTES_MAX);
        Self { context, hooks: Hooks { egress, call: None, deadline } }
    }

    /// The way out, if the call looked for it.
    pub(crate) fn used(&self) -> Option<&CallEgress> {
        self.hooks.call.as_ref()
    }

    fn call(&mut self, granted: &[Capability], limits: &CallLimits) -> &CallEgress {
        let Hooks { egress, call, .. } = &mut self.hooks;
        call.get_or_insert_with(|| egress.for_call(granted, egress_limits(limits)))
    }
}

fn egress_limits(limits: &CallLimits) -> EgressLimits {
    let deadline = Duration::from_millis(limits.deadline_ms);
    let defaults = EgressLimits::default();
    EgressLimits {
        requests: limits.requests,
        request_bytes: limits.request_bytes,
        response_bytes: limits.response_bytes,
        header_bytes: FIELDS_BYTES_MAX.min(defaults.header_bytes),
        connect: defaults.connect.min(deadline),
        first_byte: defaults.first_byte.min(deadline),
        between_bytes: defaults.between_bytes.min(deadline),
        ..defaults
    }
}

impl GuestState {
    /// The call's way out.
    pub(crate) fn egress(&mut self) -> &CallEgress {
        self.lent.requests.call(self.lent.powers.capabilities(), &self.limits)
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.egress();
        let Requests { context, hooks } = &mut self.lent.requests;
        WasiHttpCtxView { ctx: context, hooks, table: &mut self.table }
    }
}

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<()>> + Send>)>;

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn set_host_header(&mut self) -> bool {
        // The way out sets it, from what was judged.
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<()>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let call = self.call.clone();
        let timeouts = timeouts(options, self.deadline);
        Box::new(async move {
            let Some(call) = call else { return Err(Error::InternalError(None)) };
            let response = call.send(request, timeouts).await.map_err(problem)?;
            let response = response.map(|body: ScannedBody| body.map_err(problem).boxed_unsync());
            let connection: Box<dyn Future<Output = Result<()>> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((response, connection))
        })
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        BODY_CHUNKS_MAX
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES_MAX
    }
}

fn is_forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name) || FORBIDDEN_HEADERS.contains(&name.as_str())
}

/// What a guest asks for, at most what is left of its call.
fn timeouts(asked: Option<RequestOptions>, deadline: Option<Instant>) -> Timeouts {
    let asked = asked.unwrap_or_default();
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let clamp = |asked: Option<Duration>| match (asked, left) {
        (Some(asked), Some(left)) => Some(asked.min(left)),
        (asked, left) => asked.or(left),
    };
    Timeouts {
        connect: clamp(asked.connect_timeout),
        first_byte: clamp(asked.first_byte_timeout),
        between_bytes: clamp(asked.between_bytes_timeout),
    }
}

/// An error in the words of `wasi:http`. Where the guest, or who reads what it says, can do something about it, it
/// is told in words.
fn problem(error: EgressError) -> Error {
    match error {
        EgressError::Dns { .. } => Error::DnsError { rcode: None, info_code: None },
        EgressError::Connect { .. } => Error::ConnectionRefused,
        EgressError::Tls { .. } => Error::TlsProtocolError,
        EgressError::Timeout { .. } => Error::ConnectionTimeout,
        other => Error::InternalError(Some(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_at_most_what_is_left() {
        let soon = Some(Instant::now() + Duration::from_millis(50));
        let asked = RequestOptions { connect_timeout: Some(Duration::from_secs(600)), ..RequestOptions::default() };
        let given = timeouts(Some(asked), soon);
        assert!(
            given.connect.unwrap() <= Duration::from_millis(50)
                && given.first_byte.unwrap() <= Duration::from_millis(50)
        );
        let short = RequestOptions { connect_timeout: Some(Duration::from_millis(1)), ..RequestOptions::default() };
        assert_eq!(timeouts(Some(short), soon).connect, Some(Duration::from_millis(1)));
        assert_eq!(timeouts(None, None), Timeouts::default());
    }

    #[test]
    fn headers_of_framing_and_routing_are_forbidden() {
        for name in ["host", "transfer-encoding", "connection", "proxy-authorization", "te", "forwarded"] {
            assert!(is_forbidden(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["authorization", "content-length", "accept", "x-api-key"] {
            assert!(!is_forbidden(&HeaderName::from_static(name)), "{name}");
        }
    }
}
