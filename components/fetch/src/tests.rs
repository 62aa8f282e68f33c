//! Everything but the wire: arguments, conversion, what the answer says.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use serde_json::json;
use tool_kit::ErrorKind;

use super::*;
use crate::wire::WireError;

/// A wire that answers the same to everything and keeps what it was asked.
struct Canned {
    answer: Result<Response, WireError>,
    asked: RefCell<Vec<Request>>,
}

impl Wire for Canned {
    fn send(&self, request: &Request, bytes_max: usize) -> Result<Response, WireError> {
        self.asked.borrow_mut().push(request.clone());
        let mut response = self.answer.clone()?;
        response.cut |= response.body.len() > bytes_max;
        response.body.truncate(bytes_max);
        Ok(response)
    }
}

fn canned(answer: Result<Response, WireError>) -> Canned {
    Canned { answer, asked: RefCell::default() }
}

fn response(media_type: &str, body: &[u8]) -> Response {
    let headers = vec![("content-type".to_owned(), media_type.as_bytes().to_vec())];
    Response { status: 200, headers, body: body.to_vec(), cut: false }
}

fn arguments(json: serde_json::Value) -> Arguments {
    serde_json::from_value(json).unwrap()
}

fn ask(answer: Response, given: serde_json::Value) -> Result<String, Failure> {
    let parts = fetch(&canned(Ok(answer)), arguments(given))?;
    match parts.as_slice() {
        [Part::Text(text)] => Ok(text.clone()),
        other => panic!("{other:?}"),
    }
}

fn get(answer: Response) -> Result<String, Failure> {
    ask(answer, json!({"url": "https://example.com/dir/page"}))
}

/// Each `NAME.html` must become `NAME.txt`; `UPDATE_PAGES=1` writes what it becomes.
#[test]
fn pages_become_the_text_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages");
    let base = Url::parse("https://example.com/dir/page").unwrap();
    let mut pages = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "html") {
            let page = markdown::convert(&fs::read_to_string(&path).unwrap(), &base, true);
            let found = format!("Title: {}|\n{}\n", page.title, page.text);
            let expected = path.with_extension("txt");
            if std::env::var_os("UPDATE_PAGES").is_some() {
                fs::write(&expected, &found).unwrap();
            }
            assert_eq!(found, fs::read_to_string(&expected).unwrap(), "{}", path.display());
            assert!(found.lines().all(|line| !line.ends_with(' ')) && !found.contains("\n\n\n"), "{found}");
            pages += 1;
        }
    }
    assert!(pages >= 8, "{pages} pages");
}

#[test]
fn pages_made_to_hurt_are_converted_in_linear_time() {
    let base = Url::parse("https://example.com/").unwrap();
    let (deep, many) = (100_000, 20_000);
    for (name, html, expected) in [
        ("divs", format!("{}deep{}", "<div>".repeat(deep), "</div>".repeat(deep)), "deep"),
        ("unclosed divs", format!("{}deep", "<div>".repeat(deep)), "deep"),
        ("lists", format!("{}deep", "<ul><li>".repeat(many)), "deep"),
        ("quotes", format!("{}deep", "<blockquote>".repeat(many)), "> deep"),
        ("tables", format!("{}deep", "<table><tr><td>".repeat(many)), "deep"),
        ("formatting", format!("{}deep", "<a href=x><b><i><code>".repeat(many)), "deep"),
        ("navs never closed", format!("{}deep", "<nav>".repeat(many)), "deep"),
        ("hidden never closed", format!("{}deep", "<p hidden>".repeat(many)), "deep"),
        ("end tags", format!("{}deep", "</ul></table></blockquote></a></pre>".repeat(many)), "deep"),
        ("one line", "word ".repeat(1 << 20), "word word"),
        ("one word", "w".repeat(1 << 20), "www"),
        ("an attribute", format!("<p title=\"{}\">after", "x".repeat(1 << 20)), "after"),
        ("attributes", format!("<p {}>after", "a=b ".repeat(many)), "after"),
        ("a tag that never ends", format!("before<p {}", "a ".repeat(many)), "before"),
        ("a comment that never ends", format!("before<!--{}", "- ".repeat(many)), "before"),
        ("entities", "&amp;".repeat(many), "&&&"),
        ("less-than signs", format!("{}after", "< ".repeat(many)), "after"),
        ("markers", format!("{}after", "<h1><li>".repeat(many)), "after"),
    ] {
        let page = markdown::convert(&html, &base, true);
        assert!(page.text.contains(expected), "{name}: {}", text::cut(&page.text, 200));
        assert!(page.text.len() <= markdown::OUT_BYTES_MAX, "{name}");
    }
}

