//! Showing changes to a person: exactly what would be, or was, put in place.
//!
//! Promise: every entry of the manifest is named, a file that was moved with where it came from; what cannot be shown as text (binary, too large,
//! missing content) is said to be that, never left out. Guest-controlled names and lines cannot
//! forge the display: control and bidirectional characters are made visible.

use crate::ports::{Blobs, StoreError};
use harness_core::change::{Change, FileState, Manifest};
use similar::TextDiff;

/// Files larger than this are named with their sizes instead of being compared, in bytes.
const DIFF_FILE_BYTES_MAX: u64 = 1 << 20;
/// A whole diff is cut beyond this, in bytes, saying so.
const DIFF_BYTES_MAX: usize = 512 << 10;
/// Unchanged lines around a change.
const CONTEXT_LINES: usize = 3;

/// A unified diff of a manifest.
pub async fn unified(manifest: &Manifest, blobs: &dyn Blobs) -> Result<String, StoreError> {
    let mut text = String::new();
    let moves = manifest.moves();
    for (index, change) in manifest.entries().iter().enumerate() {
        if let Some((gone, new)) = moves.iter().find(|(gone, new)| gone.path == change.path || new.path == change.path)
        {
            if new.path == change.path {
                let note = note(&Change { path: String::new(), before: gone.before.clone(), after: new.after.clone() });
                text.push_str(&format!("moved {} to {}{note}\n", visible(&gone.path), visible(&new.path)));
            }
            continue;
        }
        if text.len() > DIFF_BYTES_MAX {
            let rest = manifest.entries().len() - index;
            text.push_str(&format!("… {rest} more changed paths are not shown: the diff is too large\n"));
            for change in &manifest.entries()[index..] {
                text.push_str(&format!("{} {}\n", change.kind().word(), visible(&change.path)));
            }
            break;
        }
        text.push_str(&one(change, blobs).await?);
    }
    Ok(text)
}

async fn one(change: &Change, blobs: &dyn Blobs) -> Result<String, StoreError> {
    let path = visible(&change.path);
    let mut text = format!("{} {path}{}\n", change.kind().word(), note(change));
    let before = side(change.before.as_ref(), blobs).await?;
    let after = side(change.after.as_ref(), blobs).await?;
    let (before, after) = match (before, after) {
        (Side::Text(before), Side::Text(after)) => (before, after),
        (Side::NotShown(why), _) | (_, Side::NotShown(why)) => {
            text.push_str(&format!("  ({why})\n"));
            return Ok(text);
        }
    };
    if before == after {
        return Ok(text);
    }
    let diff = TextDiff::from_lines(before.as_str(), after.as_str());
    let (old, new) = (label("a", change.before.as_ref(), &path), label("b", change.after.as_ref(), &path));
    let body = diff.unified_diff().context_radius(CONTEXT_LINES).header(&old, &new).to_string();
    for line in body.split_inclusive('\n') {
        text.push_str(&visible(line.trim_end_matches('\n')));
        text.push('\n');
    }
    Ok(text)
}

fn label(side: &str, state: Option<&FileState>, path: &str) -> String {
    if state.is_some() { format!("{side}/{path}") } else { "/dev/null".to_owned() }
}

fn note(change: &Change) -> String {
    let executable = |state: &Option<FileState>| matches!(state, Some(FileState::File { executable: true, .. }));
    let is_directory = |state: &Option<FileState>| matches!(state, Some(FileState::Directory));
    let mut notes = Vec::new();
    match (is_directory(&change.before), is_directory(&change.after)) {
        (_, true) if change.before.is_some() => notes.push("a file becomes a directory".to_owned()),
        (true, _) if change.after.is_some() => notes.push("a directory becomes a file".to_owned()),
        (true, _) | (_, true) => notes.push("directory".to_owned()),
        (false, false) => {}
    }
    if executable(&change.before) != executable(&change.after) && change.after.is_some() {
        notes.push(if executable(&change.after) { "executable" } else { "no longer executable" }.to_owned());
    }
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) }
}

enum Side {
    Text(String),
    NotShown(String),
}

