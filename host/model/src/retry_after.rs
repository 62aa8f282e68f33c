//! How long a provider asks to wait.
//!
//! Promise: only what a server said clearly becomes a wait, in milliseconds, at most a day; a date is
//! measured against the server's own clock where it tells it.
//!
//! Sources: RFC 9110 section 10.2.3 (`Retry-After`) and 5.6.7 (dates); `retry-after-ms` and
//! `x-ratelimit-*` as OpenAI documents them; `anthropic-ratelimit-*-reset` as Anthropic does.

use reqwest::header::HeaderMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// No wait is longer, in milliseconds; the core has a tighter limit of its own.
const WAIT_MS_MAX: u64 = 24 * 3600 * 1000;
/// From here on, a number in a reset header is a point in time, not a span, in seconds.
const EPOCH_SECONDS_MIN: f64 = 1e9;
/// From here on, it is a point in time in milliseconds.
const EPOCH_MS_MIN: f64 = 1e12;

/// The wait that the headers of a failed response ask for.
pub(crate) fn from_headers(status: u16, headers: &HeaderMap) -> Option<u64> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let now_ms = text("date").and_then(http_date_ms).unwrap_or_else(system_now_ms);
    if let Some(wait) = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok()).and_then(whole_ms) {
        return Some(wait);
    }
    if let Some(after) = text("retry-after") {
        let seconds = after.parse::<f64>().ok().and_then(|seconds| whole_ms(seconds * 1000.0));
        if let Some(wait) =
            seconds.or_else(|| http_date_ms(after).and_then(|at| whole_ms(at.saturating_sub(now_ms) as f64)))
        {
            return Some(wait);
        }
    }
    if status != 429 {
        return None;
    }
    // Only limits that are used up say when to come back.
    let mut wait = None;
    for (prefix, suffix) in [("x-ratelimit-", ""), ("anthropic-ratelimit-", "-")] {
        for kind in ["requests", "tokens", "input-tokens", "output-tokens"] {
            let (left, reset) = if suffix.is_empty() {
                (format!("{prefix}remaining-{kind}"), format!("{prefix}reset-{kind}"))
            } else {
                (format!("{prefix}{kind}-remaining"), format!("{prefix}{kind}-reset"))
            };
            if text(&left) == Some("0") {
                wait = wait.max(text(&reset).and_then(|text| moment_or_span(text, now_ms)));
            }
        }
    }
    wait.or_else(|| text("x-ratelimit-reset").and_then(|text| moment_or_span(text, now_ms)))
}

/// The wait in words such as `Please try again in 6.5s`.
pub(crate) fn from_message(message: &str) -> Option<u64> {
    let lower = message.to_ascii_lowercase();
    let rest = lower.split("try again in ").nth(1)?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || "hms".contains(c))).unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    let number = number.trim_end_matches('.');
    span_ms(number).or_else(|| {
        let seconds = number.parse::<f64>().ok()?;
        after.trim_start().starts_with("second").then(|| whole_ms(seconds * 1000.0))?
    })
}

/// A time in any of the forms that reset headers have.
fn moment_or_span(text: &str, now_ms: i64) -> Option<u64> {
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            at if at >= EPOCH_MS_MIN => whole_ms(at - now_ms as f64),
            at if at >= EPOCH_SECONDS_MIN => whole_ms(at * 1000.0 - now_ms as f64),
            seconds => whole_ms(seconds * 1000.0),
        };
    }
    span_ms(text).or_else(|| rfc3339_ms(text).and_then(|at| whole_ms(at.saturating_sub(now_ms) as f64)))
}

/// `6m0s`, `1h2m3.5s`, `20ms`: spans as Go writes them.
fn span_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_end = rest[end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| end + at);
        total += number
            * match &rest[end..unit_end] {
                "h" => 3_600_000.0,
                "m" => 60_000.0,
                "s" => 1_000.0,
                "ms" => 1.0,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    if text.is_empty() { None } else { whole_ms(total) }
}

/// Rounded up, within the limits of a wait.
fn whole_ms(ms: f64) -> Option<u64> {
    (ms.is_finite() && ms >= 0.0).then(|| (ms.ceil() as u64).min(WAIT_MS_MAX))
}

fn system_now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date_ms(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|&known| known == month)? as i64 + 1;
    let year = words.next()?.parse().ok()?;
    let seconds = clock_seconds(words.next()?)?;
    let days = days_from_civil(year, month, day)?;
    (words.next() == Some("GMT")).then(|| days.checked_mul(86_400)?.checked_add(seconds)?.checked_mul(1000))?
}

/// `2024-06-07T19:30:00Z`, with a fraction or an offset.
fn rfc3339_ms(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let mut numbers = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let days = days_from_civil(numbers.next()??, numbers.next()??, numbers.next()??)?;
    let seconds = clock_seconds(time.get(..8)?)?;
    let rest = time.get(8..)?;
    let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            sign * (field(hours, 23)? * 3600 + field(minutes, 59)? * 60)
        }
    };
    days.checked_mul(86_400)?.checked_add(seconds)?.checked_sub(offset)?.checked_mul(1000)
}

/// `08:49:37`; a second may be the 60th, a leap second (RFC 9110 section 5.6.7, RFC 3339 section 5.6).
fn clock_seconds(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    Some(field(parts.next()?, 23)? * 3600 + field(parts.next()?, 59)? * 60 + field(parts.next()?, 60)?)
}

/// A part of a time of day, from 0 to `max`.
fn field(text: &str, max: i64) -> Option<i64> {
    text.parse().ok().filter(|number| (0..=max).contains(number))
}

