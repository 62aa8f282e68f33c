//! Requests over `wasi:http`.

use crate::harness::host::secrets;
use crate::{Told, debug, number, text};
use serde_json::Value;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme};
use wasip2::io::streams::StreamError;

/// One request after the other, as many as asked for; what came of the last.
pub(crate) fn fetch(arguments: &Value) -> Told {
    let mut told = String::new();
    for _ in 0..number(arguments, "times").unwrap_or(1) {
        told = once(arguments)?;
    }
    Ok(told)
}

fn once(arguments: &Value) -> Told {
    let (scheme, rest) = text(arguments, "url").split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let fields = Fields::new();
    for (name, value) in arguments["headers"].as_object().into_iter().flatten() {
        fields.append(name, value.as_str().unwrap_or_default().as_bytes()).map_err(debug)?;
    }
    if !text(arguments, "secret").is_empty() {
        let placeholder = secrets::placeholder(text(arguments, "secret")).map_err(debug)?;
        fields.append("authorization", format!("Bearer {placeholder}").as_bytes()).map_err(debug)?;
    }
    let wrong = |()| "refused at once".to_owned();
    let request = OutgoingRequest::new(fields);
    let method = match text(arguments, "method") {
        "" | "GET" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(wrong)?;
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).map_err(wrong)?;
    request.set_authority(Some(authority)).map_err(wrong)?;
    request.set_path_with_query(Some(path)).map_err(wrong)?;
    let body = request.body().map_err(wrong)?;
    let options = RequestOptions::new();
    if let Some(wait_ms) = number(arguments, "first_byte_ms") {
        options.set_first_byte_timeout(Some(wait_ms * 1_000_000)).map_err(wrong)?;
    }
    let future = outgoing_handler::handle(request, Some(options)).map_err(debug)?;
    let content = text(arguments, "body").repeat(number(arguments, "body_times").unwrap_or(1) as usize);
    {
        let stream = body.write().map_err(wrong)?;
        for piece in content.as_bytes().chunks(4096) {
            stream.blocking_write_and_flush(piece).map_err(debug)?;
        }
    }
    OutgoingBody::finish(body, None).map_err(debug)?;
    future.subscribe().block();
    let response = future.get().ok_or("not there")?.map_err(|()| "taken")?.map_err(debug)?;
    let mut headers: Vec<String> = Vec::new();
    for (name, value) in response.headers().entries() {
        if name.starts_with("x-") {
            headers.push(format!("{name}={}", String::from_utf8_lossy(&value)));
        }
    }
    let body = response.consume().map_err(wrong)?;
    let stream = body.stream().map_err(wrong)?;
    let mut received = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(bytes) => received.extend(bytes),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
    let received = match received.len() {
        0..=4096 => String::from_utf8_lossy(&received).into_owned(),
        bytes => format!("{bytes} bytes"),
    };
    Ok(format!("{} {} {received}", response.status(), headers.join(",")))
}
