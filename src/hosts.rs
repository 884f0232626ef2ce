//! Which hosts a tenant may make the operator call.
//!
//! `spec.workspace.apiUrl` is written by whoever may create a resource. Without limits the operator would be their way to the
//! node's metadata service, to the cluster's own services, and to whatever listens on its loopback interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// What a name may be resolved to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Any address: the operator's administrator named the host.
    #[default]
    Anywhere,
    /// Addresses of the public internet, and the loopback interface where that is allowed.
    Public {
        /// Whether the loopback interface is allowed.
        loopback: bool,
    },
}

/// The limits for hosts that tenants name.
#[derive(Clone, Debug)]
pub struct HostPolicy {
    /// Host and port of the operator's own API.
    own: Option<(String, Option<u16>)>,
    allowed: Vec<HostPattern>,
    loopback: bool,
}

/// A host, or every host below a domain: `api.example.com`, `*.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(String);

/// Why a host may not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostRefusal {
    /// There is a list, and the host is not on it.
    #[error(
        "this host is not among those that the operator may call; ask for it to be added to --allowed-api-hosts"
    )]
    NotListed,
    /// A private, link-local, metadata or in-cluster address.
    #[error(
        "this host is inside the cluster or a private network, which a resource may not name; if it is meant, ask for it to be \
         added to --allowed-api-hosts"
    )]
    Internal,
}

/// A string that is no host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be host names separated by commas, such as api.example.com or *.example.com, without scheme or port"
)]
pub struct HostPatternError;

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().to_ascii_lowercase();
        let name = text.strip_prefix("*.").unwrap_or(&text);
        match Host::parse(name) {
            Ok(_) if !name.contains('*') => Ok(Self(text)),
            _ => Err(HostPatternError),
        }
    }
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(domain) => host.len() > domain.len() && host.ends_with(domain),
            None => host == self.0,
        }
    }
}

impl HostPolicy {
    /// Tenants may name the host and port of `own_url` always, and otherwise only what `allowed` lists; with an empty list, any host
    /// of the public internet. `loopback` adds the loopback interface, for trying the operator against a fake.
    pub fn new(own_url: &str, allowed: Vec<HostPattern>, loopback: bool) -> Self {
        Self {
            own: place_of(own_url),
            allowed,
            loopback,
        }
    }

    /// How far a client for this URL may reach.
    ///
    /// # Errors
    ///
    /// [`HostRefusal`] when it may not be called at all.
    pub fn reach(&self, url: &str) -> Result<Reach, HostRefusal> {
        let (host, port) = place_of(url).ok_or(HostRefusal::Internal)?;
        let is_own = self
            .own
            .as_ref()
            .is_some_and(|(own, own_port)| *own == host && *own_port == port);
        if is_own || self.allowed.iter().any(|pattern| pattern.matches(&host)) {
            return Ok(Reach::Anywhere);
        }
        if !self.allowed.is_empty() {
            return Err(HostRefusal::NotListed);
        }
        let reach = Reach::Public {
            loopback: self.loopback,
        };
        let fits = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => reach.includes(address),
            Err(_) => !is_cluster_name(&host) || (self.loopback && host == "localhost"),
        };
        if fits {
            Ok(reach)
        } else {
            Err(HostRefusal::Internal)
        }
    }
}

/// A name that only the cluster's own DNS, or a search path, resolves.
fn is_cluster_name(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let internal = [".local", ".internal", ".localhost", ".svc"];
    !host.contains('.') || internal.iter().any(|suffix| host.ends_with(suffix))
}

/// Host and port: on another port of the same host, something else listens.
fn place_of(url: &str) -> Option<(String, Option<u16>)> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.to_ascii_lowercase();
    Some((host, url.port_or_known_default()))
}

impl Reach {
    fn includes(self, address: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Public { loopback } => {
                is_public(address) || (loopback && address.to_canonical().is_loopback())
            }
        }
    }

    /// A resolver that knows no other addresses. A name is looked up at every connection, so one that changes its address after it
    /// was checked gains nothing.
    pub(crate) fn resolver(self) -> Option<Arc<dyn Resolve>> {
        match self {
            Self::Anywhere => None,
            Self::Public { .. } => Some(Arc::new(Fence(self))),
        }
    }
}

/// Whether an address belongs to the public internet, by the registries of special-purpose addresses (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let carrier = a == 100 && (64..128).contains(&b);
    let protocols = a == 192 && b == 0 && c == 0;
    let benchmarks = a == 198 && (b == 18 || b == 19);
    !(a == 0
        || a >= 240
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || carrier
        || protocols
        || benchmarks)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Global unicast is 2000::/3. Inside it, 2001::/23 is for protocols, 2001:db8::/32 for documentation, and 2002::/16 and
    // 64:ff9b::/96 carry IPv4 addresses that would escape the checks above.
    (0x2000..0x4000).contains(&first)
        && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        && first != 0x2002
}

struct Fence(Reach);

