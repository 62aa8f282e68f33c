//! Files as `wasi:io` streams.
//!
//! Promise: a stream is always ready; it reads and writes on the thread that asks, through a handle of its
//! own that counts as an open one.

use super::bindings::ErrorCode;
use super::handle::Handle;
use super::limits::{READ_BYTES_MAX, STREAM_WRITE_BYTES_MAX};
use bytes::Bytes;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// An error code on its way through a stream: `filesystem-error-code` finds it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("filesystem: {0:?}")]
pub(super) struct StreamFailure(pub(super) ErrorCode);

fn failed(code: ErrorCode) -> StreamError {
    StreamError::LastOperationFailed(wasmtime::Error::new(StreamFailure(code)))
}

/// Reads a file from a position on.
pub(super) struct FileInput {
    handle: Handle,
    offset: u64,
    closed: bool,
}

impl FileInput {
    pub(super) fn new(handle: Handle, offset: u64) -> Self {
        Self { handle, offset, closed: false }
    }
}

#[async_trait::async_trait]
impl Pollable for FileInput {
    async fn ready(&mut self) {}
}

#[async_trait::async_trait]
impl InputStream for FileInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.closed {
            return Err(StreamError::Closed);
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        match self.handle.read_at(size as u64, self.offset) {
            Ok(bytes) if bytes.is_empty() => {
                self.closed = true;
                Err(StreamError::Closed)
            }
            Ok(bytes) => {
                self.offset += bytes.len() as u64;
                Ok(bytes.into())
            }
            Err(code) => {
                self.closed = true;
                Err(failed(code))
            }
        }
    }

    fn skip(&mut self, size: usize) -> StreamResult<usize> {
        if self.closed {
            return Err(StreamError::Closed);
        }
        let left = self.handle.bytes().map_err(failed)?.saturating_sub(self.offset);
        let skipped = left.min(size as u64).min(READ_BYTES_MAX);
        if skipped == 0 && size > 0 {
            self.closed = true;
            return Err(StreamError::Closed);
        }
        self.offset += skipped;
        Ok(usize::try_from(skipped).unwrap_or(0))
    }
}

/// Writes a file from a position on, or at its end.
pub(super) struct FileOutput {
    handle: Handle,
    /// Where the next write goes; nothing for the file's end.
    offset: Option<u64>,
    failed: Option<ErrorCode>,
    closed: bool,
}

impl FileOutput {
    pub(super) fn new(handle: Handle, offset: Option<u64>) -> Self {
        Self { handle, offset, failed: None, closed: false }
    }

    fn check(&mut self) -> StreamResult<()> {
        if let Some(code) = self.failed.take() {
            self.closed = true;
            return Err(failed(code));
        }
        if self.closed { Err(StreamError::Closed) } else { Ok(()) }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ErrorCode> {
        match self.offset {
            None => self.handle.append(bytes),
            Some(offset) => {
                self.handle.write_at(bytes, offset)?;
                self.offset = Some(offset.saturating_add(bytes.len() as u64));
                Ok(())
            }
        }
    }
}

#[async_trait::async_trait]
impl Pollable for FileOutput {
    async fn ready(&mut self) {}
}

#[async_trait::async_trait]
impl OutputStream for FileOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.check()?;
        // `write` has no error of its own: what goes wrong is said by the next flush or check.
        self.failed = self.put(&bytes).err();
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.check().map(|()| STREAM_WRITE_BYTES_MAX)
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.check()?;
        self.put(&bytes).map_err(|code| {
            self.closed = true;
            failed(code)
        })
    }
}
