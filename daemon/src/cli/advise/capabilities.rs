//! The capabilities a container used, for those who start it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::{Value, json};

use super::{Evidence, Which, write};
use crate::cli::{events::at, table};
use crate::decode::text::printable;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Who used or lacked which, for people.
    Text,
    /// The names of those used.
    Json,
    /// Options of `podman run` and `docker run`.
    Podman,
    /// A container's securityContext, in JSON, which is YAML.
    Kubernetes,
}

pub async fn run(args: Args, socket: &Path) -> anyhow::Result<()> {
    let evidence = Evidence::gather(&args.which, socket, |table| table["role"] == "capabilities").await?;
    let needed = Needed::of(&evidence)?;
    evidence.tell();
    let names: Vec<&str> = needed.granted.keys().map(String::as_str).collect();
    let short = || names.iter().map(|name| name.trim_start_matches("CAP_"));
    match args.format {
        Format::Text => table::print(&["CAPABILITY", "VERDICT", "PROGRAMS"], &needed.rows())?,
        Format::Json => write(&args.which, &json!(names))?,
        Format::Podman => {
            let add: Vec<String> = short().map(|name| format!(" --cap-add={name}")).collect();
            println!("--cap-drop=ALL{}", add.concat());
        }
        Format::Kubernetes => {
            let capabilities = json!({ "drop": ["ALL"], "add": short().collect::<Vec<_>>() });
            write(&args.which, &json!({ "securityContext": { "capabilities": capabilities } }))?;
        }
    }
    Ok(())
}

/// Programs, by capability.
type Programs = BTreeMap<String, BTreeSet<String>>;

/// What the kernel asked for, and whether the container had it.
#[derive(Debug, Default)]
struct Needed {
    granted: Programs,
    denied: Programs,
}

impl Needed {
    fn of(evidence: &Evidence) -> anyhow::Result<Self> {
        let named = |name: &'static str| {
            move |f: &Value| f["name"].as_str().and_then(|n| n.rsplit('.').next()) == Some(name)
        };
        let (capability, verdict) = (evidence.field(named("capability"))?, evidence.field(named("verdict"))?);
        let program = evidence.field(named("program")).unwrap_or_default();
        let mut needed = Self::default();
        for row in &evidence.rows {
            let all = if at(row, &verdict) == "granted" { &mut needed.granted } else { &mut needed.denied };
            all.entry(at(row, &capability)).or_default().insert(at(row, &program));
        }
        Ok(needed)
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let row = |verdict: &'static str| {
            move |(capability, programs): (&String, &BTreeSet<String>)| {
                let programs: Vec<String> = programs.iter().map(|p| printable(p)).collect();
                vec![capability.clone(), verdict.to_owned(), programs.join(", ")]
            }
        };
        self.granted.iter().map(row("granted")).chain(self.denied.iter().map(row("denied"))).collect()
    }
}
