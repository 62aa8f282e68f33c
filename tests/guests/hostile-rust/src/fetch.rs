//! Requests over `wasi:http`, put together piece by piece, as no library would.

use crate::{Told, debug, text, times};
use serde_json::Value;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

/// A body longer than this is told by its length, in bytes.
const SHOWN_BYTES_MAX: usize = 4 << 10;

/// One request and what came of it: the status, all headers, the body.
pub(crate) fn fetch(step: &Value, random: &str) -> Told {
    let url = text(step, "url").replace("RANDOM", random);
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let request = OutgoingRequest::new(headers(step)?);
    let method = match text(step, "method") {
        "" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| "the method is refused at once")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "the scheme is refused at once")?;
    request.set_authority(Some(authority)).map_err(|()| "the authority is refused at once")?;
    request.set_path_with_query(Some(path)).map_err(|()| "the path is refused at once")?;
    let body = request.body().map_err(|()| "no body")?;
    let future = outgoing_handler::handle(request, None).map_err(debug)?;
    {
        let stream = body.write().map_err(|()| "no stream")?;
        for piece in text(step, "body").repeat(times(step, "body_times")).as_bytes().chunks(4096) {
            stream.blocking_write_and_flush(piece).map_err(broken)?;
        }
    }
    OutgoingBody::finish(body, trailers(step)?).map_err(debug)?;
    future.subscribe().block();
    let response = future.get().ok_or("not there")?.map_err(|()| "taken")?.map_err(debug)?;
    tell(&response)
}

fn broken(error: StreamError) -> String {
    match error {
        StreamError::Closed => "closed".to_owned(),
        StreamError::LastOperationFailed(error) => error.to_debug_string(),
    }
}

/// Each header is `[NAME, VALUE, how often the value is written, how often the header is there]`.
fn headers(step: &Value) -> Result<Fields, String> {
    let fields = Fields::new();
    for header in step["headers"].as_array().into_iter().flatten() {
        let name = header[0].as_str().unwrap_or_default();
        let value = header[1].as_str().unwrap_or_default().repeat(header[2].as_u64().unwrap_or(1) as usize);
        for _ in 0..header[3].as_u64().unwrap_or(1) {
            fields.append(name, value.as_bytes()).map_err(|error| format!("{}: {error:?}", name.escape_debug()))?;
        }
    }
    Ok(fields)
}

fn trailers(step: &Value) -> Result<Option<Fields>, String> {
    if text(step, "trailer").is_empty() {
        return Ok(None);
    }
    let fields = Fields::new();
    fields.append(text(step, "trailer"), b"x").map_err(debug)?;
    Ok(Some(fields))
}

fn tell(response: &IncomingResponse) -> Told {
    let mut headers: Vec<String> = Vec::new();
    for (name, value) in response.headers().entries() {
        headers.push(format!("{name}={}", String::from_utf8_lossy(&value)));
    }
    headers.sort();
    let body = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut received = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(bytes) => received.extend(bytes),
            Err(StreamError::Closed) => break,
            Err(error) => return Err(broken(error)),
        }
    }
    let shown = match received.len() {
        0..=SHOWN_BYTES_MAX => String::from_utf8_lossy(&received).into_owned(),
        bytes => format!("{bytes} bytes"),
    };
    Ok(format!("{} {} {shown}", response.status(), headers.join(",")))
}
