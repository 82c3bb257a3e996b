//! The manifests of examples/kubernetes against Kubernetes' own types: no unknown field, no wrong type, and nothing that refers to
//! what is not there.

use std::{collections::BTreeSet, fs, path::PathBuf};

use clap::Parser;
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{ConfigMap, Namespace, PodSpec},
    networking::v1::NetworkPolicy,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

fn folder() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/kubernetes").into()
}

fn read(name: &str) -> Value {
    let path = folder().join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The types leave out what they do not know: whatever does not come back is unknown.
fn typed<T: DeserializeOwned + Serialize>(name: &str) -> T {
    let given = read(name);
    let typed: T = serde_json::from_value(given.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let back = serde_json::to_value(&typed).expect("it was JSON before");
    let mut lost = Vec::new();
    compare(&given, &back, String::new(), &mut lost);
    assert!(lost.is_empty(), "{name} has what Kubernetes does not know: {lost:?}");
    typed
}

fn compare(given: &Value, back: &Value, path: String, lost: &mut Vec<String>) {
    match (given, back) {
        (Value::Object(given), Value::Object(back)) => {
            for (key, value) in given {
                compare(value, back.get(key).unwrap_or(&Value::Null), format!("{path}.{key}"), lost);
            }
        }
        (Value::Array(given), Value::Array(back)) if given.len() == back.len() => {
            for (at, (given, back)) in given.iter().zip(back).enumerate() {
                compare(given, back, format!("{path}[{at}]"), lost);
            }
        }
        (given, back) if given == back => {}
        _ => lost.push(format!("{path} = {given}")),
    }
}

/// Fields of kinds that are not Kubernetes' own, as their definitions have them.
fn only(value: &Value, path: &str, allowed: &[&str]) {
    let object = value.pointer(path).and_then(Value::as_object).unwrap_or_else(|| panic!("no {path}"));
    for key in object.keys() {
        assert!(allowed.contains(&key.as_str()), "{path} has {key}, which its definition does not");
    }
}

fn daemon_set(name: &str) -> (DaemonSet, PodSpec) {
    let set: DaemonSet = typed(name);
    let spec = set.spec.clone().expect("a spec");
    let pod = spec.template.spec.clone().expect("a pod");
    let labels = spec.template.metadata.and_then(|m| m.labels).expect("labels");
    let selector = spec.selector.match_labels.expect("a selector");
    assert!(selector.iter().all(|(k, v)| labels.get(k) == Some(v)), "{name}: the selector finds its pods");
    (set, pod)
}

#[test]
fn every_manifest_is_known() {
    let known = [
        "namespace.yaml",
        "configmap.yaml",
        "daemonset.yaml",
        "networkpolicy.yaml",
        "podmonitor.yaml",
        "removal.yaml",
        "kustomization.yaml",
    ];
    let there = fs::read_dir(folder()).expect("no folder").flatten().map(|e| e.file_name());
    let there: BTreeSet<String> = there.map(|n| n.to_string_lossy().into_owned()).collect();
    let expected = known.iter().map(|n| (*n).to_owned()).chain(["README.md".to_owned()]).collect();
    assert_eq!(there, expected, "each has a test below");
}

#[test]
fn a_field_that_does_not_exist_is_found() {
    let mut lost = Vec::new();
    let given = serde_json::json!({ "metadata": { "name": "a" }, "spec": { "finalisers": ["x"] } });
    let back = serde_json::to_value(serde_json::from_value::<Namespace>(given.clone()).unwrap()).unwrap();
    compare(&given, &back, String::new(), &mut lost);
    assert_eq!(lost, [r#".spec.finalisers = ["x"]"#]);
}

#[test]
fn pods_refer_to_what_is_there() {
    for name in ["daemonset.yaml", "removal.yaml"] {
        let (_, pod) = daemon_set(name);
        assert_eq!(pod.automount_service_account_token, Some(false), "{name}");
        let volumes: BTreeSet<String> = pod.volumes.into_iter().flatten().map(|v| v.name).collect();
        let mut mounted = BTreeSet::new();
        let image = concat!("localhost/remora:", env!("CARGO_PKG_VERSION"));
        for container in pod.init_containers.into_iter().flatten().chain(pod.containers) {
            assert_eq!(container.image.as_deref(), Some(image), "{name}");
            // What it is told to do is something that the command line knows.
            let line = [vec!["remora".to_owned()], container.args.expect("arguments")].concat();
            if let Err(e) = remora::cli::Cli::try_parse_from(&line) {
                panic!("{name}: {line:?}: {e}");
            }
            for mount in container.volume_mounts.into_iter().flatten() {
                assert!(volumes.contains(&mount.name), "{name}: no volume {}", mount.name);
                mounted.insert(mount.name);
            }
        }
        assert_eq!(mounted, volumes, "{name}: a volume that nobody mounts");
    }
}

#[test]
fn the_daemon_listens_where_it_is_asked() {
    let (_, pod) = daemon_set("daemonset.yaml");
    let map: ConfigMap = typed("configmap.yaml");
    let text = map.data.expect("data")["remora.toml"].clone();
    let config =
        remora::config::Config::parse(&text, &folder().join("configmap.yaml")).expect("a configuration");
    let port = pod.containers[0].ports.clone().expect("ports")[0].container_port;
    assert_eq!(config.api.metrics_listen.map(|a| i32::from(a.port())), Some(port));
    let token = config.api.metrics_token_file.expect("a token");
    let mounts = pod.containers[0].volume_mounts.clone().expect("mounts");
    assert!(mounts.iter().any(|m| token.starts_with(&m.mount_path) && m.name == "token"));
    // Where the host's hook looks for it.
    let run = mounts.iter().find(|m| m.name == "run").expect("a mount");
    assert!(config.hook.socket.starts_with(&run.mount_path));
}

#[test]
fn policies_and_monitors_mean_the_daemons_pods() {
    let _: Namespace = typed("namespace.yaml");
    let policy: NetworkPolicy = typed("networkpolicy.yaml");
    let spec = policy.spec.expect("a spec");
    let (set, _) = daemon_set("daemonset.yaml");
    let labels = set.spec.expect("a spec").selector.match_labels;
    assert_eq!(spec.pod_selector.and_then(|s| s.match_labels), labels);
    assert_eq!(spec.egress, Some(Vec::new()));

    let monitor = read("podmonitor.yaml");
    only(&monitor, "", &["apiVersion", "kind", "metadata", "spec"]);
    only(&monitor, "/spec", &["selector", "podMetricsEndpoints", "namespaceSelector", "jobLabel"]);
    let endpoint = ["port", "path", "scheme", "honorLabels", "interval", "authorization", "relabelings"];
    only(&monitor, "/spec/podMetricsEndpoints/0", &endpoint);
    only(&monitor, "/spec/podMetricsEndpoints/0/authorization", &["type", "credentials"]);
    only(&monitor, "/spec/podMetricsEndpoints/0/authorization/credentials", &["name", "key", "optional"]);
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], serde_json::json!(labels));
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["port"], "metrics");
}

#[test]
fn kustomize_finds_what_it_lists() {
    let kustomization = read("kustomization.yaml");
    only(&kustomization, "", &["apiVersion", "kind", "namespace", "resources", "images"]);
    only(&kustomization, "/images/0", &["name", "newName", "newTag"]);
    for resource in kustomization["resources"].as_array().expect("a list") {
        assert!(folder().join(resource.as_str().expect("a name")).exists(), "{resource}");
    }
    assert_eq!(kustomization["images"][0]["newTag"], env!("CARGO_PKG_VERSION"));
}
