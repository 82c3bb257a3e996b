//! Addresses and ports by what they mean to a container.

use std::net::IpAddr;

/// First port that systems choose themselves.
const EPHEMERAL: u64 = 32_768;

/// The class, and the network within it where that says more.
pub fn address(text: &str) -> (&'static str, Option<String>) {
    let Ok(address) = text.parse::<IpAddr>() else { return ("unknown", None) };
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            let network = || Some(format!("{a}.{b}.0.0/16"));
            match (a, b) {
                (169, 254) if [c, d] == [169, 254] => ("metadata", None),
                (100, 100) if [c, d] == [100, 200] => ("metadata", None),
                (127, _) => ("loopback", None),
                (169, 254) => ("link-local", None),
                (0, _) => ("any", None),
                (10, _) | (172, 16..=31) | (192, 168) | (100, 64..=127) => ("private", network()),
                (224..=239, _) => ("multicast", None),
                (255, 255) => ("broadcast", None),
                _ => ("internet", network()),
            }
        }
        IpAddr::V6(v6) => {
            let s = v6.segments();
            let network = || Some(format!("{:x}:{:x}::/32", s[0], s[1]));
            match s[0] {
                _ if v6.is_loopback() => ("loopback", None),
                _ if v6.is_unspecified() => ("any", None),
                0xfd00 if s[1] == 0x0ec2 && s[7] == 0x0254 => ("metadata", None),
                0xfe80..=0xfebf => ("link-local", None),
                0xff00..=0xffff => ("multicast", None),
                0xfc00..=0xfdff => ("private", network()),
                _ => ("internet", network()),
            }
        }
    }
}

pub fn port(number: u64) -> String {
    if number < EPHEMERAL { number.to_string() } else { "ephemeral".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_classes() {
        for (text, class, network) in [
            ("127.0.0.53", "loopback", None),
            ("::1", "loopback", None),
            ("10.1.2.3", "private", Some("10.1.0.0/16")),
            ("::ffff:192.168.4.5", "private", Some("192.168.0.0/16")),
            ("169.254.169.254", "metadata", None),
            ("fd00:ec2::254", "metadata", None),
            ("169.254.1.1", "link-local", None),
            ("93.184.216.34", "internet", Some("93.184.0.0/16")),
            ("2001:db8::1", "internet", Some("2001:db8::/32")),
            ("0.0.0.0", "any", None),
            ("::", "any", None),
            ("224.0.0.251", "multicast", None),
            ("nonsense", "unknown", None),
        ] {
            assert_eq!(address(text), (class, network.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn ports_that_the_kernel_chooses_are_one() {
        assert_eq!((port(443), port(4444), port(32_768)), ("443".into(), "4444".into(), "ephemeral".into()));
    }
}
