//! Local and remote hosts.

use std::net::IpAddr;

use url::Host;

/// Returns true if data sent to `host` stays on this machine. It resolves no names.
pub fn is_local<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref().eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => IpAddr::from(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::from(*address).is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_localhost_and_loopback_addresses_are_local() {
        for (text, expected) in [
            ("localhost", true),
            ("LocalHost", true),
            ("127.0.0.1", true),
            ("127.255.255.254", true),
            ("[::1]", true),
            ("localhost.example.test", false),
            ("127.0.0.1.example.test", false),
            ("0.0.0.0", false),
            ("10.0.0.1", false),
            ("[::ffff:8.8.8.8]", false),
        ] {
            assert_eq!(is_local(&Host::parse(text).unwrap()), expected, "{text}");
        }
    }
}
