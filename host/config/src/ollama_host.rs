//! `OLLAMA_HOST`, read as Ollama reads it.
//!
//! Promise: any text gives an address a client can connect to, with the port that Ollama would use:
//! 11434 without a scheme, else the scheme's own. An address to listen on everywhere becomes the
//! loopback address.

use std::net::Ipv6Addr;

/// Ollama's port when neither port nor scheme is given.
const PORT_DEFAULT: &str = "11434";

/// The base URL of Ollama's OpenAI-compatible interface.
pub(crate) fn base_url(variable: &str) -> String {
    let text = variable.trim().trim_matches(['"', '\'']).trim();
    let (scheme, rest, port_default) = match text.split_once("://") {
        None => ("http", text, PORT_DEFAULT),
        Some(("https", rest)) => ("https", rest, "443"),
        Some((_, rest)) => ("http", rest, "80"),
    };
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = split_port(address);
    let port = port.filter(|port| port.parse::<u16>().is_ok()).unwrap_or(port_default);
    let host = match host {
        "" | "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.parse::<Ipv6Addr>().is_ok() => format!("[{host}]"),
        host => host.to_owned(),
    };
    let path = path.trim_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{scheme}://{host}:{port}{slash}{path}/v1")
}

/// Parts host and port; a bare IPv6 address has no port.
fn split_port(address: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (address, None),
    }
}

#[cfg(test)]
mod tests {
    use super::base_url;

    #[test]
    fn every_form_that_ollama_takes_gives_an_address_to_connect_to() {
        let cases = [
            ("", "http://127.0.0.1:11434/v1"),
            ("gpu-box", "http://gpu-box:11434/v1"),
            ("gpu-box:9000", "http://gpu-box:9000/v1"),
            ("0.0.0.0", "http://127.0.0.1:11434/v1"),
            ("0.0.0.0:9000", "http://127.0.0.1:9000/v1"),
            (":9000", "http://127.0.0.1:9000/v1"),
            ("http://gpu-box", "http://gpu-box:80/v1"),
            ("https://gpu-box/", "https://gpu-box:443/v1"),
            ("https://gpu-box:8443/ollama/", "https://gpu-box:8443/ollama/v1"),
            ("::1", "http://[::1]:11434/v1"),
            ("[::1]:9000", "http://[::1]:9000/v1"),
            ("[::]", "http://[::1]:11434/v1"),
            (" \"10.0.0.1:1\" ", "http://10.0.0.1:1/v1"),
            ("gpu-box:99999", "http://gpu-box:11434/v1"),
        ];
        for (variable, expected) in cases {
            assert_eq!(base_url(variable), expected, "OLLAMA_HOST={variable}");
        }
    }
}
