//! Taking in a log from elsewhere: its pages in one transaction, as they come.
//!
//! Promise: all of it or nothing; nothing of it is seen before. Other sessions wait meanwhile: whoever feeds the
//! pages has them ready.
//!
//! Not here: verifying what the pages hold (harness-engine, before the first page comes).

use crate::append::{self, storage};
use crate::schema::{SESSION_EVENTS_MAX, event_row};
use crate::store::session_row;
use crate::writer::Desk;
use crate::{lineage, said};
use harness_core::envelope::Tip;
use harness_core::{Digest, Sequence};
use harness_engine::ports::{Ancestor, AppendError, Import, ImportPage};
use rusqlite::params;

/// Writes it, as part of the transaction under way.
pub(crate) fn write(desk: &mut Desk, mut import: Import) -> Result<(), AppendError> {
    let session = import.append.session;
    let refuse = |what: &str| AppendError::Storage(format!("refused, nothing was written: {session} {what}"));
    let row = session_row(&desk.connection, session).map_err(storage)?.ok_or(AppendError::NotFound(session))?;
    append::check_empty(&desk.connection, session)?;
    let owner = lineage::add_owner(&desk.connection).map_err(storage)?;
    let mut taken = Taken { tip: Tip::START, is_erased: false };
    loop {
        let page = import.pages.blocking_recv().ok_or_else(|| refuse("came to no end"))?;
        let is_last = page.is_last;
        taken.page(desk, owner, page)?;
        if is_last {
            break;
        }
    }
    if taken.tip != import.append.after || taken.tip == Tip::START {
        return Err(refuse("is not the log that was announced"));
    }
    let mut whole = import.lineage;
    if whole.last().is_none_or(|ancestor| ancestor.last < taken.tip.sequence) {
        return Err(refuse("has events of no session"));
    }
    whole.retain(|ancestor: &Ancestor| ancestor.last <= taken.tip.sequence);
    lineage::begin_with(&desk.connection, row, owner, &whole, (taken.tip, taken.is_erased)).map_err(storage)?;
    append::write(desk, std::slice::from_ref(&import.append))
}

struct Taken {
    tip: Tip,
    is_erased: bool,
}

impl Taken {
    fn page(&mut self, desk: &Desk, owner: i64, page: ImportPage) -> Result<(), AppendError> {
        let connection = &desk.connection;
        for event in &page.events {
            let sequence = self.tip.sequence.next();
            if sequence.0 > SESSION_EVENTS_MAX {
                return Err(AppendError::Storage(format!("a session has at most {SESSION_EVENTS_MAX} events")));
            }
            self.tip = Tip { sequence, hash: Digest::of(&event.header_bytes) };
            self.is_erased |= event.payload.is_none();
            append::write_event(connection, event_row(owner, sequence.0), &event.header_bytes, event.payload.as_ref())
                .map_err(storage)?;
        }
        said::write(connection, owner, &page.said).map_err(storage)?;
        let contents = [(owner, Sequence::START, page.blobs.as_slice())];
        desk.blobs.store(connection, desk.blob_quota_bytes, &contents)?;
        let sql = "UPDATE session SET tip_sequence = ?2, tip_hash = ?3 WHERE id = ?1";
        let update = connection.prepare_cached(sql);
        update
            .and_then(|mut update| update.execute(params![owner, self.tip.sequence.0 as i64, self.tip.hash.0]))
            .map_err(storage)?;
        Ok(())
    }
}
