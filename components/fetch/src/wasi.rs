//! The wire of a component: `wasi:http`, waiting with `wasi:io/poll`.
//!
//! Promise: reads no more of a body than it was asked for, and waits without spinning.
//!
//! Not here: grants, resolving, redirects, credentials, timeouts: the host decides all of them.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    DnsErrorPayload, ErrorCode, Fields, IncomingResponse, Method as HttpMethod, OutgoingBody, OutgoingRequest, Scheme,
};
use wasip2::io::streams::StreamError;

use crate::request::{Method, Request};
use crate::wire::{Response, Wire, WireError};

/// The most that is written at once without asking (`wasi:io/streams`, blocking-write-and-flush).
const WRITE_BYTES_MAX: usize = 4096;
const READ_BYTES_MAX: u64 = 64 << 10;

/// The host's HTTP.
pub(crate) struct Host;

impl Wire for Host {
    fn send(&self, request: &Request, bytes_max: usize) -> Result<Response, WireError> {
        let outgoing = outgoing(request)?;
        let body = outgoing.body().map_err(|()| internal("no body for the request"))?;
        let future = outgoing_handler::handle(outgoing, None).map_err(|code| wire_error(&code))?;
        if let Some(text) = &request.body {
            write(&body, text.as_bytes())?;
        }
        OutgoingBody::finish(body, None).map_err(|code| wire_error(&code))?;
        let response = loop {
            match future.get() {
                Some(Ok(result)) => break result.map_err(|code| wire_error(&code))?,
                Some(Err(())) => return Err(internal("the response was taken twice")),
                None => future.subscribe().block(),
            }
        };
        received(&response, bytes_max)
    }
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, WireError> {
    let fields = Fields::new();
    for (name, value) in &request.headers {
        fields.append(name, value.as_bytes()).map_err(|error| {
            WireError::Protocol(format!("the host does not let a tool set the header {name} ({error})"))
        })?;
    }
    if let Some(body) = &request.body {
        // Where the host counts for itself it refuses ours.
        let _ = fields.append("content-length", body.len().to_string().as_bytes());
    }
    let outgoing = OutgoingRequest::new(fields);
    let url = &request.url;
    let method = match request.method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
    };
    let scheme = if url.scheme() == "https" { Scheme::Https } else { Scheme::Http };
    let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let set = outgoing.set_method(&method).is_ok()
        && outgoing.set_scheme(Some(&scheme)).is_ok()
        && outgoing.set_authority(Some(url.authority())).is_ok()
        && outgoing.set_path_with_query(Some(&path)).is_ok();
    if set { Ok(outgoing) } else { Err(WireError::Protocol("the host does not accept the URL".into())) }
}

fn write(body: &OutgoingBody, bytes: &[u8]) -> Result<(), WireError> {
    let stream = body.write().map_err(|()| internal("the body was written twice"))?;
    for chunk in bytes.chunks(WRITE_BYTES_MAX) {
        // A server may answer without reading all; what it answers says more than this error.
        if stream.blocking_write_and_flush(chunk).is_err() {
            break;
        }
    }
    Ok(())
}

fn received(response: &IncomingResponse, bytes_max: usize) -> Result<Response, WireError> {
    let headers = response.headers().entries().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let mut read = Response { status: response.status(), headers: headers.collect(), ..Response::default() };
    let body = response.consume().map_err(|()| internal("the response has no body"))?;
    let stream = body.stream().map_err(|()| internal("the body was read twice"))?;
    loop {
        match stream.blocking_read(READ_BYTES_MAX) {
            Ok(bytes) => {
                let room = bytes_max - read.body.len();
                read.body.extend_from_slice(bytes.get(..room).unwrap_or(&bytes));
                if bytes.len() > room {
                    read.cut = true;
                    return Ok(read);
                }
            }
            Err(StreamError::Closed) => return Ok(read),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = wasip2::http::types::http_error_code(&error);
                return Err(code.map_or(WireError::Broken, |code| wire_error(&code)));
            }
        }
    }
}

fn internal(what: &str) -> WireError {
    WireError::Protocol(format!("the host's HTTP does not keep its contract: {what}"))
}

fn wire_error(code: &ErrorCode) -> WireError {
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => WireError::Denied,
        ErrorCode::DnsError(DnsErrorPayload { rcode, .. }) => WireError::Dns(rcode.clone().unwrap_or_default()),
        ErrorCode::DnsTimeout => WireError::Dns("no answer in time".into()),
        ErrorCode::DestinationNotFound => WireError::Dns(String::new()),
        ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionLimitReached => WireError::Unreachable,
        ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete => WireError::Broken,
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => WireError::TimedOut,
        ErrorCode::TlsProtocolError => WireError::Tls(String::new()),
        ErrorCode::TlsCertificateError => WireError::Tls("its certificate is not valid".into()),
        ErrorCode::TlsAlertReceived(alert) => WireError::Tls(alert.alert_message.clone().unwrap_or_default()),
        ErrorCode::LoopDetected => WireError::Protocol("redirected too often".into()),
        ErrorCode::HttpResponseBodySize(_) => WireError::Protocol("the response is larger than the host allows".into()),
        ErrorCode::HttpProtocolError => WireError::Protocol("the server does not speak HTTP".into()),
        ErrorCode::InternalError(Some(why)) => WireError::Protocol(why.clone()),
        other => WireError::Protocol(format!("{other:?}")),
    }
}
