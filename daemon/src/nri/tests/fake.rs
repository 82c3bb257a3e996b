//! The runtime's side, with a codec of its own.

use std::collections::VecDeque;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::ttrpc::{Request, Response};
use super::*;

pub struct Runtime {
    pub socket: UnixStream,
    /// Bytes of both connections.
    streams: [VecDeque<u8>; 2],
    stream: u32,
}

impl Runtime {
    pub fn new(socket: UnixStream) -> Self {
        Self { socket, streams: Default::default(), stream: 0 }
    }

    /// One whole message of a connection: its stream, kind and content.
    pub async fn receive(&mut self, connection: usize) -> (u32, u8, Vec<u8>) {
        loop {
            let bytes = &mut self.streams[connection - 1];
            if bytes.len() >= 10 {
                let head: Vec<u8> = bytes.iter().copied().take(10).collect();
                let length = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
                if bytes.len() >= 10 + length {
                    let data = bytes.drain(..10 + length).skip(10).collect();
                    return (u32::from_be_bytes(head[4..8].try_into().unwrap()), head[8], data);
                }
            }
            let (to, length) = (self.socket.read_u32().await.unwrap(), self.socket.read_u32().await.unwrap());
            assert!(length <= 4096, "a frame of {length} bytes");
            let mut part = vec![0; length as usize];
            self.socket.read_exact(&mut part).await.unwrap();
            self.streams[to as usize - 1].extend(part);
        }
    }

    pub async fn send(&mut self, connection: u8, kind: u8, stream: u32, data: &[u8]) {
        let length = u32::try_from(data.len()).unwrap();
        let mut bytes = vec![0, 0, 0, connection];
        bytes.extend((length + 10).to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(stream.to_be_bytes());
        bytes.extend([kind, 0]);
        bytes.extend(data);
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// Takes the plugin on, as runtimes do: the question about its wishes may come before the answer to it.
    pub async fn take_on(&mut self) -> RegisterPluginRequest {
        let (stream, kind, data) = self.receive(2).await;
        let request = Request::decode(data.as_slice()).unwrap();
        let called = (stream, kind, request.service.as_str(), request.method.as_str());
        assert_eq!(called, (1, 1, "nri.pkg.api.v1alpha1.Runtime", "RegisterPlugin"));
        let configure = ConfigureRequest { runtime_name: "fake".into(), runtime_version: "1".into() };
        let answer: ConfigureResponse = self.ask("Configure", &configure).await;
        assert_eq!(answer.events, 8);
        self.send(2, 2, 1, &Response::default().encode_to_vec()).await;
        RegisterPluginRequest::decode(request.payload).unwrap()
    }

    /// A call of the plugin, and its answer.
    pub async fn call(&mut self, service: &str, method: &str, payload: Vec<u8>) -> Response {
        self.stream += 2;
        let request = Request { service: service.into(), method: method.into(), payload: payload.into() };
        self.send(1, 1, self.stream, &request.encode_to_vec()).await;
        let (stream, kind, data) = self.receive(1).await;
        assert_eq!((stream, kind), (self.stream, 2));
        Response::decode(data.as_slice()).unwrap()
    }

    pub async fn ask<T: Message + Default>(&mut self, method: &str, request: &impl Message) -> T {
        let response = self.call("nri.pkg.api.v1alpha1.Plugin", method, request.encode_to_vec()).await;
        assert_eq!(response.status, None, "{method}");
        T::decode(response.payload).unwrap()
    }

    pub async fn create(
        &mut self,
        container: Container,
        pod: Option<PodSandbox>,
    ) -> Option<ContainerAdjustment> {
        let request = CreateContainerRequest { pod, container: Some(container) };
        self.ask::<CreateContainerResponse>("CreateContainer", &request).await.adjust
    }
}
