//! Paths as guests write them: checked before anything looks at them.
//!
//! Promise: what comes out is relative, non-empty, short enough and free of NUL; its names are not those
//! that the host uses for its own temporary files.

use super::bindings::ErrorCode;
use super::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX};

/// How the names of the host's own temporary files in a workspace begin. No guest sees or reaches them.
pub(super) const HIDDEN_PREFIX: &str = ".harness-host-";

/// Whether a name belongs to the host. Compared without case, for filesystems that know none.
pub(super) fn is_hidden(name: &str) -> bool {
    name.get(..HIDDEN_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(HIDDEN_PREFIX))
}

/// A guest's path, checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct GuestPath<'a> {
    /// The path without slashes at its end.
    pub(super) text: &'a str,
    /// Whether it ended in a slash: then it must name a directory.
    pub(super) directory: bool,
}

impl<'a> GuestPath<'a> {
    /// Refuses empty, absolute and over-long paths and those with a NUL.
    pub(super) fn new(text: &'a str) -> Result<Self, ErrorCode> {
        if text.is_empty() {
            return Err(ErrorCode::NoEntry);
        }
        if text.len() > PATH_BYTES_MAX {
            return Err(ErrorCode::NameTooLong);
        }
        if text.contains('\0') {
            return Err(ErrorCode::Invalid);
        }
        if text.starts_with('/') {
            return Err(ErrorCode::NotPermitted);
        }
        let trimmed = text.trim_end_matches('/');
        Ok(Self { text: trimmed, directory: trimmed.len() < text.len() })
    }

    /// Its parts, without those that say nothing. A `.` at the end stays: it says that what is before it is
    /// a directory that exists.
    pub(super) fn parts(self) -> impl Iterator<Item = &'a str> {
        let is_dot = self.text == "." || self.text.ends_with("/.");
        let named = self.text.split('/').filter(|part| !part.is_empty() && *part != ".");
        named.chain(is_dot.then_some("."))
    }

    /// Whether its parts are all names: no `.` or `..`, nothing hidden, nothing too long.
    pub(super) fn is_plain(self) -> bool {
        self.parts().all(is_plain)
    }
}

/// Whether a part is a name that something may have.
pub(super) fn is_plain(part: &str) -> bool {
    part != "." && part != ".." && !is_hidden(part) && part.len() <= NAME_BYTES_MAX
}

/// `parent/name`, where the root is the empty path.
pub(super) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        return name.to_owned();
    }
    let mut path = String::with_capacity(parent.len() + 1 + name.len());
    path.push_str(parent);
    path.push('/');
    path.push_str(name);
    path
}

/// Splits off the last name; nothing for the root.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    if path.is_empty() {
        return None;
    }
    Some(path.rsplit_once('/').unwrap_or(("", path)))
}

/// Whether a path is `directory` or inside it.
pub(super) fn is_within(path: &str, directory: &str) -> bool {
    directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused() {
        let long = "a/".repeat(PATH_BYTES_MAX / 2) + "b";
        for (path, code) in [
            ("", ErrorCode::NoEntry),
            ("/", ErrorCode::NotPermitted),
            ("/etc/passwd", ErrorCode::NotPermitted),
            ("a\0b", ErrorCode::Invalid),
            (long.as_str(), ErrorCode::NameTooLong),
        ] {
            assert_eq!(GuestPath::new(path).unwrap_err(), code, "{path:?}");
        }
    }

    #[test]
    fn parts_and_slashes() {
        for (path, parts, directory, plain) in [
            ("a", &["a"][..], false, true),
            (".", &["."], false, false),
            ("a/.", &["a", "."], false, false),
            ("a//b/./c/", &["a", "b", "c"], true, true),
            ("a/../b", &["a", "..", "b"], false, false),
            (".harness-host-call_x-1", &[".harness-host-call_x-1"], false, false),
            (".HARNESS-host-x", &[".HARNESS-host-x"], false, false),
        ] {
            let checked = GuestPath::new(path).unwrap();
            assert_eq!(checked.parts().collect::<Vec<_>>(), parts, "{path:?}");
            assert_eq!((checked.directory, checked.is_plain()), (directory, plain), "{path:?}");
        }
    }

    #[test]
    fn within() {
        assert!(is_within("a/b", "a") && is_within("a", "a") && is_within("a", ""));
        assert!(!is_within("ab", "a") && !is_within("a", "a/b"));
    }
}
