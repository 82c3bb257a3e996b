//! What Prometheus makes of our metrics: a real one scrapes a daemon whose containers work, by the configuration of
//! examples/prometheus, and is asked what the dashboards of examples/grafana ask.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use remora_tests::{
    Bed, Bundle,
    bed::signal,
    dns::{A, Server, query},
    output, run, source, wait_for,
};
use serde_json::Value;

/// A program of Prometheus'.
fn program(name: &str) -> Command {
    let dir = run(&mut Command::new(source("tests/prometheus")));
    Command::new(PathBuf::from(dir.trim()).join(name))
}

/// Of a port that is free now.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("no port").local_addr().expect("an address").port()
}

struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    /// By the example's configuration, but for the address and the interval.
    fn start(bed: &Bed, target: u16) -> Self {
        let dir = bed.path("prometheus");
        fs::create_dir(&dir).expect("failed to make a folder");
        let example = fs::read_to_string(source("examples/prometheus/prometheus.yml")).expect("no example");
        let config = example.replace("127.0.0.1:9758", &format!("127.0.0.1:{target}")).replace("15s", "1s");
        fs::write(dir.join("prometheus.yml"), config).expect("failed to write");
        fs::copy(source("examples/prometheus/rules.yml"), dir.join("rules.yml")).expect("failed to copy");
        let port = port();
        let mut command = program("prometheus");
        command.arg(format!("--config.file={}", dir.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", dir.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let log = File::create(dir.join("log")).expect("no log");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let prometheus = Self { child: child.expect("failed to start Prometheus"), port };
        wait_for("Prometheus to be ready", || prometheus.get("/-/ready", &[]));
        prometheus
    }

    fn get(&self, target: &str, more: &[&str]) -> Option<String> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--max-time", "30", "--noproxy", "*"]).args(more);
        let answer = output(curl.arg(format!("http://127.0.0.1:{}{target}", self.port)));
        answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
    }

    fn json(&self, target: &str, more: &[&str]) -> Value {
        let text = self.get(target, more).unwrap_or_else(|| panic!("no answer to {target} {more:?}"));
        serde_json::from_str(&text).expect("not JSON")
    }

    /// How many series the expression has now.
    fn series(&self, expression: &str) -> usize {
        let answer = self.json("/api/v1/query", &["--data-urlencode", &format!("query={expression}")]);
        answer["data"]["result"].as_array().map_or(0, Vec::len)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        signal(self.child.id(), "KILL");
        self.child.wait().ok();
    }
}

/// Answers a line for each line, until the test ends.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("failed to listen");
    let port = listener.local_addr().expect("an address").port();
    let serve = |mut stream: TcpStream| {
        let mut line = String::new();
        BufReader::new(stream.try_clone().ok()?).read_line(&mut line).ok()?;
        stream.write_all(line.as_bytes()).ok()
    };
    std::thread::spawn(move || listener.incoming().flatten().filter_map(serve).count());
    port
}

/// Something of everything that dashboards show, again and again.
fn busy(bed: &Bed, peer: u16, server: &Server) -> Child {
    let question = bed.path("question");
    fs::write(&question, query(1, &[b"one", b"test"], A)).expect("failed to write");
    let name_server = server.address.port();
    let script = format!(
        "busybox nc -l -p 0 & while [ -e {question} ]; do ls / >/dev/null; : >{dir}/file; rm {dir}/file {dir}/no 2>/dev/null; \
         exec 3<>/dev/tcp/127.0.0.1/{peer}; echo hello >&3; read -r -u 3; exec 3>&-; (exec 4<>/dev/tcp/127.0.0.1/1) 2>/dev/null; \
         exec 3<>/dev/udp/127.0.0.1/{name_server}; cat {question} >&3; timeout 9 dd bs=9000 count=1 <&3 >/dev/null 2>&1; exec 3>&-; \
         unshare --uts true; sleep 0.2; done; kill %1",
        question = question.display(),
        dir = bed.path("").display(),
    );
    let mut command = bed.remora(&["run", "--name", "busy", "--trace", "all", "--", "bash", "-c", &script]);
    command.stdin(Stdio::null()).spawn().expect("failed to start")
}

