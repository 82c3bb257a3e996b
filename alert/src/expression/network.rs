//! Networks of addresses: `10.0.0.0/8`, `fe80::/10`, or one address.

use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    bits: u128,
    mask: u128,
    v4: bool,
}

impl Network {
    pub fn new(text: &str) -> Result<Self, String> {
        let error = || format!("{text:?} is no network such as 10.0.0.0/8");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().map_err(|_| error())?)),
            None => (text, None),
        };
        let (bits, v4) = bits(address).ok_or_else(error)?;
        let whole = if v4 { 32 } else { 128 };
        let length = length.unwrap_or(whole);
        if length > whole {
            return Err(error());
        }
        // IPv4 lies in the last 32 bits.
        let host = whole - length;
        let mask = if host == 128 { 0 } else { u128::MAX << host };
        Ok(Self { bits: bits & mask, mask, v4 })
    }

    /// Nothing where the text is no address.
    pub fn has(&self, address: &str) -> Option<bool> {
        let (bits, v4) = bits(address)?;
        Some(v4 == self.v4 && bits & self.mask == self.bits)
    }
}

/// IPv4 within IPv6 is IPv4.
fn bits(address: &str) -> Option<(u128, bool)> {
    match address.parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(address) => Some((u128::from(address.to_bits()), true)),
        IpAddr::V6(address) => Some((address.to_bits(), false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_networks_of_their_kind() {
        for (network, address, want) in [
            ("10.0.0.0/8", "10.255.0.1", Some(true)),
            ("10.0.0.0/8", "11.0.0.1", Some(false)),
            ("10.1.2.3/8", "10.0.0.1", Some(true)),
            ("10.0.0.0/8", "::ffff:10.0.0.1", Some(true)),
            ("0.0.0.0/0", "8.8.8.8", Some(true)),
            ("0.0.0.0/0", "::1", Some(false)),
            ("::/0", "2001:db8::1", Some(true)),
            ("fe80::/10", "fe80::1", Some(true)),
            ("169.254.169.254", "169.254.169.254", Some(true)),
            ("10.0.0.0/8", "", None),
            ("10.0.0.0/8", "ten", None),
        ] {
            assert_eq!(Network::new(network).unwrap().has(address), want, "{network} {address}");
        }
        for bad in ["", "10.0.0.0/33", "x/8", "::/129", "10.0.0.0/", "10.0.0.0/-1"] {
            Network::new(bad).unwrap_err();
        }
    }
}
