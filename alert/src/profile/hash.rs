//! FNV-1a: the same everywhere and always, as files have hashes of containers' ids.

const START: u64 = 0xcbf2_9ce4_8422_2325;

pub fn of(bytes: &[u8]) -> u64 {
    more(START, bytes)
}

/// Of several things one after the other.
pub fn more(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, &b: &u8| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    // Ends with a byte that UTF-8 does not have, so that two texts are not taken for another two.
    step(bytes.iter().fold(hash, step), &0xff)
}
