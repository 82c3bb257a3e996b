//! What changes something: tracers, and what a container has of them. Root alone may; who is there says the kernel.

use axum::{
    body::Bytes,
    extract::{
        DefaultBodyLimit, FromRequestParts, Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{StatusCode, request::Parts},
    response::Response,
    routing::{MethodRouter, patch, post, put},
};
use serde::Deserialize;

use super::{Api, Named, json, listener::Caller, not_a_name, problem};
use crate::registry::attach;
use crate::registry::change::{Change, Own};
use crate::tracer::budget::Budget;
use crate::tracer::change::ChangeError;
use crate::tracer::params::Values;
use crate::tracer::{ObjectFile, file::OBJECT_MAX, trial};

/// Largest wish that is read, in bytes.
const WISH_MAX: usize = 64 << 10;

/// A caller who may change things.
#[derive(Debug)]
pub struct Root;

impl<S: Sync> FromRequestParts<S> for Root {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let caller = parts.extensions.get::<Caller>();
        if caller.is_some_and(Caller::is_root) {
            return Ok(Self);
        }
        let uid = caller.and_then(|c| c.uid);
        let who = uid.map_or_else(|| "nobody known".to_owned(), |uid| format!("user {uid}"));
        Err(problem(StatusCode::FORBIDDEN, &format!("only root may change anything, and this is {who}")))
    }
}

type Body = Result<Bytes, BytesRejection>;
pub(super) type NamedPair = Result<Path<(String, String)>, PathRejection>;

/// `POST /v1/tracers`
pub fn tracers(reading: MethodRouter<Api>) -> MethodRouter<Api> {
    let limit = DefaultBodyLimit::max(OBJECT_MAX as usize);
    reading.merge(
        post(async |root: Root, State(api): State<Api>, body: Body| place(root, api, None, body).await)
            .layer(limit),
    )
}

/// `PUT` and `DELETE /v1/tracers/NAME`
pub fn tracer(reading: MethodRouter<Api>) -> MethodRouter<Api> {
    let limit = DefaultBodyLimit::max(OBJECT_MAX as usize);
    let load = async |root: Root, State(api): State<Api>, name: Named, body: Body| match name {
        Ok(Path(name)) => place(root, api, Some(name), body).await,
        Err(_) => not_a_name(),
    };
    reading.merge(put(load).layer(limit)).delete(async |_: Root, State(api): State<Api>, name: Named| {
        on_tracer(api, name, Change::Unplace).await
    })
}

/// `POST /v1/tracers/NAME/start`
pub async fn start(_: Root, State(api): State<Api>, name: Named) -> Response {
    on_tracer(api, name, Change::Start).await
}

/// `POST /v1/tracers/NAME/stop`
pub async fn stop(_: Root, State(api): State<Api>, name: Named) -> Response {
    on_tracer(api, name, Change::Stop).await
}

/// `PATCH /v1/tracers/NAME/params`, a JSON object of values.
pub fn params() -> MethodRouter<Api> {
    patch(async |_: Root, State(api): State<Api>, name: Named, body: Body| match values(body) {
        Ok(values) => on_tracer(api, name, |name| Change::SetParams(name, values)).await,
        Err(response) => response,
    })
}

/// `PUT /v1/tracers/NAME/budget`
pub fn budget() -> MethodRouter<Api> {
    put(async |_: Root, State(api): State<Api>, name: Named, body: Body| {
        let budget = body.map_err(|e| problem(e.status(), &e.body_text())).and_then(|b| parse::<Budget>(&b));
        match budget {
            Ok(budget) => on_tracer(api, name, |name| Change::SetBudget(name, budget)).await,
            Err(response) => response,
        }
    })
}

/// `POST /v1/containers`: attaches a unit, process or cgroup.
pub fn containers(reading: MethodRouter<Api>) -> MethodRouter<Api> {
    let attach = async |_: Root, State(api): State<Api>, body: Body| {
        let wish =
            body.map_err(|e| problem(e.status(), &e.body_text())).and_then(|b| parse::<attach::Wish>(&b));
        match wish {
            Ok(wish) => answer(&api, Change::Attach(wish)).await,
            Err(response) => response,
        }
    };
    reading.merge(post(attach).layer(DefaultBodyLimit::max(WISH_MAX)))
}

