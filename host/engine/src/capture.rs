//! Cutting what a call returned before it becomes part of the conversation.
//!
//! Promise: the conversation gets at most `RESULT_TEXT_BYTES_MAX` bytes of one call, cut between
//! lines where possible, with a line that says what is missing; the whole is kept by digest.

use crate::ports::{Blob, CallReport};
use harness_core::limits::RESULT_TEXT_BYTES_MAX;
use harness_core::outcome::{Outcome, Part};

/// Cuts the report's texts in place and adds the whole of what was cut to its contents.
pub(crate) fn cut(report: &mut CallReport) {
    let mut left_bytes = RESULT_TEXT_BYTES_MAX;
    match &mut report.outcome {
        Outcome::Returned { parts } => {
            for part in parts {
                if let Part::Text { text } | Part::Resource { text, .. } | Part::Json { json: text } = part {
                    cut_text(text, &mut left_bytes, &mut report.contents);
                }
            }
        }
        Outcome::Failed { message: text, .. } | Outcome::Faulted { what: text } => {
            cut_text(text, &mut left_bytes, &mut report.contents);
        }
        Outcome::Denied { .. }
        | Outcome::NotGranted { .. }
        | Outcome::NeedsInput { .. }
        | Outcome::NeedsCall { .. }
        | Outcome::Conflict { .. }
        | Outcome::OverLimit { .. }
        | Outcome::Interrupted
        | Outcome::InDoubt => {}
    }
}

fn cut_text(text: &mut String, left_bytes: &mut usize, contents: &mut Vec<Blob>) {
    if *left_bytes == 0 {
        // The first cut said how to go on; a call with thousands of parts must not say it thousands of times.
        text.clear();
        return;
    }
    if text.len() <= *left_bytes {
        *left_bytes -= text.len();
        return;
    }
    let whole = Blob::new(text.as_bytes().to_vec());
    let total_bytes = text.len();
    let mut end = *left_bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // Half a line misleads, but less than losing most of what fits.
    end = text[..end].rfind('\n').map(|newline| newline + 1).filter(|&whole| whole > end / 2).unwrap_or(end);
    text.truncate(end);
    text.push_str(&format!(
        "\n[cut: {end} of {total_bytes} bytes are shown; ask for a smaller part. The whole is kept as {}]",
        whole.digest
    ));
    contents.push(whole);
    *left_bytes = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_lines_and_kept_whole() {
        let whole = "zeile äöü\n".repeat(20_000);
        let mut report = CallReport::of(Outcome::text(whole.clone()));
        cut(&mut report);
        let text = report.outcome.model_text(&[]);
        assert!(text.len() < RESULT_TEXT_BYTES_MAX + 300);
        let (shown, mark) = text.rsplit_once("\n[cut: ").unwrap();
        assert!(whole.starts_with(shown) && shown.ends_with('\n') || shown.ends_with("äöü"));
        assert!(mark.contains(&report.contents[0].digest.to_string()));
        assert_eq!(report.contents[0].bytes.as_ref(), whole.as_bytes());
    }

    #[test]
    fn a_long_line_after_a_short_one_is_not_lost() {
        let mut report = CallReport::of(Outcome::text(format!("found:\n{}", "x".repeat(100_000))));
        cut(&mut report);
        assert!(report.outcome.model_text(&[]).len() > RESULT_TEXT_BYTES_MAX);
    }

    #[test]
    fn a_short_text_stays_as_it_is() {
        let mut report = CallReport::of(Outcome::text("short"));
        cut(&mut report);
        assert_eq!(report.outcome, Outcome::text("short"));
        assert!(report.contents.is_empty());
    }
}
