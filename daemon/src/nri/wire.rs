//! Bytes on the socket. The trunk carries frames of two logical connections (4 bytes connection, 4 bytes length), and
//! each of those a stream of ttrpc messages (4 bytes length, 4 bytes stream, 1 byte kind, 1 byte flags). No bytes are
//! kept beyond one unfinished message of each connection.

use bytes::{Buf, Bytes, BytesMut};

/// Largest message, as ttrpc has it.
pub const MAX_MESSAGE: usize = 4 << 20;
const MESSAGE_HEADER: usize = 10;
const FRAME_HEADER: usize = 8;
/// Runtimes read the trunk through a buffer of this size, and fail on a frame that does not fit.
const MAX_CHUNK: usize = 4096;
/// Above this an emptied buffer's memory is given back.
const KEEP: usize = 64 << 10;

/// A logical connection, by who serves on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The runtime asks, we answer.
    Plugin = 1,
    /// We ask, the runtime answers.
    Runtime = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Request = 1,
    Response = 2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub service: Service,
    pub kind: Kind,
    pub stream: u32,
    pub data: Bytes,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("a frame for connection {0}, which there is none")]
    Connection(u32),
    #[error("a frame of {0} bytes, more than the {max} there may be", max = MAX_MESSAGE + MESSAGE_HEADER)]
    Frame(u32),
    #[error("a message of {0} bytes, more than the {MAX_MESSAGE} there may be")]
    Message(u32),
    #[error("a message of kind {0}, neither request nor response")]
    Kind(u8),
}

impl Message {
    /// As frames, each with a part of it.
    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.data.len()).expect("a message of ours is small");
        let mut message = Vec::with_capacity(MESSAGE_HEADER + self.data.len());
        message.extend(length.to_be_bytes());
        message.extend(self.stream.to_be_bytes());
        message.extend([self.kind as u8, 0]);
        message.extend_from_slice(&self.data);
        let frames = message.chunks(MAX_CHUNK).flat_map(|chunk| {
            let length = u32::try_from(chunk.len()).expect("a chunk is small");
            let header = [(self.service as u32).to_be_bytes(), length.to_be_bytes()].concat();
            [header.as_slice(), chunk].concat()
        });
        frames.collect()
    }
}

/// Puts together what arrives in pieces.
#[derive(Debug, Default)]
pub struct Incoming {
    /// As read, and not yet told apart.
    pub raw: BytesMut,
    /// Whose frame is being read, and how much of it is missing.
    frame: Option<(Service, usize)>,
    streams: [BytesMut; 2],
}

impl Incoming {
    /// The next whole message, if one is there.
    pub fn next(&mut self) -> Result<Option<Message>, WireError> {
        loop {
            for service in [Service::Plugin, Service::Runtime] {
                if let Some(message) = cut(service, self.stream(service))? {
                    return Ok(Some(message));
                }
            }
            if !self.sort()? {
                return Ok(None);
            }
        }
    }

    /// Whether something began that has not ended.
    pub fn unfinished(&self) -> bool {
        self.frame.is_some() || !self.raw.is_empty() || self.streams.iter().any(|s| !s.is_empty())
    }

    fn stream(&mut self, service: Service) -> &mut BytesMut {
        &mut self.streams[service as usize - 1]
    }

    /// Moves what is there of a frame to where it belongs; whether anything moved.
    fn sort(&mut self) -> Result<bool, WireError> {
        let Some((service, missing)) = self.frame else { return self.begin() };
        let there = missing.min(self.raw.len());
        if there == 0 {
            return Ok(false);
        }
        let part = self.raw.split_to(there);
        self.stream(service).extend_from_slice(&part);
        self.frame = (there < missing).then_some((service, missing - there));
        Ok(true)
    }

    fn begin(&mut self) -> Result<bool, WireError> {
        if self.raw.len() < FRAME_HEADER {
            return Ok(false);
        }
        let (connection, length) = (self.raw.get_u32(), self.raw.get_u32());
        let service = match connection {
            1 => Service::Plugin,
            2 => Service::Runtime,
            other => return Err(WireError::Connection(other)),
        };
        if length as usize > MAX_MESSAGE + MESSAGE_HEADER {
            return Err(WireError::Frame(length));
        }
        self.frame = (length > 0).then_some((service, length as usize));
        Ok(true)
    }
}

fn cut(service: Service, stream: &mut BytesMut) -> Result<Option<Message>, WireError> {
    if stream.len() < MESSAGE_HEADER {
        return Ok(None);
    }
    let mut header = &stream[..MESSAGE_HEADER];
    let (length, id, kind) = (header.get_u32(), header.get_u32(), header.get_u8());
    if length as usize > MAX_MESSAGE {
        return Err(WireError::Message(length));
    }
    let kind = match kind {
        1 => Kind::Request,
        2 => Kind::Response,
        other => return Err(WireError::Kind(other)),
    };
    let end = MESSAGE_HEADER + length as usize;
    if stream.len() < end {
        return Ok(None);
    }
    let data = stream.split_to(end).freeze().slice(MESSAGE_HEADER..);
    if stream.is_empty() && stream.capacity() > KEEP {
        *stream = BytesMut::new();
    }
    Ok(Some(Message { service, kind, stream: id, data }))
}

#[cfg(test)]
mod tests;