/// Days since 1970-01-01 in the Gregorian calendar, after Howard Hinnant's `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn wait(status: u16, headers: &[(&str, &str)]) -> Option<u64> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        from_headers(status, &map)
    }

    #[test]
    fn every_form_of_a_wait() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (status, headers, expected) in [
            (429, vec![("retry-after", "20")], Some(20_000)),
            (529, vec![("retry-after", "0.5")], Some(500)),
            (503, vec![date, ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")], Some(30_000)),
            (503, vec![date, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], None),
            (429, vec![("retry-after", "20"), ("retry-after-ms", "150")], Some(150)),
            (429, vec![("retry-after", "soon")], None),
            (429, vec![("retry-after", "-5")], None),
            (429, vec![("retry-after", "99999999999")], Some(WAIT_MS_MAX)),
            (429, vec![("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")], Some(360_000)),
            (429, vec![("x-ratelimit-remaining-tokens", "9"), ("x-ratelimit-reset-tokens", "6m0s")], None),
            (500, vec![("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")], None),
            (
                429,
                vec![("date", "Fri, 01 Nov 2024 00:00:00 GMT"), ("x-ratelimit-reset", "1730419230000")],
                Some(30_000),
            ),
            (429, vec![("date", "Fri, 01 Nov 2024 00:00:00 GMT"), ("x-ratelimit-reset", "1730419230")], Some(30_000)),
            (429, vec![("x-ratelimit-reset", "3")], Some(3_000)),
            (
                429,
                vec![
                    ("date", "Fri, 01 Nov 2024 00:00:00 GMT"),
                    ("anthropic-ratelimit-input-tokens-remaining", "0"),
                    ("anthropic-ratelimit-input-tokens-reset", "2024-11-01T00:00:42Z"),
                ],
                Some(42_000),
            ),
            (429, vec![], None),
        ] {
            assert_eq!(wait(status, &headers), expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn waits_in_words_and_spans() {
        for (message, expected) in [
            ("Rate limit reached. Please try again in 6.5s. Visit", Some(6_500)),
            ("Please try again in 200ms.", Some(200)),
            ("Please try again in 1m2s", Some(62_000)),
            ("Try again in 35 seconds.", Some(35_000)),
            ("Please try again in a while", None),
            ("Please try again later", None),
            ("try again in 5", None),
        ] {
            assert_eq!(from_message(message), expected, "{message}");
        }
        assert_eq!(span_ms("1h1m1s1ms"), Some(3_661_001));
        assert_eq!(span_ms("7"), None);
        assert_eq!(span_ms(""), None);
    }

    #[test]
    fn dates_are_read_as_written() {
        assert_eq!(http_date_ms("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date_ms("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(http_date_ms("Sun, 06 Nov 1994 08:49:37 CET"), None);
        assert_eq!(rfc3339_ms("2024-02-29T12:00:00.123+02:00"), Some(1_709_200_800_000));
        assert_eq!(rfc3339_ms("2024-02-29"), None);
        assert_eq!(rfc3339_ms("2016-12-31T23:59:60Z"), Some(1_483_228_800_000));
    }

    #[test]
    fn fields_out_of_range_are_no_date() {
        for text in [
            "2024-02-29T12:00:00+9223372036854775807:00",
            "2024-02-29T12:00:00-9223372036854775807:00",
            "2024-02-29T12:00:00+00:9223372036854775807",
            "2024-02-29T12:00:00+24:00",
            "2024-02-29T12:00:00+-1:00",
            "2024-02-29T24:00:00Z",
            "2024-02-29T12:60:00Z",
            "2024-02-29T12:00:61Z",
            "9223372036854775807-02-29T12:00:00Z",
        ] {
            assert_eq!(rfc3339_ms(text), None, "{text}");
        }
        assert_eq!(http_date_ms("Sun, 06 Nov 1994 60:49:37 GMT"), None);
        assert_eq!(http_date_ms("Sun, 06 Nov 9223372036854775807 08:49:37 GMT"), None);
    }

    /// Texts near enough to times to get past the first checks, and others.
    fn hostile() -> impl Strategy<Value = String> {
        let number = || prop_oneof![0i64..100, Just(i64::MAX), Just(i64::MIN), Just(i64::MAX / 3600), any::<i64>()];
        prop_oneof![
            "[ -~]{0,40}",
            (number(), number(), number()).prop_map(|(a, b, c)| format!("2024-11-01T00:00:{a:02}+{b}:{c}")),
            (number(), number(), number()).prop_map(|(a, b, c)| format!("{a}-{b}-{c}T00:00:00-{c}:{a}")),
            (number(), number(), number()).prop_map(|(a, b, c)| format!("Sun, {a} Nov {b} {c}:{a}:{b} GMT")),
            (number(), number()).prop_map(|(a, b)| format!("{a}h{b}m{a}.{b}s{b}ms")),
            any::<f64>().prop_map(|number| number.to_string()),
        ]
    }

    proptest! {
        #[test]
        fn no_header_and_no_message_panics(date in hostile(), after in hostile(), reset in hostile(), words in ".{0,40}") {
            let waits = [
                wait(429, &[("date", &date), ("retry-after", &after)]),
                wait(429, &[("date", &date), ("retry-after-ms", &after), ("x-ratelimit-reset", &reset)]),
                wait(429, &[
                    ("date", &date),
                    ("anthropic-ratelimit-tokens-remaining", "0"),
                    ("anthropic-ratelimit-tokens-reset", &reset),
                ]),
                from_message(&format!("try again in {words}")),
                from_message(&format!("try again in {reset}")),
            ];
            prop_assert!(waits.into_iter().flatten().all(|wait| wait <= WAIT_MS_MAX));
        }
    }
}
