//! The database's shape and how it came to be.
//!
//! Promise: a database of an older version is brought up step by step, all of them in one transaction
//! with the version number; one of a newer version or of another program is refused and left as it is.
//!
//! An event's row number is `session row << 32 | sequence`: one integer key keeps a session's events
//! together and needs no second index. Payloads are in a table of their own, so that one can be
//! erased without touching the header that the chain covers.

use rusqlite::Connection;

/// "hhst", in the file's header (`PRAGMA application_id`), tells our databases from others'.
pub const APPLICATION_ID: i32 = 0x6868_7374;
/// The version of the schema that this code writes (`PRAGMA user_version`).
pub const SCHEMA_VERSION: i32 = 4;
/// Bits of an event's row number that hold its sequence.
pub(crate) const SEQUENCE_BITS: u32 = 32;
/// Events of one session at most: what fits into [`SEQUENCE_BITS`].
pub(crate) const SESSION_EVENTS_MAX: u64 = (1 << SEQUENCE_BITS) - 1;

/// Fills the table of words from the log: prompts, and the texts of models' responses. The first 8 KiB of
/// characters count, about as the engine has it.
macro_rules! said_of_payloads {
    () => {
        "
    INSERT INTO said (rowid, text)
        SELECT id, substr(text, 1, 8192) FROM (
            SELECT id, CASE kind
                WHEN 'prompt_received' THEN body ->> '$.text'
                WHEN 'model_responded' THEN (
                    SELECT group_concat(part.value ->> '$.text', char(10)) FROM json_each(body, '$.parts') AS part
                    WHERE part.value ->> '$.part' = 'text')
                END AS text
            FROM (SELECT id, CAST(bytes AS TEXT) AS body, CAST(bytes AS TEXT) ->> '$.kind' AS kind FROM payload
                  WHERE json_valid(CAST(bytes AS TEXT))))
        WHERE trim(text) <> '' ORDER BY id;
"
    };
}

/// That, alone.
pub(crate) const SAID_OF_PAYLOADS: &str = said_of_payloads!();

/// The table of words.
macro_rules! said_table {
    () => {
        "
    CREATE VIRTUAL TABLE said USING fts5 (text, tokenize = 'unicode61 remove_diacritics 0');
"
    };
}

/// That, alone.
pub(crate) const SAID_TABLE: &str = said_table!();

