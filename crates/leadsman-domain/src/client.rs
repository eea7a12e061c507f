//! What a client says and where it calls from, reduced to what stays the same from call to call.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest product name of a user agent that is kept, in bytes.
const MAX_PRODUCT: usize = 64;

/// A user agent's product and major version: `kubectl/v1.33.0 (linux/amd64)` is `kubectl/1`.
///
/// The text is the client's own: good for noticing a change, never for recognising anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserAgent<'a> {
    /// What stands before the first `/` or blank, at most 64 bytes of it.
    pub product: &'a str,
    /// First number of what follows the `/`, if it begins with one.
    pub major: Option<u32>,
}

impl<'a> UserAgent<'a> {
    /// Reads the first product of a `User-Agent` header.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        let text = text.trim_start();
        let end = text.find(['/', ' ', '\t']).unwrap_or(text.len());
        let (product, rest) = text.split_at(end);
        let product = &product[..product.floor_char_boundary(MAX_PRODUCT)];
        let version = rest.strip_prefix('/').unwrap_or_default();
        let version = version.strip_prefix('v').unwrap_or(version);
        let digits = version.bytes().take_while(u8::is_ascii_digit).count();
        Self { product, major: version[..digits].parse().ok() }
    }
}

impl fmt::Display for UserAgent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", crate::Untrusted::new(self.product))?;
        match self.major {
            Some(major) => write!(f, "/{major}"),
            None => Ok(()),
        }
    }
}

/// An address range: `10.244.0.0/16`, `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is not an address range.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an address range of the form address/prefix length")]
pub struct NetworkError;

impl Network {
    /// The range of the first `prefix` bits of `address`; longer prefixes count as the whole address.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        match address {
            IpAddr::V4(a) => {
                let prefix = prefix.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                Self { address: Ipv4Addr::from_bits(a.to_bits() & mask).into(), prefix }
            }
            IpAddr::V6(a) => {
                let prefix = prefix.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Self { address: Ipv6Addr::from_bits(a.to_bits() & mask).into(), prefix }
            }
        }
    }

    /// Whether `address` lies in the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && Self::new(address, self.prefix) == *self
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').ok_or(NetworkError)?;
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let prefix: u8 = prefix.parse().map_err(|_| NetworkError)?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        if prefix > max { Err(NetworkError) } else { Ok(Self::new(address, prefix)) }
    }
}

/// What kind of network an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceClass {
    /// The machine itself.
    Loopback,
    /// The same wire; cloud metadata services are here too.
    LinkLocal,
    /// A network declared as the pods' own.
    Pod,
    /// RFC 1918, RFC 4193 and the shared range of RFC 6598.
    Private,
    /// Everything else.
    Public,
}

impl SourceClass {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::LinkLocal => "link_local",
            Self::Pod => "pod",
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

/// A source address reduced to its kind and network: /24 of IPv4, /48 of IPv6.
///
/// People and nodes change the rest within their network; a /48 is what one site is given (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Kind of network.
    pub class: SourceClass,
    /// The network.
    pub network: Network,
}

impl Source {
    /// Reads an address, with or without a port; `pods` are the declared networks of pods.
    ///
    /// `None` when `text` is no address: Google writes `private` and `gce-internal-ip` in its place.
    #[must_use]
    pub fn parse(text: &str, pods: &[Network]) -> Option<Self> {
        let text = text.trim();
        let address = text.parse().or_else(|_| text.parse().map(|socket: core::net::SocketAddr| socket.ip())).ok()?;
        Some(Self::of(address, pods))
    }

    /// The source that `address` belongs to. An IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn of(address: IpAddr, pods: &[Network]) -> Self {
        let address = address.to_canonical();
        let class = if address.is_loopback() {
            SourceClass::Loopback
        } else if is_link_local(address) {
            SourceClass::LinkLocal
        } else if pods.iter().any(|n| n.contains(address)) {
            SourceClass::Pod
        } else if is_private(address) {
            SourceClass::Private
        } else {
            SourceClass::Public
        };
        Self { class, network: Network::new(address, if address.is_ipv4() { 24 } else { 48 }) }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let [first, second, ..] = a.octets();
            a.is_private() || first == 100 && second & 0xc0 == 64
        }
        IpAddr::V6(a) => a.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn user_agents_keep_product_and_major() {
        for (text, want) in [
            ("kubectl/v1.33.0 (linux/amd64) kubernetes/60a317e", "kubectl/1"),
            ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5"),
            ("Go-http-client/2.0", "Go-http-client/2"),
            ("kube-probe/1.30", "kube-probe/1"),
            ("argo-workflows/untagged argo-api", "argo-workflows"),
            ("curl", "curl"),
            ("a/99999999999", "a"),
            ("", ""),
            ("\u{202e}x/v2", "\\u{202e}x/2"),
        ] {
            assert_eq!(UserAgent::parse(text).to_string(), want, "{text}");
        }
    }

    #[test]
    fn sources_are_classed_and_cut_to_their_network() {
        let pods = ["10.244.0.0/16".parse().unwrap(), "fd00:10::/32".parse().unwrap()];
        for (text, class, network) in [
            ("127.0.0.1", SourceClass::Loopback, "127.0.0.0/24"),
            ("::1", SourceClass::Loopback, "::/48"),
            ("169.254.169.254", SourceClass::LinkLocal, "169.254.169.0/24"),
            ("fe80::1", SourceClass::LinkLocal, "fe80::/48"),
            ("10.244.3.7", SourceClass::Pod, "10.244.3.0/24"),
            ("fd00:10::7", SourceClass::Pod, "fd00:10::/48"),
            ("10.0.0.7", SourceClass::Private, "10.0.0.0/24"),
            ("172.31.255.1", SourceClass::Private, "172.31.255.0/24"),
            ("100.64.1.2", SourceClass::Private, "100.64.1.0/24"),
            ("100.128.1.2", SourceClass::Public, "100.128.1.0/24"),
            ("203.0.113.9", SourceClass::Public, "203.0.113.0/24"),
            ("::ffff:203.0.113.9", SourceClass::Public, "203.0.113.0/24"),
            ("203.0.113.9:6443", SourceClass::Public, "203.0.113.0/24"),
            ("[2001:db8:1:2::3]:6443", SourceClass::Public, "2001:db8:1::/48"),
        ] {
            let source = Source::parse(text, &pods).unwrap();
            assert_eq!((source.class, source.network.to_string().as_str()), (class, network), "{text}");
        }
        for text in ["", "private", "gce-internal-ip", "1.2.3", "1.2.3.4/24"] {
            assert_eq!(Source::parse(text, &pods), None, "{text}");
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/-1"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_network_contains_what_it_was_cut_from(bits in any::<u128>(), prefix in 0..=200u8, v4 in any::<bool>()) {
            let address =
                if v4 { IpAddr::V4(Ipv4Addr::from_bits(bits as u32)) } else { IpAddr::V6(Ipv6Addr::from_bits(bits)) };
            let network = Network::new(address, prefix);
            prop_assert!(network.contains(address));
            prop_assert_eq!(network.to_string().parse(), Ok(network));
        }

        #[test]
        fn any_user_agent_is_bounded(text in ".*") {
            let agent = UserAgent::parse(&text);
            prop_assert!(agent.product.len() <= MAX_PRODUCT);
            prop_assert!(text.trim_start().starts_with(agent.product));
        }
    }
}
