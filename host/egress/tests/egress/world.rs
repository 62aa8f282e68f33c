//! Names, secrets and grants of tests, and requests in few words.

use async_trait::async_trait;
use bytes::Bytes;
use harness_core::grant::Capability;
use harness_egress::{
    CallEgress, Egress, EgressError, EgressLimits, EgressSettings, Resolve, ScannedBody, SecretValue, Secrets, Timeouts,
};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use rustls::pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Each name's answers, one for each lookup, the last one for all later ones. Other names are 127.0.0.1.
#[derive(Default)]
pub(crate) struct Names {
    answers: BTreeMap<String, Vec<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub(crate) fn new(answers: &[(&str, &[&str])]) -> Arc<Self> {
        let list = |text: &&str| text.split(' ').filter(|it| !it.is_empty()).map(|it| it.parse().unwrap()).collect();
        let answers = answers.iter().map(|(name, answers)| ((*name).to_owned(), answers.iter().map(list).collect()));
        Arc::new(Self { answers: answers.collect(), asked: Mutex::default() })
    }

    /// The lookups, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut asked = self.asked.lock().unwrap();
        let before = asked.iter().filter(|name| *name == host).count();
        asked.push(host.to_owned());
        match self.answers.get(host) {
            None => Ok(vec!["127.0.0.1".parse().unwrap()]),
            Some(answers) if answers.is_empty() => Err(io::Error::other("no such name")),
            Some(answers) => Ok(answers.get(before).or(answers.last()).cloned().unwrap_or_default()),
        }
    }
}

/// `forge`, `other` and `short`; `broken` cannot be read.
pub(crate) struct Kept;

pub(crate) const FORGE: &str = "f0rge/s3cret+\"1\"";
pub(crate) const OTHER: &str = "an-other-secret";

impl Secrets for Kept {
    fn secret(&self, name: &str) -> Result<Option<SecretValue>, String> {
        match name {
            "forge" => Ok(Some(SecretValue::new(FORGE))),
            "other" => Ok(Some(SecretValue::new(OTHER))),
            "lines" => Ok(Some(SecretValue::new("two\r\nlines"))),
            "empty" => Ok(Some(SecretValue::new(""))),
            "broken" => Err("the keyring is locked".to_owned()),
            _ => Ok(None),
        }
    }
}

/// Short times, else the defaults.
pub(crate) fn limits() -> EgressLimits {
    EgressLimits { connect: Duration::from_secs(5), first_byte: Duration::from_secs(5), ..EgressLimits::default() }
}

pub(crate) fn call_with(
    granted: &[String],
    names: Arc<Names>,
    extra_roots: Vec<CertificateDer<'static>>,
    limits: EgressLimits,
) -> CallEgress {
    let granted: Vec<Capability> = granted.iter().map(|text| text.parse().unwrap()).collect();
    let settings = EgressSettings { resolver: names, secrets: Arc::new(Kept), extra_roots };
    Egress::new(settings).for_call(&granted, limits)
}

pub(crate) fn call(granted: &[String]) -> CallEgress {
    call_with(granted, Names::new(&[]), Vec::new(), limits())
}

/// `http * http://127.0.0.1:PORT`.
pub(crate) fn local(port: u16) -> String {
    format!("http * http://127.0.0.1:{port}")
}

pub(crate) type Sent = Result<Response<ScannedBody>, EgressError>;

pub(crate) async fn send(call: &CallEgress, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Sent {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
    call.send(request, Timeouts::default()).await
}

pub(crate) async fn get(call: &CallEgress, url: &str) -> Sent {
    send(call, "GET", url, &[], "").await
}

/// Status, headers and body.
pub(crate) async fn whole(sent: Sent) -> Result<(u16, HeaderMap, String), EgressError> {
    let (parts, body) = sent?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((parts.status.as_u16(), parts.headers, String::from_utf8_lossy(&body).into_owned()))
}

pub(crate) async fn body(sent: Sent) -> String {
    whole(sent).await.unwrap().2
}

/// What is recorded, one line for each request.
pub(crate) fn lines(call: &CallEgress) -> Vec<String> {
    let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let line = |it: &harness_core::record::RequestMade| {
        let status = it.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let (sent, received) = (it.request_bytes, it.response_bytes);
        format!("{} {} {} {status} {sent} {received} {}", it.method, it.url, word(&it.address), word(&it.problem))
    };
    call.requests().iter().map(line).collect()
}
