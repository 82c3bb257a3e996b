//! One connection to a runtime, from registering to its end. Everything the runtime asks is answered at once from
//! memory: it waits two seconds at most, and containers wait with it.

use std::{collections::VecDeque, convert::Infallible, future::pending, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep_until, timeout},
};

use super::Shared;
use super::adjust::adjust;
use super::gather::Gathering;
use super::messages::{
    CREATE_CONTAINER, ConfigureRequest, ConfigureResponse, CreateContainerRequest, CreateContainerResponse,
    PLUGIN_SERVICE, RUNTIME_SERVICE, RegisterPluginRequest, SynchronizeRequest, SynchronizeResponse,
};
use super::ttrpc::{self, Request, Response};
use super::wire::{Incoming, Kind, Message, Service, WireError};
use crate::manager::{Facts, News};

const PLUGIN_NAME: &str = "remora";
/// The stream of our only call.
const REGISTER: u32 = 1;
/// Longest wait for the runtime to take us on; it gives its plugins 5 s.
const TAKEN_ON: Duration = Duration::from_secs(15);
/// Longest wait for the rest of what has begun to arrive, or to be taken off our hands.
const STALL: Duration = Duration::from_secs(5);
/// What is read at a time.
const CHUNK: usize = 32 << 10;

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("the runtime closed the connection")]
    Closed,
    #[error("the runtime is shutting down")]
    Shutdown,
    #[error("failed to {doing}: {source}")]
    Io { doing: &'static str, source: std::io::Error },
    #[error("the runtime did not {0} in time")]
    Late(&'static str),
    #[error("the runtime refused us: {0:?} (code {1})")]
    Refused(String, i32),
    #[error("the runtime sent {0}")]
    Wire(#[from] WireError),
    #[error("the runtime sent a {what} that cannot be read: {source}")]
    Unreadable { what: &'static str, source: prost::DecodeError },
}

impl SessionError {
    /// A runtime that stops or restarts, as they do.
    pub fn is_ordinary(&self) -> bool {
        matches!(self, Self::Closed | Self::Shutdown | Self::Io { .. })
    }
}

#[derive(Debug)]
pub struct Session<'a, S> {
    shared: &'a Shared,
    socket: S,
    incoming: Incoming,
    gathering: Gathering,
    /// Found running, and not yet told.
    found: VecDeque<Facts>,
    /// When waiting ends.
    until: Option<Instant>,
    /// Whether the runtime has taken us on.
    pub configured: bool,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    pub fn new(shared: &'a Shared, socket: S) -> Self {
        Self {
            shared,
            socket,
            incoming: Incoming::default(),
            gathering: Gathering::default(),
            found: VecDeque::new(),
            until: Some(Instant::now() + TAKEN_ON),
            configured: false,
        }
    }

    /// Serves the runtime until the connection ends, which is never a success.
    pub async fn run(&mut self) -> SessionError {
        match self.serve().await {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    async fn serve(&mut self) -> Result<Infallible, SessionError> {
        let index = self.shared.settings.index.clone();
        let register = RegisterPluginRequest { name: PLUGIN_NAME.to_owned(), index };
        self.send(&ttrpc::call(REGISTER, RUNTIME_SERVICE, "RegisterPlugin", &register)).await?;
        loop {
            match self.incoming.next()? {
                Some(message) => self.take(message).await?,
                None => self.wait().await?,
            }
        }
    }

    /// Until more has been read, or one found container been told.
    async fn wait(&mut self) -> Result<(), SessionError> {
        if self.configured {
            let unfinished = self.incoming.unfinished();
            self.until = unfinished.then(|| self.until.unwrap_or_else(|| Instant::now() + STALL));
        }
        let Self { socket, incoming, found, shared, until, .. } = self;
        incoming.raw.reserve(CHUNK);
        let expired = async {
            match *until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        // Those that are not the first lose nothing by being dropped.
        tokio::select! {
            read = socket.read_buf(&mut incoming.raw) => match read {
                Ok(0) => Err(SessionError::Closed),
                Ok(_) => Ok(()),
                Err(source) => Err(SessionError::Io { doing: "read from the runtime", source }),
            },
            room = shared.news.reserve(), if !found.is_empty() => {
                match (room, found.pop_front()) {
                    (Ok(room), Some(facts)) => room.send(News::Known(facts)),
                    _ => found.clear(),
                }
                Ok(())
            }
            () = expired => Err(SessionError::Late(if self.configured { "end what it began" } else { "take us on" })),
        }
    }

    async fn take(&mut self, message: Message) -> Result<(), SessionError> {
        if self.configured {
            self.until = None;
        }
        match (message.service, message.kind) {
            (Service::Plugin, Kind::Request) => {
                let request: Request = read("request", message.data)?;
                let last =
                    (request.service.as_str(), request.method.as_str()) == (PLUGIN_SERVICE, "Shutdown");
                let answer = self.answer(request)?.map(|payload| ttrpc::answer(message.stream, payload));
                self.send(&answer.unwrap_or_else(|| ttrpc::unserved(message.stream))).await?;
                if last { Err(SessionError::Shutdown) } else { Ok(()) }
            }
            (Service::Runtime, Kind::Response) => registered(message.data),
            // Answers to what we did not ask, and questions to the runtime itself.
            (Service::Plugin, Kind::Response) | (Service::Runtime, Kind::Request) => Ok(()),
        }
    }

    /// What is answered; nothing where no such method is served.
    ///
    /// An error in an answer would keep the container from being created: what cannot be read ends the connection
    /// instead, and the runtime goes on without us.
    fn answer(&mut self, request: Request) -> Result<Option<Vec<u8>>, SessionError> {
        if request.service != PLUGIN_SERVICE {
            return Ok(None);
        }
        let payload = request.payload;
        Ok(Some(match request.method.as_str() {
            "Configure" => self.configure(&read("configuration", payload)?).encode_to_vec(),
            "Synchronize" => self.synchronize(&read("list of containers", payload)?).encode_to_vec(),
            "CreateContainer" => self.create(read("container", payload)?).encode_to_vec(),
            // Answers without content.
            "StateChange" | "Shutdown" => Vec::new(),
            _ => return Ok(None),
        }))
    }

    fn configure(&mut self, request: &ConfigureRequest) -> ConfigureResponse {
        let cut = |text: &str| text.chars().take(64).collect::<String>();
        let (name, version) = (cut(&request.runtime_name), cut(&request.runtime_version));
        tracing::info!(runtime = ?name, version = ?version, "taken on as an NRI plugin");
        self.configured = true;
        self.until = None;
        ConfigureResponse { events: CREATE_CONTAINER }
    }

    fn synchronize(&mut self, request: &SynchronizeRequest) -> SynchronizeResponse {
        self.gathering.add(request);
        if !request.more {
            let rules = self.shared.rules.borrow().clone();
            self.found = self.gathering.finish(&rules);
        }
        SynchronizeResponse { more: request.more }
    }

    fn create(&self, request: CreateContainerRequest) -> CreateContainerResponse {
        let rules = self.shared.rules.borrow().clone();
        CreateContainerResponse { adjust: adjust(request, &rules, &self.shared.hook) }
    }

    async fn send(&mut self, message: &Message) -> Result<(), SessionError> {
        match timeout(STALL, self.socket.write_all(&message.encode())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(SessionError::Io { doing: "write to the runtime", source }),
            Err(_) => Err(SessionError::Late("read what we wrote")),
        }
    }
}

fn read<T: prost::Message + Default>(what: &'static str, data: Bytes) -> Result<T, SessionError> {
    T::decode(data).map_err(|source| SessionError::Unreadable { what, source })
}

/// The answer to our only call.
fn registered(data: Bytes) -> Result<(), SessionError> {
    let response: Response = read("response", data)?;
    match response.status.filter(|status| status.code != 0) {
        None => Ok(()),
        Some(status) => Err(SessionError::Refused(status.message.chars().take(256).collect(), status.code)),
    }
}
