//! Which proxy a URL is reached through: `HTTPS_PROXY` and `NO_PROXY`, read as kubectl and everything else in Go reads them
//! (`golang.org/x/net/http/httpproxy`), whichever side is called.

use std::env;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

/// A proxy. It shows as host and port, never with its password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy(Url);

/// The variable names no proxy. The text does not repeat it: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "HTTPS_PROXY is no URL of a proxy; write it like http://proxy.example.com:3128, or unset it"
)]
pub(crate) struct ProxyError;

/// What the variables say.
struct Rules {
    proxy: Option<Proxy>,
    exempt: Vec<Exempt>,
}

/// An entry of `NO_PROXY`: a URL that it fits is reached without the proxy.
#[derive(Debug, PartialEq, Eq)]
enum Exempt {
    /// `*`
    All,
    /// `10.0.0.0/8`
    Network(IpNet),
    /// `10.0.0.1`, `10.0.0.1:6443`
    Address(IpAddr, Option<u16>),
    /// `example.com`, `.example.com`, `*.example.com`, each with a port or without.
    Domain {
        /// With a dot in front.
        suffix: String,
        /// Whether the domain itself is meant too.
        itself: bool,
        port: Option<u16>,
    },
}

/// The proxy that a URL is reached through, if it is through one. Plain `http://` never is: a proxy would read the credentials.
pub(crate) fn of(url: &Url) -> Result<Option<Proxy>, ProxyError> {
    let variable = |names: [&str; 2]| {
        let mut values = names.into_iter().filter_map(|name| env::var(name).ok());
        values.find(|value| !value.is_empty()).unwrap_or_default()
    };
    let rules = Rules::new(
        &variable(["HTTPS_PROXY", "https_proxy"]),
        &variable(["NO_PROXY", "no_proxy"]),
    )?;
    Ok(rules.of(url))
}

// === impl Proxy ===

impl Proxy {
    /// Reads `http://host:port`, or `host:port`, which means the same.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        let text = text.trim();
        let whole = Url::parse(text).ok().filter(Url::has_host);
        let url = match whole {
            Some(url) => url,
            None if text.contains("://") => return Err(ProxyError),
            None => Url::parse(&format!("http://{text}")).map_err(|_| ProxyError)?,
        };
        match url.scheme() {
            "http" | "https" => Ok(Self(url)),
            _ => Err(ProxyError),
        }
    }

    /// Its URL, with the user name and password that it has.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.host_str().unwrap_or_default())?;
        match self.0.port_or_known_default() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

// === impl Rules ===

impl Rules {
    fn new(proxy: &str, exempt: &str) -> Result<Self, ProxyError> {
        Ok(Self {
            proxy: match proxy.trim() {
                "" => None,
                proxy => Some(Proxy::parse(proxy)?),
            },
            exempt: exempt.split(',').filter_map(Exempt::parse).collect(),
        })
    }

    fn of(&self, url: &Url) -> Option<Proxy> {
        let port = url.port_or_known_default()?;
        let (name, address) = match url.host()? {
            Host::Domain(name) => (name.to_ascii_lowercase(), None),
            Host::Ipv4(address) => (address.to_string(), Some(IpAddr::from(address))),
            Host::Ipv6(address) => (address.to_string(), Some(IpAddr::from(address))),
        };
        let is_local = name == "localhost"
            || address.is_some_and(|address| address.to_canonical().is_loopback());
        let is_direct = url.scheme() != "https"
            || is_local
            || self
                .exempt
                .iter()
                .any(|exempt| exempt.fits(&name, address, port));
        self.proxy.clone().filter(|_| !is_direct)
    }
}

// === impl Exempt ===