/// Step `n` brings a database from version `n` to `n + 1`.
const STEPS: [&str; SCHEMA_VERSION as usize] = [
    "
    -- One row. blob_bytes: the size of all contents. epoch_floor: the largest epoch of any deleted
    -- session, so that a session made again under its id never repeats an epoch.
    CREATE TABLE store (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        blob_bytes INTEGER NOT NULL,
        epoch_floor INTEGER NOT NULL
    ) STRICT;
    INSERT INTO store VALUES (1, 0, 0);

    -- tip_*: the last event. holder_*: who may write, all null when nobody does.
    CREATE TABLE session (
        id INTEGER PRIMARY KEY,
        session BLOB NOT NULL UNIQUE CHECK (length(session) = 16),
        epoch INTEGER NOT NULL,
        tip_sequence INTEGER NOT NULL,
        tip_hash BLOB NOT NULL CHECK (length(tip_hash) = 32),
        holder_machine TEXT,
        holder_pid INTEGER,
        holder_start INTEGER
    ) STRICT;

    CREATE TABLE event (id INTEGER PRIMARY KEY, header BLOB NOT NULL) STRICT;
    CREATE TABLE payload (
        id INTEGER PRIMARY KEY,
        salt BLOB NOT NULL CHECK (length(salt) = 16),
        bytes BLOB NOT NULL
    ) STRICT;

    -- content is null where the content is a file of its own.
    CREATE TABLE blob (
        id INTEGER PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
        bytes INTEGER NOT NULL,
        content BLOB
    ) STRICT;
    CREATE TABLE blob_reference (
        session INTEGER NOT NULL REFERENCES session (id),
        blob INTEGER NOT NULL REFERENCES blob (id),
        PRIMARY KEY (session, blob)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX blob_reference_by_blob ON blob_reference (blob);

    -- The index of sessions: derived from the logs. folded: title and id, case folded, for search.
    CREATE TABLE summary (
        session INTEGER PRIMARY KEY REFERENCES session (id),
        title TEXT NOT NULL,
        workspace TEXT NOT NULL,
        model TEXT NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        last_sequence INTEGER NOT NULL,
        status TEXT NOT NULL,
        turns INTEGER NOT NULL,
        usage TEXT NOT NULL,
        folded TEXT NOT NULL
    ) STRICT;
    CREATE INDEX summary_by_update ON summary (updated DESC, session DESC);
    CREATE INDEX summary_by_workspace ON summary (workspace, updated DESC, session DESC);
",
    "
    -- Components' values. Texts are compared byte by byte (BINARY, the default). owner: which session,
    -- principal or agent, by its id; empty for the scope global.
    CREATE TABLE kv (
        component TEXT NOT NULL,
        scope TEXT NOT NULL,
        owner TEXT NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (component, scope, owner, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX kv_by_owner ON kv (scope, owner);
",
    concat!(
        "
    -- is_gone: deleted, but a fork needs some of its events; its key is random. is_erased: a payload was.
    ALTER TABLE session ADD COLUMN is_gone INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE session ADD COLUMN is_erased INTEGER NOT NULL DEFAULT 0;
    UPDATE session SET is_erased = 1 WHERE tip_sequence <> (
        SELECT count(*) FROM payload WHERE payload.id BETWEEN (session.id << 32) AND (session.id + 1 << 32) - 1);

    -- Where the beginning of a log stands that is not stored under its session's own row. written_for: whose
    -- events they are, as their headers say.
    CREATE TABLE part (
        session INTEGER NOT NULL REFERENCES session (id),
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        owner INTEGER NOT NULL REFERENCES session (id),
        written_for BLOB NOT NULL CHECK (length(written_for) = 16),
        PRIMARY KEY (session, first)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX part_by_owner ON part (owner, last);

    -- since: the event before the append that brought the content; 0 where that is not known.
    ALTER TABLE blob_reference ADD COLUMN since INTEGER NOT NULL DEFAULT 0;

    ALTER TABLE summary ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE summary ADD COLUMN parent BLOB;
    ALTER TABLE summary ADD COLUMN origin BLOB;
    CREATE INDEX summary_by_parent ON summary (parent, updated DESC, session DESC) WHERE parent IS NOT NULL;

    -- Derived from the log. Keys are `session row << 32 | sequence` and `session row << 32 | number`.
    CREATE TABLE checkpoint (
        id INTEGER PRIMARY KEY,
        hash BLOB NOT NULL CHECK (length(hash) = 32),
        core INTEGER NOT NULL,
        format INTEGER NOT NULL,
        segments INTEGER NOT NULL,
        state BLOB NOT NULL
    ) STRICT;
    CREATE TABLE segment (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;

    -- What was said, by the event's key. Derived from the log.
",
        said_table!(),
        "
    INSERT INTO said (said, rank) VALUES ('secure-delete', 1);
",
        said_of_payloads!()
    ),
    "
    -- What sessions are given by any process. place only grows. input: an event as JSON; null once it was taken:
    -- then it became the event at sequence, or there is a refusal.
    CREATE TABLE inbox (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        session INTEGER NOT NULL REFERENCES session (id),
        id BLOB NOT NULL CHECK (length(id) = 16),
        principal TEXT NOT NULL,
        input BLOB,
        sequence INTEGER,
        refusal TEXT,
        UNIQUE (session, id)
    ) STRICT;
    CREATE INDEX inbox_unread ON inbox (session, place) WHERE input IS NOT NULL;
    CREATE INDEX inbox_taken ON inbox (session, place) WHERE input IS NULL;

    -- What was said and is not in said yet, by the event's key. Derived from the log.
    CREATE TABLE said_due (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
",
];

/// What a database file says about itself.
pub(crate) struct Identity {
    /// `PRAGMA application_id`.
    pub(crate) application: i32,
    /// `PRAGMA user_version`.
    pub(crate) version: i32,
    /// Whether there is anything in it.
    pub(crate) is_empty: bool,
}

/// Reads what a database says about itself, without changing it.
pub(crate) fn identity(connection: &Connection) -> rusqlite::Result<Identity> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(Identity { application: pragma("application_id")?, version: pragma("user_version")?, is_empty: objects == 0 })
}

/// Brings the database to [`SCHEMA_VERSION`]. Another process may have done so in the meantime.
///
/// All missing steps are one transaction, so that no opening can fail between two commits: a commit whose sync
/// failed must not be followed by one that counts on it.
pub(crate) fn migrate(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let version = identity(connection)?.version;
    let missing = usize::try_from(version).ok().and_then(|version| STEPS.get(version..)).unwrap_or_default();
    if missing.is_empty() {
        return connection.execute_batch("ROLLBACK");
    }
    let done = missing
        .iter()
        .try_for_each(|step| connection.execute_batch(step))
        .and_then(|()| connection.pragma_update(None, "application_id", APPLICATION_ID))
        .and_then(|()| connection.pragma_update(None, "user_version", SCHEMA_VERSION))
        .and_then(|()| commit(connection));
    if done.is_err() {
        roll_back(connection);
    }
    done
}

/// Commits changes; the one place where that is done.
pub(crate) fn commit(connection: &Connection) -> rusqlite::Result<()> {
    harness_engine::crash::point("commit.before");
    connection.prepare_cached("COMMIT")?.execute([])?;
    harness_engine::crash::point("commit.after");
    Ok(())
}

/// Ends a transaction without its changes, if one is open. A failure leaves nothing behind either:
/// SQLite drops an uncommitted transaction with its connection at the latest.
pub(crate) fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::warn!(%error, "could not roll back a transaction of the session store");
    }
}

/// The row number of an event.
pub(crate) const fn event_row(session_row: i64, sequence: u64) -> i64 {
    (session_row << SEQUENCE_BITS) | sequence as i64
}
