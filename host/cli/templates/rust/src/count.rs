//! The work: counting. Knows nothing of components.

/// What is in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Lines.
    pub lines: usize,
    /// Words, as white space separates them.
    pub words: usize,
    /// Bytes of UTF-8.
    pub bytes: usize,
}

/// Counts the lines, words and bytes of a text.
pub fn count(text: &str) -> Counts {
    Counts { lines: text.lines().count(), words: text.split_whitespace().count(), bytes: text.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_words_and_bytes_are_counted() {
        assert_eq!(count("one two\nthree\n"), Counts { lines: 2, words: 3, bytes: 14 });
        assert_eq!(count(""), Counts { lines: 0, words: 0, bytes: 0 });
    }
}
