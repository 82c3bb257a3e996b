//! A JSON array of incidents by HTTP.

use super::{Entry, Outcome};
use crate::alert::settings;
use crate::outlet::{Post, http};

#[derive(Debug)]
pub struct Webhook(Post);

impl Webhook {
    pub fn new(settings: &settings::Webhook) -> Option<Self> {
        let post = |url| Post::new(url, settings.token_file.clone(), settings.timeout);
        settings.url.clone().map(post).map(Self)
    }

    pub async fn send(&self, batch: &[Entry]) -> Outcome {
        let bodies: Vec<&str> = batch.iter().map(|e| e.body.as_str()).collect();
        let body = format!("[{}]", bodies.join(","));
        self.0.send("", "application/json", body.into_bytes(), http::plain).await
    }
}