impl Exempt {
    /// `None` for what says nothing: an empty entry, or a port alone.
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_ascii_lowercase();
        if entry == "*" {
            return Some(Self::All);
        }
        if let Ok(network) = entry.parse() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = entry.parse() {
            return Some(Self::Address(address, None));
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (entry.as_str(), None),
        };
        let bare = host.trim_matches(['[', ']']);
        if let Ok(address) = bare.parse() {
            return Some(Self::Address(address, port));
        }
        let domain = host.strip_prefix('*').filter(|rest| rest.starts_with('.'));
        let domain = domain.unwrap_or(host);
        if domain.is_empty() {
            return None;
        }
        let itself = !domain.starts_with('.');
        let dot = if itself { "." } else { "" };
        Some(Self::Domain {
            suffix: format!("{dot}{domain}"),
            itself,
            port,
        })
    }

    fn fits(&self, name: &str, address: Option<IpAddr>, port: u16) -> bool {
        let address = address.map(|address| address.to_canonical());
        let this_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::All => true,
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Address(wanted, wanted_port) => {
                address == Some(wanted.to_canonical()) && this_port(wanted_port)
            }
            Self::Domain {
                suffix,
                itself,
                port: wanted_port,
            } => {
                (name.ends_with(suffix) || (*itself && name == &suffix[1..]))
                    && this_port(wanted_port)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "http://user:hunter2@proxy.corp:3128";

    fn is_direct(exempt: &str, url: &str) -> bool {
        let rules = Rules::new(PROXY, exempt).unwrap();
        rules.of(&Url::parse(url).unwrap()).is_none()
    }

    /// The table of Go's own tests, in its form: what `NO_PROXY` is in them, and what goes direct.
    #[test]
    fn no_proxy_exempts_what_it_exempts_in_go() {
        const NO_PROXY: &str = "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, \
            2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64,,<local>, :8080,";
        for (host, direct) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.0.0.2", true),
            ("[::1]", true),
            ("[::2]", false),
            ("192.168.1.1", true),
            ("192.168.1.2", false),
            ("192.168.1.2:81", true),
            ("192.168.1.3", false),
            ("192.168.1.3:80", true),
            ("192.168.1.4", false),
            ("10.0.0.2", true),
            ("10.0.0.4", false),
            ("[::ffff:10.0.0.2]", true),
            ("[2001:db8::52:0:1]", true),
            ("[2001:db8::52:0:2]", true),
            ("[2001:db8::52:0:2]:444", false),
            ("[2001:db8::52:0:3]", false),
            ("[2002:db8:a::123]", true),
            ("[fe80::424b:c8be:1643:a1b6]", false),
            ("barbaz.net", false),
            ("www.barbaz.net", true),
            ("wildcard.io", false),
            ("nested.wildcard.io", true),
            ("awildcard.io", false),
            ("foobar.com", true),
            ("www.foobar.com", true),
            ("FOOBAR.com", true),
            ("foofoobar.com", false),
            ("baz.com", false),
            ("localhost.net", false),
            ("local.localhost", false),
            ("barbarbaz.net", false),
            ("proxy.corp", false),
        ] {
            assert_eq!(
                is_direct(NO_PROXY, &format!("https://{host}/")),
                direct,
                "{host}"
            );
        }
    }

    #[test]
    fn a_port_limits_an_entry_and_a_star_exempts_all() {
        for (exempt, url, direct) in [
            ("example.com:6443", "https://example.com:6443", true),
            ("example.com:6443", "https://a.example.com:6443", true),
            ("example.com:6443", "https://example.com", false),
            ("example.com:", "https://example.com", true),
            ("example.com:any", "https://example.com", false),
            ("a,*,b", "https://example.com", true),
            ("*", "https://10.0.0.1", true),
            ("", "https://example.com", false),
            (",", "https://example.com", false),
            ("", "http://example.com", true),
        ] {
            assert_eq!(is_direct(exempt, url), direct, "{exempt} {url}");
        }
    }

    #[test]
    fn a_proxy_is_a_url_or_host_and_port_and_shows_no_password() {
        for (text, shown) in [
            (PROXY, "proxy.corp:3128"),
            ("proxy.corp:3128", "proxy.corp:3128"),
            ("localhost:3128", "localhost:3128"),
            ("https://proxy.corp", "proxy.corp:443"),
            ("http://[fd00::1]:3128/", "[fd00::1]:3128"),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.to_string(), shown);
            assert!(!format!("{proxy:?}").contains("hunter2"));
        }
        for wrong in ["socks5://proxy.corp", "http://", "://", "a b"] {
            assert_eq!(Proxy::parse(wrong), Err(ProxyError), "{wrong}");
        }
        let none = Rules::new("", "").unwrap();
        assert_eq!(none.of(&Url::parse("https://example.com").unwrap()), None);
    }
}