async fn side(state: Option<&FileState>, blobs: &dyn Blobs) -> Result<Side, StoreError> {
    let Some((digest, bytes)) = state.and_then(FileState::content) else { return Ok(Side::Text(String::new())) };
    if bytes > DIFF_FILE_BYTES_MAX {
        return Ok(Side::NotShown(format!("{bytes} bytes, too large to compare; {digest}")));
    }
    let Some(content) = blobs.get(digest).await? else {
        return Ok(Side::NotShown(format!("{bytes} bytes, content not kept; {digest}")));
    };
    match std::str::from_utf8(&content) {
        Ok(text) if !text.contains('\0') => Ok(Side::Text(text.to_owned())),
        _ => Ok(Side::NotShown(format!("binary, {bytes} bytes; {digest}"))),
    }
}

/// Makes control and bidirectional characters visible, except tabs.
pub fn visible(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
    };
    if !text.contains(hidden) {
        return text.to_owned();
    }
    text.chars().map(|c| if hidden(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Blob;
    use async_trait::async_trait;
    use harness_core::Digest;
    use std::collections::HashMap;
    use std::sync::Arc;

    struct Kept(HashMap<Digest, Arc<[u8]>>);

    #[async_trait]
    impl Blobs for Kept {
        async fn get(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
            Ok(self.0.get(&digest).cloned())
        }
    }

    fn file(blob: &Blob) -> Option<FileState> {
        Some(FileState::File { digest: blob.digest, bytes: blob.bytes.len() as u64, executable: false })
    }

    async fn show(before: Option<&[u8]>, after: Option<&[u8]>) -> String {
        let [before, after] = [before, after].map(|side| side.map(|bytes| Blob::new(bytes.to_vec())));
        let kept = [&before, &after].into_iter().flatten().map(|blob| (blob.digest, blob.bytes.clone())).collect();
        let change = Change {
            path: "src/a.txt".into(),
            before: before.as_ref().and_then(file),
            after: after.as_ref().and_then(file),
        };
        unified(&Manifest::new(vec![change]), &Kept(kept)).await.unwrap()
    }

    #[tokio::test]
    async fn edits_creations_and_deletions_are_shown() {
        let edited = show(Some(b"one\ntwo\n"), Some(b"one\n2\n")).await;
        assert!(edited.contains("modified src/a.txt") && edited.contains("-two\n+2\n"), "{edited}");
        let created = show(None, Some(b"new\n")).await;
        assert!(created.contains("--- /dev/null") && created.contains("+new"), "{created}");
        let deleted = show(Some(b"old\n"), None).await;
        assert!(deleted.contains("+++ /dev/null") && deleted.contains("-old"), "{deleted}");
    }

    #[tokio::test]
    async fn a_moved_file_is_named_with_where_it_came_from() {
        let blob = Blob::new(b"same\n".to_vec());
        let runs = |state: Option<FileState>| match state {
            Some(FileState::File { digest, bytes, .. }) => Some(FileState::File { digest, bytes, executable: true }),
            other => other,
        };
        let change = |path: &str, before, after| Change { path: path.into(), before, after };
        let moved = Manifest::new(vec![
            change("old\u{1b}.txt", file(&blob), None),
            change("b/new.txt", None, runs(file(&blob))),
            change("other", None, Some(FileState::Directory)),
        ]);
        let shown = unified(&moved, &Kept(HashMap::new())).await.unwrap();
        assert_eq!(shown, "moved old\\u{1b}.txt to b/new.txt (executable)\ncreated other (directory)\n");
    }

    #[tokio::test]
    async fn what_is_not_text_is_named() {
        let binary = show(Some(b"\0\x01"), Some(b"text")).await;
        assert!(binary.contains("binary, 2 bytes"), "{binary}");
    }

    #[tokio::test]
    async fn a_file_cannot_forge_the_display() {
        let forged = show(None, Some("x\u{1b}[2J\u{202e}evil\n".as_bytes())).await;
        assert!(forged.contains("\\u{1b}[2J\\u{202e}evil"), "{forged}");
    }
}