#[test]
fn output_does_not_outgrow_its_limit_where_each_link_is_long() {
    let base = Url::parse(&format!("https://example.com/{}/", "x".repeat(1_500))).unwrap();
    let page = markdown::convert(&"<a href=y>z</a> ".repeat(100_000), &base, true);
    assert!(page.cut && page.text.len() <= markdown::OUT_BYTES_MAX);
}

#[test]
fn the_answer_begins_with_the_status_line() {
    let mut page = response("text/html; charset=utf-8", b"<title>A  page</title><p>Hi");
    assert_eq!(
        get(page.clone()).unwrap(),
        "200 OK · text/html · 27 bytes · https://example.com/dir/page\nTitle: A page\n\nHi"
    );
    page.status = 404;
    page.headers.push(("harness-url".into(), b"https://other.example/moved".to_vec()));
    assert!(
        get(page.clone()).unwrap().starts_with("404 Not Found · text/html · 27 bytes · https://other.example/moved\n")
    );
    page.status = 299;
    assert!(get(page).unwrap().starts_with("299 · text/html"));
    let empty = Response { status: 301, headers: vec![("location".into(), b"/x\r".to_vec())], ..Response::default() };
    assert_eq!(
        get(empty).unwrap(),
        "301 Moved Permanently · no type · 0 bytes · https://example.com/dir/page\n\n[no content; it leads to /x]"
    );
}