impl Resolve for Fence {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let fit: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| reach.includes(address.ip()))
                .collect();
            if fit.is_empty() {
                return Err(HostRefusal::Internal.into());
            }
            let addresses: Addrs = Box::new(fit.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowed: &[&str], loopback: bool) -> HostPolicy {
        let allowed = allowed
            .iter()
            .map(|text| text.parse().expect("a pattern"))
            .collect();
        HostPolicy::new("https://own.example.com/api/v1", allowed, loopback)
    }

    #[test]
    fn what_lies_inside_is_refused_and_the_public_internet_is_not() {
        let inside = [
            "https://169.254.169.254",
            "https://10.96.0.1",
            "https://192.168.1.1",
            "https://172.16.0.1",
            "https://100.64.0.1",
            "https://127.0.0.1",
            "https://0.0.0.0",
            "https://[::1]",
            "https://[fe80::1]",
            "https://[fd00:ec2::254]",
            "https://[::ffff:169.254.169.254]",
            "https://[64:ff9b::a9fe:a9fe]",
            "https://2852039166",
            "https://0x7f.1",
            "https://kubernetes",
            "https://localhost",
            "https://metadata.google.internal",
            "https://api.default.svc",
            "https://api.default.svc.cluster.local",
            "https://api.default.svc.cluster.local.",
        ];
        for url in inside {
            assert_eq!(
                policy(&[], false).reach(url),
                Err(HostRefusal::Internal),
                "{url}"
            );
        }
        for url in [
            "https://platform.unstructuredapp.io",
            "https://8.8.8.8",
            "https://[2606:4700::1]",
        ] {
            assert_eq!(
                policy(&[], false).reach(url),
                Ok(Reach::Public { loopback: false }),
                "{url}"
            );
        }
    }

    #[test]
    fn a_list_admits_what_it_names_and_nothing_else_but_the_operators_own_host() {
        let policy = policy(&["api.tenant.example", "*.corp.example", "10.0.0.7"], false);
        for url in [
            "https://api.tenant.example",
            "https://a.b.corp.example/x",
            "https://10.0.0.7:8443",
            "https://own.example.com",
        ] {
            assert_eq!(policy.reach(url), Ok(Reach::Anywhere), "{url}");
        }
        for url in [
            "https://corp.example",
            "https://evilcorp.example",
            "https://tenant.example",
            "https://8.8.8.8",
        ] {
            assert_eq!(policy.reach(url), Err(HostRefusal::NotListed), "{url}");
        }
    }

    #[test]
    fn the_operators_own_host_is_admitted_on_its_own_port_only() {
        let own = |allowed: &[&str]| HostPolicy {
            own: place_of("https://unstructured.corp.internal:8443/api/v1"),
            ..policy(allowed, false)
        };
        for url in [
            "https://unstructured.corp.internal:8443",
            "https://UNSTRUCTURED.corp.internal:8443/elsewhere",
        ] {
            assert_eq!(own(&[]).reach(url), Ok(Reach::Anywhere), "{url}");
        }
        for url in [
            "https://unstructured.corp.internal",
            "https://unstructured.corp.internal:443",
            "https://unstructured.corp.internal:6443",
            "http://unstructured.corp.internal:8080",
        ] {
            assert_eq!(own(&[]).reach(url), Err(HostRefusal::Internal), "{url}");
            let listed = own(&["api.example.com"]).reach(url);
            assert_eq!(listed, Err(HostRefusal::NotListed), "{url}");
        }
        let implied = policy(&["api.example.com"], false);
        assert_eq!(
            implied.reach("https://own.example.com:443"),
            Ok(Reach::Anywhere)
        );
        assert_eq!(
            implied.reach("https://own.example.com:22"),
            Err(HostRefusal::NotListed)
        );
    }

    #[test]
    fn loopback_is_reached_only_where_it_is_allowed() {
        for url in [
            "http://127.0.0.1:8000",
            "http://localhost:8000",
            "http://[::1]:8000",
        ] {
            assert_eq!(
                policy(&[], true).reach(url),
                Ok(Reach::Public { loopback: true }),
                "{url}"
            );
        }
        assert_eq!(
            policy(&[], true).reach("http://10.0.0.1"),
            Err(HostRefusal::Internal)
        );
    }

    #[test]
    fn a_pattern_is_a_host_and_nothing_more() {
        for text in [
            "",
            "https://host",
            "host/path",
            "host:443",
            "*",
            "a.*.b",
            "*.*.b",
            "a b",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_resolved() {
        let fence = Fence(Reach::Public { loopback: false });
        let refused = fence.resolve("localhost".parse().expect("a name")).await;
        assert!(refused.is_err());
        let allowed = Fence(Reach::Public { loopback: true })
            .resolve("localhost".parse().expect("a name"))
            .await;
        assert!(
            allowed.is_ok_and(|mut addresses| addresses.all(|address| address.ip().is_loopback()))
        );
    }
}
