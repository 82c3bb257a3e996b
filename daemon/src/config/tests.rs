use super::*;
use crate::tracer::params::ParamValue;

const EXAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/remora.toml"));

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("remora.toml")).map_err(|e| e.to_string())
}

/// Dotted paths of all keys below a table.
fn keys(table: &toml::Table, prefix: &str) -> Vec<String> {
    let path = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    let below = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::Table(inner) if !inner.is_empty() => keys(inner, &path(key)),
        _ => vec![path(key)],
    };
    table.iter().flat_map(below).collect()
}

#[test]
fn the_example_is_the_default() {
    assert_eq!(parse(EXAMPLE).unwrap(), Config::default());
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn the_example_names_every_key() {
    // A value for what has none by default, as the example's commented lines do.
    let mut all =
        Config { events: Events { file: Some("/e".into()), ..Events::default() }, ..Config::default() };
    all.managers.nri.hook = Some("/h".into());
    let example = EXAMPLE.replace("# file =", "file =").replace("# hook =", "hook =");
    assert_eq!(
        keys(&example.parse().unwrap(), ""),
        keys(&toml::Table::try_from(&all).unwrap(), ""),
        "examples/remora.toml lacks or invents a key"
    );
}

#[test]
fn what_is_written_is_read_back() {
    let mut config = Config::default();
    config.tracers.params =
        BTreeMap::from([("some".into(), BTreeMap::from([("max_args".into(), ParamValue::Number(7))]))]);
    config.hook.peer_timeout = Duration::from_millis(1500);
    config.limits.history_bytes = 0;
    assert_eq!(parse(&toml::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn parameters_are_tables_by_tracer() {
    let config = parse("[tracers.params.some]\nmax_args = 512\n").unwrap();
    assert_eq!(config.tracers.params["some"]["max_args"], ParamValue::Number(512));
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    for text in ["nonsense = 1", "[hook]\nnonsense = 1", "[nonsense]\n"] {
        let error = parse(text).unwrap_err();
        assert!(error.contains("remora.toml") && error.contains("nonsense"), "{error}");
    }
}

#[test]
fn a_value_out_of_range_names_its_key() {
    for (text, key) in [
        ("log = \"\"", "log"),
        ("log = \"=;\"", "log"),
        ("run_dir = \"run\"", "run_dir"),
        ("[hook]\nsocket = \"hook.sock\"", "hook.socket"),
        ("[hook]\npeers = 0", "hook.peers"),
        ("[hook]\npeer_timeout = \"1ms\"", "hook.peer_timeout"),
        ("[api]\nsocket = \"/run/remora/hook.sock\"", "api.socket"),
        ("[api]\ngroup = \"\"", "api.group"),
        ("[api]\nlisten = \"0.0.0.0:9757\"", "api.listen"),
        ("[api]\nlisten = \"[::]:9757\"\nmetrics_token_file = \"/token\"", "api.listen"),
        ("[api]\nlisten = \"127.0.0.1:9758\"\nmetrics_listen = \"127.0.0.1:9758\"", "api.listen"),
        ("[api]\ntoken_file = \"token\"", "api.token_file"),
        ("[api]\nmetrics_listen = \"0.0.0.0:9758\"", "api.metrics_listen"),
        ("[api]\nmetrics_token_file = \"token\"", "api.metrics_token_file"),
        ("[limits]\ncontainers = 4097", "limits.containers"),
        ("[limits]\nring_bytes = 5000000", "limits.ring_bytes"),
        ("[limits]\nring_bytes = \"32KiB\"", "limits.ring_bytes"),
        ("[limits]\nring_bytes = \"512MiB\"", "limits.ring_bytes"),
        ("[limits]\nseries_linger = \"2h\"", "limits.series_linger"),
        ("[limits]\nnested = 1", "limits.nested"),
        ("[tracers]\npreload = [\"a b\"]", "tracers.preload"),
        ("[tracers.params.a]\n\"B\" = 1", "tracers.params.a"),
        ("[events]\nfile = \"e.ndjson\"", "events.file"),
        ("[events]\nfile_max_bytes = 1", "events.file_max_bytes"),
        ("[scan]\nruntime_roots = [\"/run/[\"]", "scan.runtime_roots"),
        ("[scan]\nruntime_roots = [\"run\"]", "scan.runtime_roots"),
        ("[[select]]\nname = \"a\"", "select[0].trace"),
        ("[[select]]\ntrace = \"none\"", "select[0].trace"),
        ("[[select]]\ntrace = \"exec\"\n[[select]]\ntrace = \"B!\"", "select[1].trace"),
        ("[[select]]\ntrace = \"exec\"\nparams = { exec = \"1\" }", "select[0].trace"),
        ("[managers]\ntimeout = \"1s\"", "managers.timeout"),
        ("[alerts]\nrules_dir = \"here\"", "alerts.rules_dir"),
        ("[alerts]\nwindow = \"1ms\"", "alerts.window"),
        ("[alerts]\nmemory = \"1B\"", "alerts.memory"),
        ("[alerts.alertmanager]\nurls = [\"http://am:9093\"]", "alerts.alertmanager.urls"),
        ("[alerts.webhook]\nurl = \"https://127.0.0.1:1\"", "alerts.webhook.url"),
        ("[alerts.webhook]\ntoken_file = \"t\"", "alerts.webhook.token_file"),
        ("[alerts.syslog]\naddress = \"127.0.0.1:514\"", "alerts.syslog.address"),
        ("[alerts.file]\npath = \"f\"", "alerts.file.path"),
        ("[managers.podman]\nstorage = [\"here\"]", "managers.podman.storage"),
    ] {
        let error = parse(text).unwrap_err();
        let expected = format!("failed to accept configuration remora.toml: {key} ");
        assert!(error.starts_with(&expected), "{text}: {error}");
    }
}

#[test]
fn a_socket_path_that_the_kernel_would_cut_is_refused() {
    let text = format!("[hook]\nsocket = \"/{}\"", "s".repeat(107));
    assert!(parse(&text).unwrap_err().contains("hook.socket is longer than"));
}

#[test]
fn a_wrong_type_or_unit_says_where() {
    for text in ["[limits]\nring_bytes = \"4MB\"", "[hook]\npeer_timeout = 500", "[limits]\ncontainers = -1"]
    {
        let error = parse(text).unwrap_err();
        assert!(
            error.starts_with("failed to parse configuration remora.toml") && error.contains("line 2"),
            "{error}"
        );
    }
}

#[test]
fn only_a_named_file_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.toml");
    let error = Config::load(Some(&missing)).unwrap_err().to_string();
    assert!(error.contains("missing.toml") && error.contains("No such file"), "{error}");

    let file = dir.path().join("remora.toml");
    std::fs::write(&file, "log = \"debug\"\n").unwrap();
    assert_eq!(Config::load(Some(&file)).unwrap().log, "debug");
}

#[test]
fn the_index_of_an_nri_plugin_is_two_digits() {
    assert!(parse("[managers.nri]\nindex = \"07\"").is_ok());
    for index in ["7", "100", "1x", ""] {
        let error = parse(&format!("[managers.nri]\nindex = {index:?}")).unwrap_err();
        assert!(error.contains("managers.nri.index") && error.contains("two digits"), "{error}");
    }
}
