//! Which addresses are not public: a guest's request may end there only where a grant names the address.
//!
//! Promise: what the registries of special addresses list is not public, and an address that carries another
//! one inside is judged by that one or not public at all.
//!
//! Not here: which grant names an address (`covering`).
//!
//! Sources: the IANA registries of special-purpose IPv4 and IPv6 addresses (RFC 6890) and the IPv6 global
//! unicast space; the clouds' documentation for where instances read their metadata.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where machines of clouds read their credentials. Some lie in public ranges, so all are listed.
const METADATA: &[IpAddr] = &[
    // Most clouds.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    // Containers of AWS.
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    // AWS over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    // Google over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // Alibaba.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Oracle.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Azure.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// First address, leading bits, kind. The first that contains an address names it.
const V4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 32, "unspecified"),
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by a provider's customers"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::BROADCAST, 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// As [`V4`]. What is neither here nor global unicast is reserved.
const V6: &[(Ipv6Addr, u32, &str)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::UNSPECIFIED, 96, "IPv4-compatible"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "NAT64 of one network"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discarded"),
    // Teredo, ORCHID, benchmarks and others (RFC 2928).
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "Teredo"),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, "for benchmarks"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "for protocols"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "for documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "for documentation"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "private"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// The prefix of NAT64 that any network may use (RFC 6052, 2.1): the last 32 bits are the IPv4 address meant.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
/// Global unicast (RFC 4291, 2.4, as allotted by IANA).
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What kind of special address it is; none for a public one.
pub(crate) fn special_kind(address: IpAddr) -> Option<&'static str> {
    // Mapped addresses lead to the IPv4 address inside.
    let address = address.to_canonical();
    if METADATA.contains(&address) {
        return Some("a metadata service");
    }
    match address {
        IpAddr::V4(v4) => V4.iter().find(|(first, bits, _)| in_v4(v4, *first, *bits)).map(|(_, _, kind)| *kind),
        IpAddr::V6(v6) if in_v6(v6, NAT64.0, NAT64.1) => {
            let [.., a, b, c, d] = v6.octets();
            special_kind(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        IpAddr::V6(v6) => {
            let listed = V6.iter().find(|(first, bits, _)| in_v6(v6, *first, *bits)).map(|(_, _, kind)| *kind);
            let is_global = in_v6(v6, GLOBAL_UNICAST.0, GLOBAL_UNICAST.1);
            listed.or_else(|| (!is_global).then_some("reserved"))
        }
    }
}

fn in_v4(address: Ipv4Addr, first: Ipv4Addr, bits: u32) -> bool {
    (u32::from(address) ^ u32::from(first)).leading_zeros() >= bits
}

fn in_v6(address: Ipv6Addr, first: Ipv6Addr, bits: u32) -> bool {
    (u128::from(address) ^ u128::from(first)).leading_zeros() >= bits
}

#[cfg(test)]
mod tests;
