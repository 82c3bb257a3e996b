use super::*;
use crate::setup::Was;
use std::path::Path;

const DEBIAN: &str = include_str!("../../../../tests/configs/containerd-debian-12.toml");
const DEFAULT_1_6: &str = include_str!("../../../../tests/configs/containerd-1.6-default.toml");
const EDITED_3: &str = include_str!("../../../../tests/configs/containerd-3-edited.toml");
const ALL: [&str; 4] = [DEBIAN, DEFAULT_1_6, EDITED_3, "version = 2\n"];
const SPEC: &str = "/etc/containerd/remora-base-spec.json";

fn runtimes(text: &str) -> toml::Table {
    let all: toml::Table = text.parse().unwrap();
    let plugin = if all["version"].as_integer() == Some(2) { CRI_2 } else { CRI_3 };
    all["plugins"][plugin]["containerd"]["runtimes"].as_table().unwrap().clone()
}

fn array(handler: &toml::Value, key: &str) -> Vec<String> {
    handler[key].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_handler_like_the_default_one_comes_and_goes_to_the_byte() {
    for text in ALL {
        let with = cri::put(text, SPEC, false).unwrap();
        let all = runtimes(&with);
        let (ours, runc) = (&all["remora"], &all["runc"]);
        assert_eq!(ours["base_runtime_spec"].as_str(), Some(SPEC));
        assert!(array(ours, "pod_annotations").contains(&"io.remora.*".to_owned()), "{with}");
        assert_eq!(array(ours, "container_annotations"), ["io.remora.*"]);
        assert_eq!(
            (ours.get("options"), &ours["runtime_type"]),
            (runc.get("options"), &runc["runtime_type"])
        );
        assert_eq!(runc.get("base_runtime_spec").and_then(|s| s.as_str()).unwrap_or_default(), "");
        assert_eq!(cri::put(&with, SPEC, false).unwrap(), with);
        assert_eq!(cri::strip(&with, Was::Text(text)).unwrap().as_deref(), Some(text));
    }
    assert_eq!(
        array(&runtimes(&cri::put(EDITED_3, SPEC, false).unwrap())["remora"], "pod_annotations").len(),
        2
    );
}

#[test]
fn the_default_handler_gets_three_keys_and_has_them_taken_again() {
    for text in ALL {
        let with = cri::put(text, SPEC, true).unwrap();
        let all = runtimes(&with);
        assert!(!all.contains_key("remora"));
        assert_eq!(all["runc"]["base_runtime_spec"].as_str(), Some(SPEC));
        assert_eq!(cri::put(&with, SPEC, true).unwrap(), with);
        assert_eq!(cri::strip(&with, Was::Text(text)).unwrap().as_deref(), Some(text));
    }
}

#[test]
fn what_was_edited_meanwhile_stays() {
    for text in ALL {
        let with = cri::put(text, SPEC, false).unwrap().replacen("version", "mine = 7 # mine\nversion", 1);
        let without = cri::strip(&with, Was::Text(text)).unwrap().unwrap();
        assert_eq!(without, text.replacen("version", "mine = 7 # mine\nversion", 1));
    }
    let with = cri::put(DEBIAN, SPEC, false).unwrap() + "\n[debug]\n  level = \"debug\" # mine\n";
    let without = cri::strip(&with, Was::Text(DEBIAN)).unwrap().unwrap();
    assert_eq!(without, DEBIAN.to_owned() + "\n[debug]\n  level = \"debug\" # mine\n");
}

#[test]
fn a_file_that_was_not_there_goes_again() {
    let with = cri::put("", SPEC, false).unwrap();
    assert!(runtimes(&with).contains_key("runc"), "containerd 1.6 would know no runc: {with}");
    assert_eq!(cri::strip(&with, Was::Absent).unwrap(), None);
    assert!(
        cri::strip(&(with + "\n[debug]\nlevel = \"debug\"\n"), Was::Absent)
            .unwrap()
            .unwrap()
            .contains("debug")
    );
}

#[test]
fn what_is_shipped_is_what_is_made() {
    let shipped = include_str!("../../../../runtime-configs/containerd/config.toml");
    assert_eq!(runtimes(shipped), runtimes(&cri::put("", SPEC, false).unwrap()));
    assert_eq!(cri::strip(shipped, Was::Absent).unwrap(), None);
}

#[test]
fn without_a_record_only_what_is_surely_ours_goes() {
    for text in [DEFAULT_1_6, EDITED_3] {
        assert_eq!(cri::strip(text, Was::Unknown).unwrap().as_deref(), Some(text));
        let with = cri::put(text, SPEC, false).unwrap();
        assert_eq!(cri::strip(&with, Was::Unknown).unwrap().as_deref(), Some(text));
    }
}

#[test]
fn a_part_in_a_file_of_its_own_where_containerd_merges_it() {
    let config = Path::new("/etc/containerd/config.toml");
    let path = |text: &str| cri::drop_in_path(text, config).unwrap();
    assert_eq!(path(EDITED_3), None);
    let imports = "imports = [\"/etc/containerd/conf.d/*.toml\"]\n";
    assert_eq!(path(&format!("{imports}{DEBIAN}")), None, "before version 3 the other parts would be hidden");
    let merged = format!("{imports}{EDITED_3}");
    let drop_in = Path::new("/etc/containerd/conf.d/remora.toml");
    assert_eq!(path(&merged).as_deref(), Some(drop_in));
    assert_eq!(path(&format!("imports = ['conf.d/*.toml']\n{EDITED_3}")).as_deref(), Some(drop_in));
    assert_eq!(path(&format!("imports = ['/x/other.toml']\n{EDITED_3}")), None);

    let ours = runtimes(&cri::drop_in(&merged, SPEC, false).unwrap());
    assert_eq!(ours["remora"], runtimes(&cri::put(&merged, SPEC, false).unwrap())["remora"]);
    assert_eq!(ours.len(), 1);
    let keys = runtimes(&cri::drop_in(&merged, SPEC, true).unwrap());
    assert_eq!((keys.len(), keys["runc"].as_table().unwrap().len()), (1, 3));
    let bare = runtimes(&cri::drop_in("version = 3\n", SPEC, false).unwrap());
    assert_eq!(bare.keys().collect::<Vec<_>>(), ["remora", "runc"]);
}

#[test]
fn a_specification_of_somebody_elses_is_built_upon_but_not_replaced() {
    let text = EDITED_3.replace("base_runtime_spec = ''", "base_runtime_spec = '/etc/their.json'");
    assert_eq!(cri::own_spec(&text).unwrap().as_deref(), Some("/etc/their.json"));
    assert_eq!(cri::own_spec(EDITED_3).unwrap(), None);
    assert_eq!(
        runtimes(&cri::put(&text, SPEC, false).unwrap())["remora"]["base_runtime_spec"].as_str(),
        Some(SPEC)
    );
    let refused = format!("{:#}", cri::put(&text, SPEC, true).unwrap_err());
    assert!(refused.contains("/etc/their.json") && refused.contains("runtimes.runc"), "{refused}");
}

#[test]
fn what_is_shaped_otherwise_is_refused_by_place() {
    for (text, place) in [
        ("version = ", "it is not TOML"),
        ("[plugins]\n", "version = 1"),
        ("version = 9\n", "version = 9"),
        ("version = 2\ndisabled_plugins = [\"cri\"]\n", "disabled_plugins"),
        ("version = 2\nplugins = { x = 1 }\n", "plugins is not a table"),
        (
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\ncontainerd = 7\n",
            "containerd is not a table",
        ),
        (
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\ndefault_runtime_name = \"kata\"\n",
            "runtimes.kata is missing",
        ),
    ] {
        let why = format!("{:#}", cri::put(text, SPEC, false).unwrap_err());
        assert!(why.contains(place), "{text}: {why}");
    }
}

#[test]
fn nri_is_switched_on_where_it_is_off() {
    let on = |text: &str, version| nri::put(Some(text), || Ok(version)).unwrap().unwrap();
    for text in [DEBIAN, EDITED_3, "version = 2\n"] {
        let with = on(text, (1, 7));
        let all: toml::Table = with.parse().unwrap();
        assert_eq!(all["plugins"]["io.containerd.nri.v1.nri"]["disable"].as_bool(), Some(false), "{with}");
        assert_eq!(on(&with, (1, 7)), with);
        assert_eq!(nri::strip(&with, Was::Text(text)).unwrap().as_deref(), Some(text));
        assert_eq!(nri::strip(&with, Was::Unknown).unwrap().as_deref(), Some(with.as_str()));
    }
    assert_eq!(on(DEBIAN, (2, 0)), DEBIAN);
    assert_eq!(nri::put(None, || Ok((2, 1))).unwrap(), None);
    let created = nri::put(None, || Ok((1, 7))).unwrap().unwrap();
    assert_eq!(nri::strip(&created, Was::Absent).unwrap(), None);
    assert!(nri::put(Some(DEBIAN), || Ok((1, 6))).unwrap_err().to_string().contains("1.6"));
}

#[test]
fn both_of_us_in_one_file_go_in_any_order() {
    for text in [DEBIAN, EDITED_3] {
        let first = cri::put(text, SPEC, false).unwrap();
        let both = nri::put(Some(&first), || Ok((1, 7))).unwrap().unwrap();
        let nri_only = cri::strip(&both, Was::Text(text)).unwrap().unwrap();
        assert_eq!(nri::strip(&nri_only, Was::Text(&first)).unwrap().as_deref(), Some(text));
    }
}
