//! Whether a request is granted, and which addresses it may end at.
//!
//! Promise: an address that is not public is reached only where a grant that covers the request names it,
//! as its host or in its ranges; what is missing is said as the smallest capability that would do.
//!
//! Not here: what kind of address one is (`address`), resolving (`resolve`), connecting (`connect`).

use crate::address::special_kind;
use crate::error::EgressError;
use crate::target::Target;
use harness_core::grant::{Capability, Cidr, HttpScope};
use std::net::IpAddr;

/// The grants that cover a request.
pub(crate) struct Covering<'a> {
    scopes: Vec<&'a HttpScope>,
    target: &'a Target,
    method: &'a str,
}

/// The grants that cover a request, or what is missing.
pub(crate) fn covering<'a>(
    granted: &'a [HttpScope],
    target: &'a Target,
    method: &'a str,
) -> Result<Covering<'a>, EgressError> {
    let facts = target.facts(method);
    let scopes: Vec<&HttpScope> = granted.iter().filter(|scope| scope.covers(&facts)).collect();
    if scopes.is_empty() {
        return Err(EgressError::NotGranted(Box::new(target.needed(method))));
    }
    Ok(Covering { scopes, target, method })
}

impl Covering<'_> {
    /// Which of these addresses the request may end at, in their order.
    pub(crate) fn reachable(&self, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, EgressError> {
        let canonical = addresses.iter().map(IpAddr::to_canonical);
        let reachable: Vec<IpAddr> = canonical.filter(|address| self.reaches(*address)).collect();
        match addresses.first() {
            Some(first) if reachable.is_empty() => Err(self.forbidden(first.to_canonical())),
            _ => Ok(reachable),
        }
    }

    fn reaches(&self, address: IpAddr) -> bool {
        // A grant covers an address as host only where it names it.
        special_kind(address).is_none()
            || self.target.address() == Some(address)
            || self.scopes.iter().flat_map(|scope| &scope.via).any(|range| range.contains(address))
    }

    fn forbidden(&self, address: IpAddr) -> EgressError {
        let mut needed = self.target.needed(self.method);
        if let Capability::Http(scope) = &mut needed {
            let prefix_bits = if address.is_ipv4() { 32 } else { 128 };
            scope.via = vec![Cidr { first: address, prefix_bits }];
        }
        let kind = special_kind(address).unwrap_or("not reachable");
        EgressError::ForbiddenAddress { host: self.target.host().to_owned(), address, kind, needed: Box::new(needed) }
    }
}
