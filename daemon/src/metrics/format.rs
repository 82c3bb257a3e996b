//! What a scrape is written in: as whoever asks likes it best.

use prometheus::{Encoder, TextEncoder, proto::MetricFamily};

use super::openmetrics;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// By the header `Accept`. Whoever names OpenMetrics and likes nothing better gets it; whoever takes anything, text.
    pub fn wanted(accept: &str) -> Self {
        let ranges: Vec<Range> = accept.split(',').map(Range::parse).collect();
        let liked = |kind: &str, version: &str| {
            let of = ranges.iter().filter(|r| r.kind.eq_ignore_ascii_case(kind) && r.version_is(version));
            of.map(|r| r.weight).reduce(f64::max)
        };
        let open = liked("application/openmetrics-text", "1.0.0").unwrap_or(0.0);
        let text = ["text/plain", "text/*", "*/*"].iter().find_map(|kind| liked(kind, "0.0.4"));
        if open > 0.0 && open >= text.unwrap_or(0.0) { Self::OpenMetrics } else { Self::Text }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    pub fn encode(self, families: &[MetricFamily]) -> Vec<u8> {
        if self == Self::OpenMetrics {
            return openmetrics::encode(families);
        }
        let mut out = Vec::new();
        if let Err(e) = TextEncoder::new().encode(families, &mut out) {
            tracing::error!("failed to encode metrics: {e}");
        }
        out
    }
}

/// One of what is accepted.
struct Range<'a> {
    kind: &'a str,
    version: Option<&'a str>,
    weight: f64,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self { kind: parts.next().unwrap_or_default(), version: None, weight: 1.0 };
        for (name, value) in parts.filter_map(|p| p.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => range.version = Some(value),
                // What is no weight is none.
                "q" => range.weight = value.parse().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0),
                _ => {}
            }
        }
        range
    }

    fn version_is(&self, version: &str) -> bool {
        self.version.is_none_or(|v| v == version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_likes_open_metrics_gets_it() {
        for accept in [
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; version=\"1.0.0\"; charset=utf-8",
            // Prometheus 2 and 3.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "text/plain, application/openmetrics-text",
            "text/plain;q=0.4, application/openmetrics-text;q=0.5",
            "text/plain;q=0, */*, application/openmetrics-text;q=0.1",
        ] {
            assert_eq!(Format::wanted(accept), Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn everybody_else_gets_text() {
        for accept in [
            "",
            "*/*",
            "text/html,*/*;q=0.8",
            "application/json",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=much",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0.5, text/plain",
            "application/openmetrics-text;q=0.5, text/*;q=0.6",
            "application/openmetrics-text;q=0.5, */*",
            ";;=,q=1;,",
        ] {
            assert_eq!(Format::wanted(accept), Format::Text, "{accept:?}");
        }
    }
}
