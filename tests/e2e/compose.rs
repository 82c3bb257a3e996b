//! examples/compose: its files fit together, and the daemon has what examples/kubernetes gives it.

use std::{collections::BTreeSet, path::Path, process::Command};

use remora_tests::{build_dir, run, source};
use serde_json::Value;

const FOLDER: &str = "examples/compose";

/// A document in YAML, by a parser that is not ours.
fn yaml(path: &str) -> Value {
    let venv = run(&mut Command::new(source("tests/api/venv")));
    let mut python = Command::new(Path::new(venv.trim()).join("bin/python3"));
    python.args(["-c", "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"]);
    serde_json::from_str(&run(python.arg(source(path)))).expect("not JSON")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Source, target and options of a service's mounts.
fn mounts(service: &Value) -> Vec<(&str, &str, BTreeSet<&str>)> {
    let split = |mount| {
        let mut parts = text(mount).split(':');
        (
            parts.next().expect("a source"),
            parts.next().expect("a target"),
            parts.flat_map(|o| o.split(',')).collect(),
        )
    };
    list(&service["volumes"]).map(split).collect()
}

/// The same of a pod's container, of what is the host's.
fn pods_mounts<'a>(pod: &'a Value, container: &'a Value) -> BTreeSet<(&'a str, &'a str, BTreeSet<&'a str>)> {
    let host = |name: &Value| {
        let volume = list(&pod["volumes"]).find(|v| v["name"] == *name).expect("a volume");
        volume["hostPath"]["path"].as_str()
    };
    let of = |mount: &'a Value| {
        let mut options = BTreeSet::new();
        if mount["readOnly"] == true {
            options.insert("ro");
        }
        if mount["mountPropagation"] == "HostToContainer" {
            options.insert("rslave");
        }
        Some((host(&mount["name"])?, text(&mount["mountPath"]), options))
    };
    list(&container["volumeMounts"]).filter_map(of).collect()
}

#[test]
fn the_daemon_has_what_a_node_gives_it() {
    let compose = yaml(&format!("{FOLDER}/compose.yaml"));
    let daemonset = yaml("examples/kubernetes/daemonset.yaml");
    let pod = &daemonset["spec"]["template"]["spec"];
    for (name, container) in [("install-hook", &pod["initContainers"][0]), ("remora", &pod["containers"][0])]
    {
        let service = &compose["services"][name];
        let own = mounts(service).into_iter().filter(|(from, ..)| from.starts_with('/'));
        assert_eq!(own.collect::<BTreeSet<_>>(), pods_mounts(pod, container), "{name}");
        assert_eq!(service["image"], container["image"], "{name}");
        assert_eq!(service["command"], container["args"], "{name}");
        assert_eq!(service["read_only"], container["securityContext"]["readOnlyRootFilesystem"], "{name}");
    }
    let remora = &compose["services"]["remora"];
    assert_eq!((&remora["privileged"], &remora["pid"]), (&true.into(), &"host".into()));
}

#[test]
fn whatever_is_named_is_there() {
    let compose = yaml(&format!("{FOLDER}/compose.yaml"));
    for (name, service) in compose["services"].as_object().expect("services") {
        let (_, tag) = text(&service["image"]).rsplit_once(':').expect("a tag");
        assert!(tag.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()), "{name}: {tag}");
        for (from, ..) in mounts(service) {
            let there = match from.starts_with('.') {
                true => source(FOLDER).join(from).exists(),
                false => from.starts_with('/') || compose["volumes"].get(from).is_some(),
            };
            assert!(there, "{name}: no {from}");
        }
    }
    let over = yaml(&format!("{FOLDER}/docker.yaml"));
    assert_eq!(
        over["services"].as_object().map(|s| s.keys().collect::<Vec<_>>()),
        Some(vec![&"remora".to_owned()])
    );
}

/// Who asks whom, and where.
#[test]
fn addresses_and_folders_agree() {
    let compose = yaml(&format!("{FOLDER}/compose.yaml"));
    let config = source(FOLDER).join("remora.toml");
    run(Command::new(build_dir().join("remora")).arg("check").arg("--config").arg(&config));
    let scrape = yaml("examples/prometheus/prometheus.yml");
    let target = text(&scrape["scrape_configs"][0]["static_configs"][0]["targets"][0]);
    let config = std::fs::read_to_string(config).expect("no remora.toml");
    assert!(config.contains(&format!("metrics_listen = \"{target}\"")), "{target}: {config}");

    let datasource = yaml(&format!("{FOLDER}/grafana/datasource.yaml"));
    let datasource = &datasource["datasources"][0];
    let address = text(&datasource["url"]).strip_prefix("http://").expect("a URL");
    let listens = format!("--web.listen-address={address}");
    assert!(list(&compose["services"]["prometheus"]["command"]).any(|a| text(a) == listens), "{listens}");
    assert_eq!(datasource["jsonData"]["timeInterval"], scrape["global"]["scrape_interval"]);

    let provider = yaml(&format!("{FOLDER}/grafana/dashboards.yaml"));
    let folder = text(&provider["providers"][0]["options"]["path"]);
    let grafana = mounts(&compose["services"]["grafana"]);
    let (from, ..) = grafana.iter().find(|(_, to, _)| *to == folder).expect("a mount of the dashboards");
    assert!(source(FOLDER).join(from).join("container.json").exists(), "{from}");
}