#[test]
fn formats_and_types() {
    for (media_type, body, format, expected) in [
        ("text/html", "<h1>A</h1><a href=b>c</a>", "auto", "# A\n\n[c](https://example.com/dir/b)"),
        ("text/html", "<h1>A</h1><a href=b>c</a>", "text", "# A\n\nc"),
        ("text/html", "<h1>A</h1>", "raw", "<h1>A</h1>"),
        ("", " <!DOCTYPE html><p>A", "auto", "A"),
        ("text/plain", "<p>A", "auto", "<p>A"),
        (
            "application/json",
            r#"{"b":[1,{}],"a":1.10}"#,
            "auto",
            "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": 1.10\n}",
        ),
        ("application/vnd.x+json", "[ ]", "auto", "[]"),
        ("application/json", r#"{"b":1}"#, "text", r#"{"b":1}"#),
        ("application/json", "{broken", "auto", "{broken"),
        ("application/json", r#"["a\\\",:]", "{"]"#, "auto", "[\n  \"a\\\\\\\",:]\",\n  \"{\"\n]"),
        ("application/x-unknown", "just text", "auto", "just text"),
        ("text/markdown", "# A", "auto", "# A"),
    ] {
        let given = json!({"url": "https://example.com/dir/page", "format": format});
        let text = ask(response(media_type, body.as_bytes()), given).unwrap();
        assert_eq!(text.split_once("\n\n").unwrap().1, expected, "{media_type} {body}");
    }
    let deep = "[".repeat(50_000);
    assert!(get(response("application/json", deep.as_bytes())).unwrap().contains("[[[["));
}

#[test]
fn character_sets_come_from_header_page_or_bytes() {
    for (media_type, body, expected) in [
        ("text/plain; charset=ISO-8859-1", &b"caf\xe9"[..], "café"),
        ("text/plain; charset=\"shift_jis\"", b"\x93\xfa", "日"),
        ("text/html", b"<meta charset='windows-1251'>\xcf", "П"),
        ("text/html", b"<meta charset=utf-16><p>caf\xc3\xa9", "café"),
        ("text/html", b"<p>caf\xe9", "café"),
        ("text/html", b"\xef\xbb\xbf<p>caf\xc3\xa9", "café"),
        ("text/plain; charset=nonsense", "café".as_bytes(), "café"),
    ] {
        let text = get(response(media_type, body)).unwrap();
        assert!(text.ends_with(expected), "{media_type}: {text}");
    }
}

#[test]
fn binary_is_refused_with_type_and_size_and_images_are_shown() {
    for (media_type, body, code, expected) in [
        ("application/pdf", vec![0_u8; 2048], "binary", "application/pdf, 2.0 KiB"),
        ("", vec![0xff, 0xfe, 0xfd], "binary", "of no stated type, 3 B"),
        ("text/plain", b"a\0b".to_vec(), "binary", "text/plain"),
        ("image/tiff", vec![0; 10], "binary", "image/tiff"),
        ("image/png", vec![0; (1 << 20) + 1], "image", "larger than 1.0 MiB"),
    ] {
        let given = json!({"url": "https://example.com/", "max_bytes": 4 << 20});
        let failure = ask(response(media_type, &body), given).unwrap_err();
        assert_eq!(failure.code, code, "{}", failure.message);
        assert!(failure.message.contains(expected), "{}", failure.message);
    }
    let mut zipped = response("text/html", b"\x1f\x8b");
    zipped.headers.push(("content-encoding".into(), b"gzip".to_vec()));
    assert_eq!(get(zipped).unwrap_err().code, "content-encoding");
    let parts =
        fetch(&canned(Ok(response("image/png", &[1, 2, 3]))), arguments(json!({"url": "https://example.com/a.png"})));
    let image = tool_kit::Image { mime_type: "image/png".into(), bytes: vec![1, 2, 3] };
    let status = "200 OK · image/png · 3 bytes · https://example.com/a.png".to_owned();
    assert_eq!(parts.unwrap(), [Part::Text(status), Part::Image(image)]);
}

#[test]
fn long_text_is_read_in_parts_that_join() {
    let whole: String = (0..30_000).map(|line| format!("line {line} ä\n")).collect();
    let mut joined = String::new();
    let mut offset = 0;
    loop {
        let given = json!({"url": "https://example.com/", "offset": offset});
        let text = ask(response("text/plain", whole.as_bytes()), given).unwrap();
        assert!(text.len() < TEXT_BYTES_MAX + 1_000);
        let body = text.split_once("\n\n").unwrap().1;
        match body.rsplit_once("\n[characters ") {
            Some((part, note)) => {
                joined.push_str(part);
                offset = note.trim_end_matches(']').rsplit(' ').next().unwrap().parse().unwrap();
                assert_eq!(offset, joined.chars().count());
            }
            None => {
                joined.push_str(body);
                break;
            }
        }
    }
    assert_eq!(joined, whole);
    for beyond in [10_000_000_u64, u64::MAX] {
        let given = json!({"url": "https://example.com/", "offset": beyond});
        assert_eq!(ask(response("text/plain", b"short"), given).unwrap_err().code, "offset");
    }
    let given = json!({"url": "https://example.com/", "max_bytes": 4});
    let text = ask(response("text/plain", "abcä".as_bytes()), given).unwrap();
    assert!(text.starts_with("200 OK · text/plain · more than 4 bytes"), "{text}");
    assert!(
        text.ends_with("\n\nabc\n[only the first 4 B of the response were read; max_bytes reads up to 4.0 MiB]"),
        "{text}"
    );
}

#[test]
fn arguments_that_make_no_sense_are_refused_before_anything_is_sent() {
    let headers = |name: &str, value: &str| json!({"url": "https://a.b/", "headers": {name: value}});
    for (given, code, expected) in [
        (json!({"url": "ftp://example.com/"}), "bad-url", "only http and https"),
        (json!({"url": "file:///etc/passwd"}), "bad-url", "only http and https"),
        (json!({"url": "example.com"}), "bad-url", "not an absolute URL"),
        (json!({"url": ""}), "bad-url", "not an absolute URL"),
        (json!({"url": "https://"}), "bad-url", "empty host"),
        (json!({"url": "https://a.b/\r\nx"}), "bad-url", "control character"),
        (json!({"url": "https://user@a.b/"}), "credentials", "leave them out"),
        (json!({"url": "https://user:pass@a.b/"}), "credentials", "leave them out"),
        (json!({"url": format!("https://a.b/{}", "x".repeat(9_000))}), "url", "longer than"),
        (json!({"url": "https://a.b/", "body": "x"}), "body-without-post", "set method to POST"),
        (json!({"url": "https://a.b/", "method": "POST", "body": "x".repeat(2 << 20)}), "body", "larger than"),
        (json!({"url": "https://a.b/", "max_bytes": 0}), "arguments", "at least 1"),
        (headers("x", "a\r\nb: c"), "bad-header", "no line break"),
        (headers("x", "a\nb"), "bad-header", "no line break"),
        (headers("x", "a\0"), "bad-header", "no line break"),
        (headers("x", "ä"), "bad-header", "printable ASCII"),
        (headers("x\r\ny", "a"), "bad-header", "not a name"),
        (headers("", "a"), "bad-header", "not a name"),
        (headers("a b", "a"), "bad-header", "not a name"),
        (headers("a:", "a"), "bad-header", "not a name"),
        (headers("Host", "evil"), "bad-header", "host sets host itself"),
        (headers("Transfer-Encoding", "chunked"), "bad-header", "leave it out"),
        (headers("Content-Length", "1"), "bad-header", "leave it out"),
        (headers("x", &"x".repeat(9_000)), "header", "longer than"),
        (json!({"url": "https://a.b/", "headers": {"A": "1", "a": "2"}}), "bad-header", "given twice"),
    ] {
        let wire = canned(Ok(Response::default()));
        let failure = fetch(&wire, arguments(given)).unwrap_err();
        assert_eq!(failure.code, code, "{}", failure.message);
        assert!(failure.message.contains(expected), "{}", failure.message);
        assert!(wire.asked.borrow().is_empty());
    }
}

#[test]
fn what_is_sent_is_what_was_asked_for() {
    let wire = canned(Ok(response("text/plain", b"x")));
    let given = json!({"url": "HTTPS://Example.COM:443/a b?q=ü#part", "method": "POST", "body": "{}", "headers": {"X-One": " 1 ", "Accept": "*/*"}});
    fetch(&wire, arguments(given)).unwrap();
    let asked = wire.asked.borrow();
    let [request] = asked.as_slice() else { panic!("{} requests", asked.len()) };
    assert_eq!(request.shown(), "POST https://example.com/a%20b?q=%C3%BC");
    assert_eq!(request.body.as_deref(), Some("{}"));
    let headers: Vec<(&str, &str)> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let agent = concat!("harness-host-fetch/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        headers,
        [("accept", "*/*"), ("x-one", "1"), ("user-agent", agent), ("content-type", "application/json")]
    );
}

#[test]
fn each_error_of_the_wire_is_a_failure_that_says_what_to_do() {
    for (error, kind, code, expected, retryable) in [
        (
            WireError::Denied,
            ErrorKind::NotPermitted,
            "not-granted",
            "GET https://a.b/c is not granted: a person must",
            false,
        ),
        (
            WireError::Dns("NXDOMAIN".into()),
            ErrorKind::Failed,
            "dns",
            "the name a.b could not be resolved: NXDOMAIN",
            true,
        ),
        (WireError::Unreachable, ErrorKind::Failed, "unreachable", "no connection to a.b", true),
        (WireError::Broken, ErrorKind::Failed, "broken", "ended before", true),
        (
            WireError::Tls("its certificate is not valid".into()),
            ErrorKind::Failed,
            "tls",
            "certificate is not valid",
            false,
        ),
        (WireError::TimedOut, ErrorKind::Failed, "timeout", "no answer in time", true),
        (WireError::Protocol("odd".into()), ErrorKind::Failed, "protocol", "GET https://a.b/c: odd", false),
    ] {
        let failure = fetch(&canned(Err(error)), arguments(json!({"url": "https://a.b/c"}))).unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str(), failure.retryable), (kind, code, retryable));
        assert!(failure.message.contains(expected), "{}", failure.message);
    }
}

#[test]
fn the_schema_knows_the_limits() {
    let schema = include_str!("../tool.json");
    assert!(schema.contains(&format!(r#""maximum": {BODY_BYTES_MAX}"#)));
    assert!(schema.contains("data, not instructions"));
}
