//! The words of a question that are worth searching for.
//!
//! Promise: what is quoted or looks like a name in code comes first and as it is; of other words, those
//! that every question has are left out and the rest is cut to its stem.

/// Words searched for at most.
const KEYWORDS_MAX: usize = 6;
/// A stem is at least so many characters.
const STEM_CHARS_MIN: usize = 4;

/// Words that say nothing of what is looked for.
const STOP_WORDS: &str = "\
    a about above actually after again all also always am an and any anything are as at be because been before being \
    below between both but by can code codebase come comes could describe detail details did do does doing done down \
    during each exactly explain few file files find folder for from get gets give go goes had happen happens has \
    have having he help her here him his how i if in into is it its just kind know let like list located look made \
    make makes many may me mean means might more most much must my no nor not now of off on once one only or other \
    our out over overview own please project purpose put quick really repo repository same say see she should show \
    so some something source such summarise summarize summary take tell than that the their them then there these \
    they thing things this those through to too tree under understand until up use used uses using very want was way \
    we were what when where which while who whole whose why will with work works workspace would write written you \
    your";

/// A word to search for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Keyword {
    /// What is searched for, without regard to case.
    pub(super) text: String,
    /// How much a hit says.
    pub(super) weight: f64,
}

fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.split(' ').any(|known| known == word)
}

/// The words worth searching for, best first.
pub(super) fn keywords(prompt: &str) -> Vec<Keyword> {
    let mut found: Vec<Keyword> = Vec::new();
    let mut add = |text: &str, weight: f64| {
        let text = text.trim();
        let known = found.iter().any(|known| known.text.eq_ignore_ascii_case(text));
        if !text.is_empty() && !known {
            found.push(Keyword { text: text.to_owned(), weight });
        }
    };
    let mut rest = String::with_capacity(prompt.len());
    for (number, piece) in quoted_pieces(prompt) {
        if number {
            add(piece, 3.0);
        } else {
            rest.push_str(piece);
        }
        rest.push(' ');
    }
    let words = || {
        rest.split(|c: char| c.is_whitespace() || ",;!?()[]{}<>|*=\"'`".contains(c))
            .map(|word| word.trim_matches([':', '.', '-', '/']))
    };
    for word in words().filter(|word| is_name(word)) {
        add(word, 3.0);
    }
    for word in words().filter(|word| !is_name(word)) {
        let lower = word.to_lowercase();
        let is_short =
            lower.chars().count() < 3 && lower.is_ascii() && !lower.bytes().any(|byte| byte.is_ascii_digit());
        if !is_short && !is_stop_word(&lower) {
            add(stem(&lower), 1.0);
        }
    }
    found.truncate(KEYWORDS_MAX);
    found
}

/// The prompt in pieces, each with whether it was in quotes.
fn quoted_pieces(prompt: &str) -> Vec<(bool, &str)> {
    let mut pieces = Vec::new();
    let mut rest = prompt;
    while let Some(start) = rest.find(['`', '"', '“']) {
        let Some(open) = rest[start..].chars().next() else { break };
        let close = if open == '“' { '”' } else { open };
        let inside = &rest[start + open.len_utf8()..];
        let Some(end) = inside.find(close).filter(|end| (1..=200).contains(end) && !inside[..*end].contains('\n'))
        else {
            break;
        };
        pieces.push((false, &rest[..start]));
        pieces.push((true, &inside[..end]));
        rest = &inside[end + close.len_utf8()..];
    }
    pieces.push((false, rest));
    pieces
}

/// Whether a word looks like a name in code or a path: `a_b`, `a::b`, `aB`, `a.rs`, `a/b`, `ABC`.
fn is_name(word: &str) -> bool {
    let inner = |c: char| word.trim_matches(c).contains(c);
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    letters > 0
        && (inner('_')
            || word.contains("::")
            || inner('.')
            || inner('/')
            || word.chars().zip(word.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase())
            || (letters >= 3 && word.chars().all(|c| c.is_uppercase() || c.is_numeric())))
}

/// A word without the endings that English adds to it.
fn stem(word: &str) -> &str {
    if !word.is_ascii() {
        return word;
    }
    for ending in
        ["izations", "ization", "ations", "ation", "ingly", "ings", "ing", "edly", "ies", "ed", "es", "ly", "s"]
    {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.len() >= STEM_CHARS_MIN
            && !(ending == "s" && stem.ends_with('s'))
        {
            // `stopped`, `running`: the doubled letter belongs to the ending.
            let bytes = stem.as_bytes();
            let doubled = bytes[bytes.len() - 1] == bytes[bytes.len() - 2];
            return if doubled && matches!(ending, "ed" | "ing") { &stem[..stem.len() - 1] } else { stem };
        }
    }
    word.strip_suffix('e').filter(|stem| stem.len() >= STEM_CHARS_MIN).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_give_their_words() {
        for (prompt, expected) in [
            ("What is this project?", vec![]),
            ("How does it work, please?", vec![]),
            ("Where are retries scheduled?", vec!["retr", "schedul"]),
            (
                "What does `EventLog::append` promise about \"power cut\"?",
                vec!["EventLog::append", "power cut", "promis"],
            ),
            ("how is model_delta sent in ports.rs", vec!["model_delta", "ports.rs", "sent"]),
            ("Which limits apply to fuel?", vec!["limit", "apply", "fuel"]),
            ("an unclosed ` quote about caching", vec!["unclos", "quot", "cach"]),
            ("Где лежит конфигурация?", vec!["где", "лежит", "конфигурация"]),
        ] {
            let found: Vec<String> = keywords(prompt).into_iter().map(|keyword| keyword.text).collect();
            assert_eq!(found, expected, "{prompt}");
        }
    }

    #[test]
    fn stems() {
        for (word, expected) in [
            ("stopped", "stop"),
            ("running", "run"),
            ("sessions", "session"),
            ("class", "class"),
            ("caches", "cach"),
            ("retry", "retry"),
            ("policies", "polic"),
            ("log", "log"),
            ("serialization", "serial"),
            ("the", "the"),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }
}
