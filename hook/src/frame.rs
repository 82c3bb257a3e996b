//! One frame: four bytes that name protocol and version, four of length (big endian), then JSON.

use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};

/// Protocol name and version; a peer of another version is told so instead of being misread.
pub const MAGIC: [u8; 4] = *b"RMR1";
/// Largest body that either side accepts, in bytes.
pub const MAX_FRAME: usize = 256 * 1024;

#[derive(Debug)]
pub enum FrameError {
    Io(io::Error),
    /// The first bytes were not ours, or of another version.
    Magic([u8; 4]),
    TooLarge(usize),
    Json(serde_json::Error),
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(e) => write!(f, "failed to transfer frame: {e}"),
            Self::Magic(m) => write!(f, "failed to read frame: starts with {m:02x?}, expected {MAGIC:02x?}"),
            Self::TooLarge(n) => write!(f, "failed to read frame: {n} bytes, at most {MAX_FRAME} allowed"),
            Self::Json(e) => write!(f, "failed to parse frame: {e}"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<io::Error> for FrameError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// The bytes of one frame.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut out, value).map_err(FrameError::Json)?;
    let body = out.len() - 8;
    if body > MAX_FRAME {
        return Err(FrameError::TooLarge(body));
    }
    out[4..8].copy_from_slice(&(body as u32).to_be_bytes());
    Ok(out)
}

/// Length of the body that a header announces.
pub fn body_len(header: [u8; 8]) -> Result<usize, FrameError> {
    let (magic, len) = header.split_at(4);
    let magic: [u8; 4] = magic.try_into().expect("split at 4");
    if magic != MAGIC {
        return Err(FrameError::Magic(magic));
    }
    let len = u32::from_be_bytes(len.try_into().expect("the other 4")) as usize;
    if len > MAX_FRAME { Err(FrameError::TooLarge(len)) } else { Ok(len) }
}

pub fn write_frame<T: Serialize>(to: &mut impl Write, value: &T) -> Result<(), FrameError> {
    Ok(to.write_all(&encode(value)?)?)
}

pub fn read_frame<T: DeserializeOwned>(from: &mut impl Read) -> Result<T, FrameError> {
    let mut header = [0; 8];
    from.read_exact(&mut header)?;
    let mut body = vec![0; body_len(header)?];
    from.read_exact(&mut body)?;
    serde_json::from_slice(&body).map_err(FrameError::Json)
}
