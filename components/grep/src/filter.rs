//! Which files `glob` lets through: as in gitignore files, a pattern without a slash looks at names alone,
//! and a leading `!` means all files but these.

use globset::{GlobBuilder, GlobMatcher};
use tool_kit::{Failure, walk};

pub(crate) struct Filter {
    matcher: GlobMatcher,
    names_only: bool,
    negated: bool,
    hidden: bool,
}

impl Filter {
    pub(crate) fn new(text: &str) -> Result<Self, Failure> {
        let (negated, pattern) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        let names_only = !pattern.contains('/');
        let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        let glob = glob.map_err(|error| Failure::invalid("bad-glob", format!("glob: {error}")))?;
        let hidden = !negated && walk::names_hidden(pattern);
        Ok(Self { matcher: glob.compile_matcher(), names_only, negated, hidden })
    }

    /// Whether the file at `path`, relative to where the search starts, is to be searched.
    pub(crate) fn wants(&self, path: &str) -> bool {
        let subject = if self.names_only { path.rsplit('/').next().unwrap_or(path) } else { path };
        self.matcher.is_match(subject) != self.negated
    }

    /// Whether the pattern names hidden files.
    pub(crate) fn names_hidden(&self) -> bool {
        self.hidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_without_a_slash_look_at_names() {
        for (glob, path, wanted) in [
            ("*.rs", "a/b.rs", true),
            ("*.rs", "a/b.ts", false),
            ("src/*.rs", "src/b.rs", true),
            ("src/*.rs", "src/a/b.rs", false),
            ("./src/**/*.rs", "src/a/b.rs", true),
            ("/b.rs", "b.rs", true),
            ("*.{rs,ts}", "b.ts", true),
            ("!*.rs", "b.rs", false),
            ("!*.rs", "b.ts", true),
        ] {
            assert_eq!(Filter::new(glob).unwrap().wants(path), wanted, "{glob} {path}");
        }
        assert_eq!(Filter::new("[").err().unwrap().code, "bad-glob");
    }

    #[test]
    fn hidden_files_have_to_be_named() {
        for (glob, hidden) in [(".env*", true), ("**/.env", true), ("*.rs", false), ("!.env", false), ("{.a,b}", true)]
        {
            assert_eq!(Filter::new(glob).unwrap().names_hidden(), hidden, "{glob}");
        }
    }
}
