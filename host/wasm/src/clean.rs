//! Cleaning what a guest wrote before it reaches a model, a person or a log.
//!
//! Promise: no control character but newline and tab, no terminal sequence and no character that
//! reorders or hides text comes through; nothing but a newline breaks a line; clean text is not copied.
//! What scripts and emoji are spelled with stays: joiners (U+200C, U+200D) and variation selectors.
//!
//! Not here: cutting results for the model (the engine), looking for secrets.

/// Whether a character changes how the text around it is shown.
const fn is_unwanted(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // C0 and C1 controls.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Directional marks, embeddings, overrides and isolates (Unicode standard annex 9).
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Without a width, or shown only where a line breaks: soft hyphen, Mongolian vowel separator, zero
        // width space, word joiner and invisible operators, byte order mark.
        '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => true,
        // Line and paragraph separators.
        '\u{2028}' | '\u{2029}' => true,
        // Tags: invisible copies of ASCII.
        '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

/// Removes what should not come through, and whole terminal colour and cursor sequences. A line or
/// paragraph separator becomes a space: it parts words, and a newline in its place would be one that
/// whoever wrote the lines did not write.
pub(crate) fn clean(text: String) -> String {
    if !text.contains(is_unwanted) {
        return text;
    }
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' && characters.peek() == Some(&'[') {
            characters.next();
            skip_sequence(&mut characters);
        } else if matches!(c, '\u{2028}' | '\u{2029}') {
            clean.push(' ');
        } else if !is_unwanted(c) {
            clean.push(c);
        }
    }
    clean
}

/// Skips parameters and the final byte of a control sequence (ECMA-48, 5.4).
fn skip_sequence(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while characters.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    characters.next_if(|c| matches!(c, '@'..='~'));
}

/// Cleans bytes that may not be UTF-8 and keeps at most so many bytes, saying what was cut.
pub(crate) fn clean_and_cut(bytes: &[u8], bytes_max: usize) -> String {
    let text = clean(String::from_utf8_lossy(bytes).into_owned());
    let text = text.trim();
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max);
    format!("{} [{} more bytes]", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_text_comes_through() {
        let table = [
            ("plain\ttext\nwith ünïcödé 漢字 👩‍👩‍👧", "plain\ttext\nwith ünïcödé 漢字 👩‍👩‍👧"),
            ("\u{1b}[31;1mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "]0;titlex"),
            ("a\u{1b}[", "a"),
            ("a\u{1b}[12", "a"),
            ("a\r\nb\0c\u{7f}\u{9b}d", "a\nbcd"),
            ("user\u{202e}txt.exe\u{2066}\u{200f}\u{61c}", "usertxt.exe"),
            ("hi\u{e0041}\u{e007f}", "hi"),
            ("\u{feff}in\u{200b}vi\u{ad}si\u{180e}b\u{2060}\u{2061}\u{2062}\u{2063}\u{2064}le", "invisible"),
            ("one\u{2028}two\u{2029}three", "one two three"),
            (
                "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645} ❤\u{fe0f}",
                "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645} ❤\u{fe0f}",
            ),
        ];
        for (dirty, expected) in table {
            assert_eq!(clean(dirty.to_owned()), expected, "{dirty:?}");
        }
    }

    #[test]
    fn a_cut_falls_between_characters() {
        assert_eq!(clean_and_cut("äöü".as_bytes(), 3), "ä [4 more bytes]");
        assert_eq!(clean_and_cut(b"ab\xffc\n", 10), "ab\u{fffd}c");
    }
}
