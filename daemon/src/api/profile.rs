//! Stacks of a container, gathered: as JSON, or folded for those who draw flame graphs.

use axum::{
    extract::{Path, Query, State, rejection::PathRejection, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::tables::find;
use super::{Api, Named, not_a_name, problem};
use crate::registry::{Survey, Surveyed};
use crate::stacks::profile::Profile;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ask {
    format: Format,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Folded,
}

type Asked = Result<Query<Ask>, QueryRejection>;

/// Of the first table with stacks that a tracer of the container's keeps.
pub async fn first(State(api): State<Api>, wanted: Named, ask: Asked) -> Response {
    let Ok(Path(wanted)) = wanted else { return not_a_name() };
    answer(&api, &wanted, None, ask).await
}

pub async fn of_table(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
    ask: Asked,
) -> Response {
    let Ok(Path((wanted, table))) = path else { return not_a_name() };
    answer(&api, &wanted, Some(&table), ask).await
}

async fn answer(api: &Api, wanted: &str, table: Option<&str>, ask: Asked) -> Response {
    let format = match ask {
        Ok(Query(ask)) => ask.format,
        Err(e) => return problem(StatusCode::BAD_REQUEST, &e.body_text()),
    };
    let (survey, container) = match find(api, wanted).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let container = &survey.containers[container];
    let Some((tracer, table)) = table_of(&survey, container, table) else {
        let what = table.map_or("table with stacks".to_owned(), |t| format!("table {t} with stacks"));
        let why = format!("no tracer of container {} keeps a {what}", container.view.name);
        return problem(StatusCode::NOT_FOUND, &why);
    };
    let profile = api.stacks.profile(table, container.view.cgroup_id, container.index).await;
    let profile = profile.unwrap_or_default();
    match format {
        Format::Folded => {
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], profile.folded()).into_response()
        }
        Format::Json => super::json(&Document {
            tracer,
            container: json!({ "id": container.view.id, "name": container.view.name }),
            profile: Profile { table: table.to_owned(), ..profile },
        }),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    tracer: &'a str,
    container: serde_json::Value,
    #[serde(flatten)]
    profile: Profile,
}

/// Names of the tracer and its table.
fn table_of<'s>(
    survey: &'s Survey,
    container: &Surveyed,
    wanted: Option<&str>,
) -> Option<(&'s str, &'s str)> {
    let mine = survey.tracers.iter().filter(|t| container.view.tracers.contains(&t.description.name));
    let mut tables = mine.flat_map(|t| t.description.tables.iter().map(|d| (&*t.description.name, d)));
    let fits = |name: &str| wanted.is_none_or(|w| w == name);
    tables.find(|(_, d)| d.stacks && fits(&d.name)).map(|(tracer, d)| (tracer, &*d.name))
}
