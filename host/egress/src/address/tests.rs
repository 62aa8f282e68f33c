//! One table of addresses, and addresses at random.
#![allow(clippy::unwrap_used)]

use super::special_kind;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Public addresses, also right beside special ranges.
const PUBLIC: &[&str] = &[
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "192.175.48.1",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2400:cb00::1",
    "2600::1",
    "2606:4700:4700::1111",
    "2620:4f:8000::1",
    "2a00:1450:4001:800::200e",
    "3ffe::1",
    "64:ff9b::8.8.8.8",
    "64:ff9b::808:808",
    "::ffff:8.8.8.8",
    "::ffff:93.184.216.34",
];

/// Special addresses with their kind.
const SPECIAL: &[(&str, &str)] = &[
    ("0.0.0.0", "unspecified"),
    ("0.0.0.1", "this network"),
    ("0.255.255.255", "this network"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.0", "shared by a provider's customers"),
    ("100.127.255.255", "shared by a provider's customers"),
    ("100.100.100.200", "a metadata service"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "a metadata service"),
    ("169.254.0.1", "link-local"),
    ("169.254.169.254", "a metadata service"),
    ("169.254.170.2", "a metadata service"),
    ("172.16.0.0", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.1", "for protocols"),
    ("192.0.0.192", "a metadata service"),
    ("192.0.2.1", "for documentation"),
    ("192.88.99.1", "a 6to4 relay"),
    ("192.168.0.0", "private"),
    ("192.168.255.255", "private"),
    ("198.18.0.0", "for benchmarks"),
    ("198.19.255.255", "for benchmarks"),
    ("198.51.100.7", "for documentation"),
    ("203.0.113.9", "for documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.0", "reserved"),
    ("255.255.255.254", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::2", "IPv4-compatible"),
    ("::127.0.0.1", "IPv4-compatible"),
    ("::8.8.8.8", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:10.1.2.3", "private"),
    ("::ffff:169.254.169.254", "a metadata service"),
    ("::ffff:0.0.0.0", "unspecified"),
    ("::ffff:0:127.0.0.1", "reserved"),
    ("64:ff9b::127.0.0.1", "loopback"),
    ("64:ff9b::10.0.0.1", "private"),
    ("64:ff9b::a9fe:a9fe", "a metadata service"),
    ("64:ff9b::0.0.0.0", "unspecified"),
    ("64:ff9b::1:0:0", "reserved"),
    ("64:ff9b:1::1", "NAT64 of one network"),
    ("64:ff9b:1:ffff:ffff:ffff:8.8.8.8", "NAT64 of one network"),
    ("64:ff9b:2::1", "reserved"),
    ("100::1", "discarded"),
    ("100:0:0:1::1", "reserved"),
    ("2001::1", "Teredo"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
    ("2001:1::1", "for protocols"),
    ("2001:2::1", "for benchmarks"),
    ("2001:10::1", "for protocols"),
    ("2001:20::1", "for protocols"),
    ("2001:1ff:ffff::1", "for protocols"),
    ("2001:db8::1", "for documentation"),
    ("2001:db8:ffff::1", "for documentation"),
    ("2002::1", "6to4"),
    ("2002:7f00:1::1", "6to4"),
    ("2002:808:808::1", "6to4"),
    ("3fff::1", "for documentation"),
    ("3fff:fff::1", "for documentation"),
    ("4000::1", "reserved"),
    ("5f00::1", "reserved"),
    ("fc00::1", "private"),
    ("fd00::1", "private"),
    ("fd00:ec2::254", "a metadata service"),
    ("fd20:ce::254", "a metadata service"),
    ("fdff:ffff::1", "private"),
    ("fe00::1", "reserved"),
    ("fe80::1", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
];

#[test]
fn special_addresses_are_told_from_public_ones() {
    for text in PUBLIC {
        assert_eq!(special_kind(text.parse().unwrap()), None, "{text}");
    }
    for (text, kind) in SPECIAL {
        assert_eq!(special_kind(text.parse().unwrap()), Some(*kind), "{text}");
    }
}

proptest! {
    #[test]
    fn an_address_inside_another_is_judged_alike_or_refused(v4: u32, at in 0_u8..5) {
        let inner = Ipv4Addr::from(v4);
        let inside = special_kind(IpAddr::V4(inner));
        let low = u128::from(v4);
        let outer = match at {
            0 => inner.to_ipv6_mapped(),
            1 => Ipv6Addr::from((0x64_ff9b_u128 << 96) | low),
            2 => Ipv6Addr::from(low),
            3 => Ipv6Addr::from((0x2002_u128 << 112) | (low << 80) | 1),
            _ => Ipv6Addr::from((0x2001_u128 << 112) | !low),
        };
        let judged = special_kind(IpAddr::V6(outer));
        if at < 2 { prop_assert_eq!(judged, inside) } else { prop_assert!(judged.is_some()) }
    }

    #[test]
    fn the_libraries_own_words_agree(v4: u32) {
        let address = Ipv4Addr::from(v4);
        let is_special = address.is_private() || address.is_loopback() || address.is_link_local()
            || address.is_multicast() || address.is_broadcast() || address.is_documentation() || address.is_unspecified();
        prop_assert!(!is_special || special_kind(IpAddr::V4(address)).is_some());
    }

    #[test]
    fn only_global_unicast_and_nat64_are_public(v6: u128) {
        let address = Ipv6Addr::from(v6);
        if special_kind(IpAddr::V6(address)).is_none() {
            prop_assert!(v6 >> 125 == 1 || v6 >> 32 == 0x64_ff9b_u128 << 64 || address.to_ipv4_mapped().is_some());
        }
    }
}
