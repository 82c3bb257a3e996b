//! What a message of ttrpc says: a call, or its answer.

use bytes::Bytes;
use prost::Message as _;

use super::wire::{Kind, Message, Service};

#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    #[prost(string, tag = "1")]
    pub service: String,
    #[prost(string, tag = "2")]
    pub method: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Response {
    /// None, or a code of 0: it went well.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}

/// gRPC's code for a method that is not served.
const UNIMPLEMENTED: i32 = 12;

/// Asks the runtime.
pub fn call(stream: u32, service: &str, method: &str, payload: &impl prost::Message) -> Message {
    let payload = payload.encode_to_vec().into();
    let request = Request { service: service.to_owned(), method: method.to_owned(), payload };
    Message { service: Service::Runtime, kind: Kind::Request, stream, data: request.encode_to_vec().into() }
}

/// Answers the runtime.
pub fn answer(stream: u32, payload: Vec<u8>) -> Message {
    let response = Response { status: None, payload: payload.into() };
    Message { service: Service::Plugin, kind: Kind::Response, stream, data: response.encode_to_vec().into() }
}

pub fn unserved(stream: u32) -> Message {
    let status = Status { code: UNIMPLEMENTED, message: "remora does not serve this method".to_owned() };
    let response = Response { status: Some(status), payload: Bytes::new() };
    Message { service: Service::Plugin, kind: Kind::Response, stream, data: response.encode_to_vec().into() }
}
