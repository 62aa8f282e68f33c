//! A response's body on its way to the guest: counted, timed and searched for secrets.
//!
//! Promise: it ends with an error where a limit is crossed, the server is silent for too long or breaks off;
//! nothing is read before the guest asks, beyond one buffer. Trailers are dropped.
//!
//! Not here: the response's head (`exchange`, `headers`).

use crate::call::{CallEgress, Entry};
use crate::connect::timed_out;
use crate::error::EgressError;
use crate::exchange::{Connection, protocol};
use crate::limits::EgressLimits;
use crate::scan::Scan;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep};

/// A response's body without secrets. Dropping it closes its connection.
pub struct ScannedBody {
    /// None when the body has ended or failed.
    source: Option<Source>,
    scan: Option<Scan>,
    call: CallEgress,
    entry: Entry,
    limits: EgressLimits,
    patience: Pin<Box<Sleep>>,
}

struct Source {
    incoming: Incoming,
    /// None when the connection has nothing more to do.
    connection: Option<Connection>,
}

impl ScannedBody {
    pub(crate) fn new(
        (incoming, connection): (Incoming, Connection),
        scan: Option<Scan>,
        (call, entry): (CallEgress, Entry),
        limits: EgressLimits,
    ) -> Self {
        let source = (!incoming.is_end_stream()).then_some(Source { incoming, connection: Some(connection) });
        let patience = Box::pin(tokio::time::sleep(limits.between_bytes));
        Self { source, scan, call, entry, limits, patience }
    }

    fn fail(&mut self, error: EgressError) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        self.source = None;
        self.call.note_problem(self.entry, &error);
        Poll::Ready(Some(Err(error)))
    }

    /// What is left in the scan at the end.
    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        self.source = None;
        let rest = self.scan.take().map(|mut scan| scan.finish()).unwrap_or_default();
        Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))))
    }
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(cx).is_ready()
        {
            // What was wrong with it comes out of the body, too.
            self.connection = None;
        }
        Pin::new(&mut self.incoming).poll_frame(cx)
    }
}

impl Body for ScannedBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let body = self.get_mut();
        loop {
            let Some(source) = &mut body.source else { return Poll::Ready(None) };
            match source.poll(cx) {
                Poll::Pending => {
                    return match body.patience.as_mut().poll(cx) {
                        Poll::Pending => Poll::Pending,
                        Poll::Ready(()) => {
                            let time = body.limits.between_bytes;
                            body.fail(timed_out("the next piece of the response", time))
                        }
                    };
                }
                Poll::Ready(None) => return body.end(),
                Poll::Ready(Some(Err(error))) => {
                    let error = protocol(&error);
                    return body.fail(error);
                }
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(piece) = frame.into_data() else { continue };
                    if let Err(error) = body.call.count_response(body.entry, piece.len()) {
                        return body.fail(error);
                    }
                    let next = Instant::now().checked_add(body.limits.between_bytes);
                    if let Some(next) = next {
                        body.patience.as_mut().reset(next);
                    }
                    let piece = body.scan.as_mut().map_or_else(|| piece.clone(), |scan| scan.push(piece.clone()));
                    if !piece.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.source, &self.scan) {
            (None, _) => SizeHint::with_exact(0),
            (Some(source), None) => source.incoming.size_hint(),
            // A replaced secret changes the length.
            (Some(_), Some(_)) => SizeHint::default(),
        }
    }
}
