//! A request's body as a list of byte chunks.
//!
//! Promise: chunks are handed on without copying, and their exact length is known before the first is
//! sent, so that every request carries a `Content-Length`.

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Chunks to send, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChunkedBody {
    chunks: VecDeque<Bytes>,
    left_bytes: u64,
}

impl ChunkedBody {
    /// Adds a chunk at the end.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.left_bytes += chunk.len() as u64;
            self.chunks.push_back(chunk);
        }
    }

    /// All bytes in one piece.
    pub(crate) fn into_vec(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.left_bytes).unwrap_or(0));
        self.chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
        bytes
    }

    /// All bytes in one piece.
    #[cfg(test)]
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.clone().into_vec()
    }

    /// The chunks.
    #[cfg(test)]
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        self.chunks.iter()
    }
}

impl http_body::Body for ChunkedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.chunks.pop_front().map(|chunk| {
            self.left_bytes -= chunk.len() as u64;
            Ok(Frame::data(chunk))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}
