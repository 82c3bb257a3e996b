//! What a container did, from the history or from what the daemon still has.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use super::{Api, Named, is_meant, not_a_name, problem};
use crate::decode::json;
use crate::history::{Account, Feed, Item, Page, Query};
use crate::metrics::{self, tables};
use crate::registry::{Survey, Surveyed, record::View};
use crate::report::{Builder, Report, Source};

/// Rows of each table.
const ROWS: usize = 1000;
/// What sockets say as they close, and a container's last records, come a little after its end.
const AFTER_END: u64 = 1_000_000_000;

pub async fn report(State(api): State<Api>, wanted: Named) -> Response {
    let Ok(Path(wanted)) = wanted else { return not_a_name() };
    let Some(survey) = api.registry.survey().await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping");
    };
    let stored = match api.meant(&survey, &wanted).await {
        Ok(stored) => stored,
        Err(response) => return response,
    };
    let Some(stored) = stored.or_else(|| Some(Found::Surveyed(surveyed(&survey, &wanted)?))) else {
        return problem(StatusCode::NOT_FOUND, &format!("no container {wanted}"));
    };
    match tokio::task::spawn_blocking(move || api.build(&survey, stored)).await {
        Ok(report) => super::json(&report),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the report ended early"),
    }
}

/// Where the account of a container is.
enum Found {
    /// Among those that are there, or were just now.
    Surveyed(usize),
    Stored(Box<Account>),
}

fn surveyed(survey: &Survey, wanted: &str) -> Option<usize> {
    let meant = |c: &Surveyed| is_meant(wanted, &c.view.id, &c.view.name);
    let all = survey.containers.iter().enumerate().filter(|(_, c)| meant(c));
    let best = all.max_by_key(|(_, c)| (c.index.is_some(), c.view.ledger.observed_from.clone()));
    best.map(|(i, _)| i)
}

impl Api {
    /// One that ended longer ago; none if it is still surveyed, or was never heard of.
    async fn meant(&self, survey: &Survey, wanted: &str) -> Result<Option<Found>, Response> {
        if surveyed(survey, wanted).is_some() {
            return Ok(None);
        }
        let found = |account| Ok(Some(Found::Stored(Box::new(account))));
        if let Some(history) = &self.history {
            let stored = history.ended(Some(wanted.to_owned()), 1).await;
            let stored = stored.map_err(|e| {
                problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("failed to read the history: {e}"))
            })?;
            if let Some(account) = stored.into_iter().next() {
                return found(account);
            }
        }
        let mut ledgers = self.registry.list().await;
        ledgers.retain(|c| is_meant(wanted, &c.id, &c.name));
        let newest = ledgers.into_iter().max_by_key(|c| c.ledger.observed_from.clone());
        newest.map_or(Ok(None), |view| found(Account::new(view, &[], &[])))
    }

    /// Reads maps and files, and decodes: not for the thread that serves everybody.
    fn build(&self, survey: &Survey, found: Found) -> Report {
        let account = match found {
            Found::Stored(account) => *account,
            Found::Surveyed(at) => account(survey, &survey.containers[at]),
        };
        let mut builder = Builder::new(&survey.tracers);
        let (since, until) = period(&account.container);
        let container = Some(account.container.id.clone());
        let query = Query { since: Some(since), until: Some(until), container, after: None };
        let forgotten = self.history.is_none() && self.hub.oldest() > 0;
        let mut feed = Feed::since(self.hub.clone(), self.history.clone(), query);
        let (mut earliest, id) = (None, &account.container.id);
        while let Some(page) = feed.next_here() {
            match page {
                Page::Gap { .. } => builder.gap(),
                Page::Stored(items) => {
                    for item in items {
                        match item {
                            Item::Gap { .. } => builder.gap(),
                            Item::Event { line, .. } => builder.event(&line),
                        }
                    }
                }
                Page::Kept { batches, after } => {
                    let all = batches.iter().flat_map(|b| b.entries.iter().map(move |e| (b, e)));
                    for (batch, entry) in all.filter(|(_, e)| e.cursor > after) {
                        let event = batch.event(entry);
                        let at = event.unix_ns();
                        earliest.get_or_insert(at);
                        if entry.subject.id == *id && (since..=until).contains(&at) {
                            let mut line = Vec::new();
                            json::event(&mut line, &event);
                            builder.event(&line);
                        }
                    }
                }
            }
        }
        // What the daemon has begins later than the container did, and nothing is stored.
        if forgotten && earliest.is_none_or(|at| at > since) {
            builder.gap();
        }
        let source = if self.history.is_some() { Source::History } else { Source::Memory };
        builder.finish(account, source)
    }
}

/// Of one that is there, or was just now.
fn account(survey: &Survey, container: &Surveyed) -> Account {
    let view = container.view.clone();
    let Some(index) = container.index else {
        return Account::new(view, &container.values, &container.rows);
    };
    let mut values = metrics::values(&survey.meters, index, &view.tracers);
    values.append(&mut container.files.values(&survey.meters, &view.tracers));
    let rows = tables::rows_of(&survey.meters, index, &view.tracers, ROWS);
    Account::new(view, &values, &rows)
}

/// From when to when it was observed, in nanoseconds since the Unix epoch.
fn period(view: &View) -> (u64, u64) {
    let ns = |time: &str| {
        let time = humantime::parse_rfc3339(time).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        u64::try_from(time.as_nanos()).ok()
    };
    let from = ns(&view.ledger.observed_from).unwrap_or(0);
    let to = view.ledger.observed_to.as_deref().and_then(ns);
    (from, to.map_or(i64::MAX as u64, |to| to.saturating_add(AFTER_END)))
}