/// One of a pod, with limits.
fn limited(bed: &Bed) -> (Bundle, Child) {
    let script = "while :; do i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 0.1; done";
    let bundle = Bundle::with(bed, "limited", &["/bin/sh", "-c", script], |config| {
        let annotations = &mut config["annotations"];
        annotations["io.remora.trace"] = "default".into();
        annotations["io.kubernetes.cri.sandbox-name"] = "web-0".into();
        annotations["io.kubernetes.cri.sandbox-namespace"] = "shop".into();
        annotations["io.kubernetes.cri.container-name"] = "limited".into();
        config["linux"]["resources"] = serde_json::json!({
            "memory": { "limit": 64 << 20 }, "cpu": { "quota": 30_000, "period": 100_000 }
        });
    });
    let child = bundle.start();
    (bundle, child)
}

fn dashboards() -> Vec<(String, Value)> {
    let files = fs::read_dir(source("examples/grafana")).expect("no dashboards").flatten().map(|f| f.path());
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("failed to read");
        (path.display().to_string(), serde_json::from_str(&text).expect("not JSON"))
    };
    files.filter(|p| p.extension().is_some_and(|e| e == "json")).map(read).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// An expression as Grafana sends it, with everything chosen.
fn chosen(expression: &str) -> String {
    let mut sent = expression.replace("$__rate_interval", "10s").replace("$__range", "5m");
    for variable in ["node", "namespace", "pod", "container"] {
        sent = sent.replace(&format!("\"${variable}\""), "\".*\"");
    }
    // But for what a regular expression has found.
    assert!(!sent.replace("$1", "").contains('$'), "an unknown variable: {expression}");
    sent
}

/// docs/metrics.md has every family but the tracers' own, and no other.
fn documented(scrape: &str) {
    let page = fs::read_to_string(source("docs/metrics.md")).expect("no page");
    let rows = page.lines().filter(|l| l.starts_with("| `")).filter_map(|l| l.split('|').nth(1));
    let told: BTreeSet<&str> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let families = scrape.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next());
    let tracers: Vec<String> = scrape
        .lines()
        .filter_map(|l| Some(l.strip_prefix("remora_tracer_containers{tracer=\"")?.split_once('"')?.0))
        .map(|name| format!("remora_{name}_"))
        .collect();
    let own: BTreeSet<&str> = families.filter(|f| !tracers.iter().any(|t| f.starts_with(t))).collect();
    assert_eq!(own, told);
}

/// Prometheus asks for OpenMetrics, and has from it what the text says: each family, of the same kind.
fn by_open_metrics(bed: &Bed, prometheus: &Prometheus) {
    let names = |text: &str| -> BTreeSet<String> {
        let series = text.lines().filter(|l| !l.starts_with('#'));
        series.filter_map(|l| Some(l.split(['{', ' ']).next()?.to_owned())).collect()
    };
    let of_scrape = |name: &str| name == "up" || name.starts_with("scrape_");
    wait_for("the same names by either format", || {
        let told = names(&bed.get("/metrics?cost=true"));
        let answer = prometheus.json(
            "/api/v1/label/__name__/values",
            &["--get", "--data-urlencode", "match[]={job=\"remora\"}"],
        );
        let had = list(&answer["data"]).filter_map(Value::as_str);
        let had: BTreeSet<String> = had.filter(|n| !of_scrape(n)).map(str::to_owned).collect();
        (had == told).then_some(())
    });
    let kinds = |text: &str| -> BTreeSet<(String, String)> {
        let lines = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split_once(' '));
        lines.map(|(name, kind)| (name.trim_end_matches("_total").to_owned(), kind.to_owned())).collect()
    };
    // A counter's family has no ending there, so that this tells by what it was scraped.
    let answer = prometheus.json("/api/v1/targets/metadata", &[]);
    let had = list(&answer["data"])
        .filter_map(|m| Some((m["metric"].as_str()?.to_owned(), m["type"].as_str()?.to_owned())));
    let had: BTreeSet<(String, String)> = had.collect();
    let told = kinds(&bed.get("/metrics?cost=true"));
    assert!(told.is_subset(&had), "{:?}", told.difference(&had).collect::<Vec<_>>());
}

