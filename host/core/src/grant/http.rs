//! Which requests a grant covers: methods, scheme, host, port, path and the addresses it may end at.
//!
//! Promise: hosts are compared as whole labels, paths as whole segments, both in their normal form.
//!
//! Not here: taking a URL apart, resolving names (harness-egress).

use core::net::IpAddr;
use std::fmt;

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UrlScheme {
    /// Without encryption.
    Http,
    /// Over TLS.
    Https,
}

impl UrlScheme {
    /// As in a URL.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where a URL names none (RFC 9110, 4.2).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Methods of requests, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Methods {
    /// Every method.
    Any,
    /// These, sorted and unique.
    Only(Vec<String>),
}

/// A host or several.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Every name, but no address.
    Any,
    /// Every name below this one: `*.example.com` is `example.com` here, and does not cover itself.
    Below(String),
    /// This name, lower case ASCII.
    Name(String),
    /// This address. Only such a grant reaches addresses that are not public.
    Address(IpAddr),
}

/// A range of addresses, as in `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// Its first address.
    pub first: IpAddr,
    /// How many leading bits all its addresses share.
    pub prefix_bits: u8,
}

/// What requests are covered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpScope {
    /// The methods.
    pub methods: Methods,
    /// The scheme.
    pub scheme: UrlScheme,
    /// The host.
    pub host: HostPattern,
    /// The port; none is every port, written `:*`.
    pub port: Option<u16>,
    /// What the path begins with, in whole segments: `/` is every path.
    pub path_prefix: String,
    /// Addresses beyond the public ones that the host's name may resolve to.
    pub via: Vec<Cidr>,
}

/// A request's facts, in their normal form.
#[derive(Debug, Clone, Copy)]
pub struct RequestTarget<'a> {
    /// The method, upper case.
    pub method: &'a str,
    /// The scheme.
    pub scheme: UrlScheme,
    /// The host: a lower-case name or an address without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// The path, without dot segments, beginning with `/`.
    pub path: &'a str,
}

impl HttpScope {
    /// Whether a request is covered. Where it may connect to is another question: `via` and the host's address.
    pub fn covers(&self, target: &RequestTarget<'_>) -> bool {
        self.methods.contains(target.method)
            && self.scheme == target.scheme
            && self.port.is_none_or(|port| port == target.port)
            && self.host.covers(target.host)
            && is_below(target.path, &self.path_prefix)
    }

    /// What both cover, to the addresses that both may end at.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Option<Self> {
        if self.scheme != other.scheme {
            return None;
        }
        let port = match (self.port, other.port) {
            (Some(a), Some(b)) if a != b => return None,
            (a, b) => a.or(b),
        };
        let path_prefix = if is_below(&self.path_prefix, &other.path_prefix) {
            &self.path_prefix
        } else {
            Some(&other.path_prefix).filter(|path| is_below(path, &self.path_prefix))?
        };
        let mut via: Vec<Cidr> = Vec::new();
        for range in self.via.iter().flat_map(|a| other.via.iter().filter_map(|b| a.meet(b))) {
            if !via.contains(&range) {
                via.push(range);
            }
        }
        Some(Self {
            methods: self.methods.meet(&other.methods)?,
            scheme: self.scheme,
            host: self.host.meet(&other.host)?,
            port,
            path_prefix: path_prefix.clone(),
            via,
        })
    }
}

impl Methods {
    fn contains(&self, method: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(methods) => methods.iter().any(|it| it == method),
        }
    }

    /// What both have; nothing where they have nothing in common.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, it) | (it, Self::Any) => Some(it.clone()),
            (Self::Only(a), Self::Only(b)) => {
                let both: Vec<String> = a.iter().filter(|method| b.contains(method)).cloned().collect();
                (!both.is_empty()).then_some(Self::Only(both))
            }
        }
    }
}

impl HostPattern {
    /// Whether a host, a lower-case name or an address without brackets, is covered.
    pub fn covers(&self, host: &str) -> bool {
        let address = host.parse::<IpAddr>().ok();
        match self {
            Self::Any => address.is_none(),
            Self::Below(name) => address.is_none() && is_subdomain(host, name),
            Self::Name(name) => address.is_none() && host == name,
            Self::Address(granted) => address == Some(*granted),
        }
    }

    /// What both cover.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (a, b) if a == b => Some(a.clone()),
            (Self::Address(_), Self::Any) => Some(self.clone()),
            (Self::Any, Self::Address(_)) => Some(other.clone()),
            (Self::Any, it) | (it, Self::Any) => Some(it.clone()),
            (Self::Below(a), Self::Below(b)) if is_subdomain(a, b) => Some(self.clone()),
            (Self::Below(a), Self::Below(b)) if is_subdomain(b, a) => Some(other.clone()),
            (Self::Below(a), Self::Name(b)) if is_subdomain(b, a) => Some(other.clone()),
            (Self::Name(a), Self::Below(b)) if is_subdomain(a, b) => Some(self.clone()),
            _ => None,
        }
    }
}

impl Cidr {
    /// The addresses that both have: the smaller of two ranges, where one lies in the other.
    fn meet(&self, other: &Self) -> Option<Self> {
        let (small, large) = if self.prefix_bits >= other.prefix_bits { (self, other) } else { (other, self) };
        (large.first.is_ipv4() == small.first.is_ipv4() && large.contains(small.first)).then_some(*small)
    }

    /// Whether an address lies in the range. A mapped IPv4 address is looked at as what it maps.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(v4) => (32_u32, u128::from(u32::from(v4))),
            IpAddr::V6(v6) => (128, u128::from(v6)),
        };
        let ((width, first), (other_width, address)) = (bits(self.first), bits(address));
        let rest = width.saturating_sub(u32::from(self.prefix_bits));
        width == other_width && (rest >= 128 || first >> rest == address >> rest)
    }
}

fn is_subdomain(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// Whether a path is a prefix's or below it, by whole segments.
fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Only(methods) => f.write_str(&methods.join(",")),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(v4)) => write!(f, "{v4}"),
            Self::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix_bits)
    }
}

impl fmt::Display for HttpScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}://{}", self.methods, self.scheme.word(), self.host)?;
        match self.port {
            None => f.write_str(":*")?,
            Some(port) if port != self.scheme.default_port() => write!(f, ":{port}")?,
            Some(_) => {}
        }
        if self.path_prefix != "/" {
            f.write_str(&self.path_prefix)?;
        }
        for (at, range) in self.via.iter().enumerate() {
            write!(f, "{}{range}", if at == 0 { " via " } else { "," })?;
        }
        Ok(())
    }
}
