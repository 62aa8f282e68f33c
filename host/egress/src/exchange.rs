//! One request and its response's head over one connection, in HTTP/1.1.
//!
//! Promise: the first line is the path alone, the body's length is our own count, and the connection is
//! driven by who waits for the response: dropped, it is closed.
//!
//! Not here: what may be sent (`call`), the response's body (`body`).

use crate::connect::{Wire, timed_out};
use crate::error::EgressError;
use crate::limits::EgressLimits;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::time::timeout;

/// The buffer of a connection, in bytes: hyper takes no less.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// The connection under a response: done when the response is.
pub(crate) type Connection = Pin<Box<http1::Connection<TokioIo<Box<dyn Wire>>, Full<Bytes>>>>;

/// What is sent, filled and checked.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// The path and, after a `?`, the query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Sends, and waits for the response's head.
pub(crate) async fn exchange(
    wire: Box<dyn Wire>,
    outgoing: Outgoing,
    limits: &EgressLimits,
) -> Result<(Response<Incoming>, Connection), EgressError> {
    let unfit = |_| EgressError::malformed("its path or query cannot be written into a request");
    let path = PathAndQuery::try_from(outgoing.path).map_err(unfit)?;
    let mut request = Request::new(Full::new(outgoing.body));
    *request.method_mut() = outgoing.method;
    *request.uri_mut() = Uri::from(path);
    *request.headers_mut() = outgoing.headers;
    let head = timeout(limits.first_byte, head_of(wire, request, limits)).await;
    let (response, connection) = head.map_err(|_| timed_out("the response's first byte", limits.first_byte))??;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(EgressError::Protocol("it changes to another protocol, which was not asked for".to_owned()));
    }
    let bytes: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > limits.header_bytes {
        let most = limits.header_bytes;
        return Err(EgressError::Protocol(format!("its headers have {bytes} bytes; at most {most} are read")));
    }
    Ok((response, connection))
}

async fn head_of(
    wire: Box<dyn Wire>,
    request: Request<Full<Bytes>>,
    limits: &EgressLimits,
) -> Result<(Response<Incoming>, Connection), EgressError> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(limits.header_bytes.max(BUFFER_BYTES_MIN)).max_headers(limits.headers);
    let broken = |error: hyper::Error| protocol(&error);
    let (mut sender, connection) = builder.handshake(TokioIo::new(wire)).await.map_err(broken)?;
    let mut connection = Box::pin(connection);
    let mut sending = pin!(sender.send_request(request));
    let mut is_done = false;
    let response = std::future::poll_fn(|cx| {
        if let Poll::Ready(response) = sending.as_mut().poll(cx) {
            return Poll::Ready(response);
        }
        // What is wrong with the connection comes out of the request, too.
        if !is_done && connection.as_mut().poll(cx).is_ready() {
            is_done = true;
        }
        sending.as_mut().poll(cx)
    });
    let response = response.await.map_err(broken)?;
    Ok((response, connection))
}

/// An error of the connection in our words: hyper's own name no content.
pub(crate) fn protocol(error: &hyper::Error) -> EgressError {
    if error.is_incomplete_message() {
        return EgressError::Protocol("the server closed the connection before its response was complete".to_owned());
    }
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    EgressError::Protocol(format!("{error}{cause}"))
}