#[test]
fn rules_say_what_they_should() {
    for args in [["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]] {
        run(program("promtool").args(args).current_dir(source("examples/prometheus")));
    }
    run(program("promtool")
        .args(["check", "config", "prometheus.yml"])
        .current_dir(source("examples/prometheus")));
}

#[test]
fn dashboards_are_what_their_source_says() {
    let bed = Bed::cold();
    run(Command::new(source("examples/grafana/build")).arg(bed.path("")));
    for (path, dashboard) in dashboards() {
        let name = PathBuf::from(&path).file_name().expect("a name").to_string_lossy().into_owned();
        let made: Value =
            serde_json::from_str(&fs::read_to_string(bed.path(&name)).expect("not made")).expect("not JSON");
        assert_eq!(made, dashboard, "run examples/grafana/build");
    }
}

/// Speaks of what works all the time.
const RULE: &str = "rules:\n  - id: listed\n    summary: a folder was listed\n    description: for the test\n    \
                    condition: event.name == \"exec\" && \"ls\" in process.command_args\n    severity: low\n";

#[test]
fn every_dashboard_has_data() {
    let (metrics, peer, server) = (port(), echo(), Server::new("127.0.0.1", 0));
    let mut bed = Bed::cold()
        .with("api", &format!("metrics_listen = \"127.0.0.1:{metrics}\""))
        .with("tracers", "preload = [\"all\"]")
        .with("history", "enabled = true")
        .with("metrics", "topology = true")
        // Nobody takes what is sent, which has its metrics, too.
        .with("otlp", "endpoint = \"http://127.0.0.1:1\"")
        .with("alerts.alertmanager", "urls = [\"http://127.0.0.1:1\"]")
        .with("tracers", &format!("params = {{ dns = {{ port = {} }} }}", server.address.port()));
    fs::create_dir(bed.path("rules.d")).expect("failed to make a folder");
    fs::write(bed.path("rules.d/test.yaml"), RULE).expect("failed to write");
    bed.start();
    let mut working = busy(&bed, peer, &server);
    let (bundle, mut child) = limited(&bed);
    let prometheus = Prometheus::start(&bed, metrics);

    let mut check = program("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("failed to start promtool");
    let text = bed.get("/metrics?cost=true");
    check.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("failed to write");
    let said = check.wait_with_output().expect("failed to wait");
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );

    documented(&text);
    by_open_metrics(&bed, &prometheus);
    let mut asked = 0;
    for (path, dashboard) in dashboards() {
        for panel in list(&dashboard["panels"]) {
            for target in list(&panel["targets"]) {
                let expression = chosen(target["expr"].as_str().expect("an expression"));
                // Costs are counted for as long as somebody asks.
                let what = format!("data of {:?} in {path}: {expression}", panel["title"]);
                wait_for(&what, || {
                    bed.get("/metrics?cost=true");
                    (prometheus.series(&expression) > 0).then_some(())
                });
                asked += 1;
            }
        }
        for variable in list(&dashboard["templating"]["list"]) {
            let Some(query) = variable["query"]["query"].as_str() else { continue };
            let inner = query.trim_start_matches("label_values(").trim_end_matches(')');
            let (series, label) = inner.rsplit_once(", ").expect("series and label");
            let answer = prometheus.json(
                &format!("/api/v1/label/{label}/values"),
                &["--get", "--data-urlencode", &format!("match[]={}", chosen(series))],
            );
            let values: BTreeSet<&str> = list(&answer["data"]).filter_map(Value::as_str).collect();
            let wanted = match label {
                "node" => "localhost",
                "namespace" => "shop",
                "pod" => "web-0",
                _ => "limited",
            };
            assert!(values.contains(wanted), "{label}: {values:?}");
        }
    }
    assert!(asked > 40, "{asked} queries");
    let rules = prometheus.json("/api/v1/rules", &[]);
    let rules: Vec<&Value> = list(&rules["data"]["groups"]).flat_map(|g| list(&g["rules"])).collect();
    let wrong: Vec<_> = rules.iter().filter(|r| r["health"] != "ok").collect();
    assert!(!rules.is_empty() && wrong.is_empty(), "{wrong:?}");

    fs::remove_file(bed.path("question")).expect("failed to remove");
    working.wait().expect("failed to wait");
    bundle.delete();
    child.wait().expect("failed to wait");
}
