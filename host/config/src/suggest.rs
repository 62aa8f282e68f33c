//! Guesses what a misspelt word was meant to be.
//!
//! Promise: no guess is better than a far-fetched one.

/// Words further apart than a third of their length are different words.
const DISTANCE_SHARE: usize = 3;

/// The nearest of the known words, if it is near enough.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('_', "-");
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / DISTANCE_SHARE).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["approve", "max-steps", "model"];
        assert_eq!(nearest("aprove", known), Some("approve"));
        assert_eq!(nearest("max_steps", known), Some("max-steps"));
        assert_eq!(nearest("Model", known), Some("model"));
        assert_eq!(nearest("telemetry", known), None);
    }
}