/// `DELETE /v1/containers/ID`: detaches what was attached.
pub fn container(reading: MethodRouter<Api>) -> MethodRouter<Api> {
    reading.delete(async |_: Root, State(api): State<Api>, id: Named| match id {
        Ok(Path(id)) => answer(&api, Change::Detach(id)).await,
        Err(_) => not_a_name(),
    })
}

/// `PUT` (with parameters, if any) and `DELETE /v1/containers/ID/tracers/NAME`
pub fn own() -> MethodRouter<Api> {
    let on = async |_: Root, State(api): State<Api>, path: NamedPair, body: Body| match wished(body) {
        Ok(wish) => on_own(api, path, Own::On(wish.params)).await,
        Err(response) => response,
    };
    put(on).delete(async |_: Root, State(api): State<Api>, path: NamedPair| on_own(api, path, Own::Off).await)
}

/// `PATCH /v1/containers/ID/tracers/NAME/params`, a JSON object of values.
pub fn own_params() -> MethodRouter<Api> {
    patch(async |_: Root, State(api): State<Api>, path: NamedPair, body: Body| match values(body) {
        Ok(values) => on_own(api, path, Own::Set(values)).await,
        Err(response) => response,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    params: Values,
}

fn wished(body: Body) -> Result<Wish, Response> {
    let bytes = body.map_err(|e| problem(e.status(), &e.body_text()))?;
    if bytes.is_empty() {
        return Ok(Wish::default());
    }
    parse(&bytes)
}

fn values(body: Body) -> Result<Values, Response> {
    parse(&body.map_err(|e| problem(e.status(), &e.body_text()))?)
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Response> {
    let wrong = |e| problem(StatusCode::BAD_REQUEST, &format!("failed to read the body as JSON: {e}"));
    serde_json::from_slice(bytes).map_err(wrong)
}

/// Damaged and hostile objects are found out before the registry, which everybody waits for, sees them.
async fn place(_: Root, api: Api, name: Option<String>, body: Body) -> Response {
    let bytes = match body {
        Ok(bytes) => bytes,
        Err(e) => return problem(e.status(), &e.body_text()),
    };
    let origin = format!("{} (sent)", name.as_deref().unwrap_or("object"));
    let file = ObjectFile::sent(origin, bytes);
    let tried = tokio::task::spawn_blocking(move || trial::survives(&file).map(|()| file)).await;
    match tried {
        Ok(Ok(file)) => answer(&api, Change::Place(name, file)).await,
        Ok(Err(e)) => problem(StatusCode::UNPROCESSABLE_ENTITY, &e.to_string()),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the trial of the object ended early"),
    }
}

async fn on_tracer(api: Api, name: Named, change: impl FnOnce(String) -> Change) -> Response {
    let Ok(Path(name)) = name else { return not_a_name() };
    answer(&api, change(name)).await
}

async fn on_own(api: Api, path: NamedPair, own: Own) -> Response {
    let Ok(Path((container, tracer))) = path else { return not_a_name() };
    answer(&api, Change::Own { container, tracer, own }).await
}

async fn answer(api: &Api, change: Change) -> Response {
    match changed(api, change).await {
        Ok(value) => json(&value),
        Err(response) => response,
    }
}

pub(super) async fn changed(api: &Api, change: Change) -> Result<serde_json::Value, Response> {
    let Some(result) = api.registry.change(change).await else {
        return Err(problem(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping"));
    };
    result.map_err(|e| {
        let status = match e {
            ChangeError::Unknown(_) => StatusCode::NOT_FOUND,
            ChangeError::Conflict(_) => StatusCode::CONFLICT,
            ChangeError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ChangeError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        problem(status, &e.to_string())
    })
}
