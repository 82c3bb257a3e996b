//! The API over TLS, by the configuration for nginx that stands among the examples.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use remora_tests::{Bed, bed::signal, output, run, source, wait_for};

/// A key and a certificate of that name, by the authority `by` or by itself.
fn certificate(bed: &Bed, name: &str, by: Option<&str>) {
    let mut make = Command::new("openssl");
    make.current_dir(bed.path("")).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    make.args([
        "-days",
        "1",
        "-subj",
        &format!("/CN={name}"),
        "-addext",
        &format!("subjectAltName=DNS:{name}"),
    ]);
    make.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
    if let Some(by) = by {
        make.args([
            "-CA",
            &format!("{by}.pem"),
            "-CAkey",
            &format!("{by}.key"),
            "-addext",
            "basicConstraints=CA:FALSE",
        ]);
    }
    run(&mut make);
}

#[test]
fn nginx_lets_in_who_has_a_certificate_and_only_to_read() {
    let mut bed = Bed::cold().with("api", "group = \"daemon\"");
    bed.start();
    fs::set_permissions(bed.path(""), fs::Permissions::from_mode(0o755)).expect("failed to chmod");
    certificate(&bed, "authority", None);
    certificate(&bed, "localhost", Some("authority"));
    certificate(&bed, "client", Some("authority"));
    certificate(&bed, "stranger", None);
    let port = TcpListener::bind("127.0.0.1:0").expect("no port").local_addr().expect("an address").port();
    let file = |name: &str| bed.path(name).display().to_string();
    let example = fs::read_to_string(source("examples/nginx-mtls.conf")).expect("no example");
    let server = example
        .replace("    listen [::]:9465 ssl;\n", "")
        .replace("listen 9465 ssl", &format!("listen 127.0.0.1:{port} ssl"))
        .replace("/etc/remora/tls/server.pem", &file("localhost.pem"))
        .replace("/etc/remora/tls/server.key", &file("localhost.key"))
        .replace("/etc/remora/tls/clients.pem", &file("authority.pem"))
        .replace("/run/remora/api.sock", &file("api.sock"));
    let config = format!(
        "user nobody daemon;\ndaemon off;\nmaster_process on;\nworker_processes 1;\npid {};\nerror_log {};\n\
         events {{}}\nhttp {{\naccess_log off;\n{server}}}\n",
        file("nginx.pid"),
        file("nginx.log")
    );
    fs::write(bed.path("nginx.conf"), config).expect("failed to write");
    let mut nginx = Command::new("nginx");
    nginx.args(["-e", &file("nginx.log"), "-c", &file("nginx.conf")]).stderr(Stdio::null());
    let mut nginx = nginx.spawn().expect("failed to start nginx");
    let ask = |target: &str, more: &[&str]| {
        let mut curl = Command::new("curl");
        curl.current_dir(bed.path("")).args(["--silent", "--max-time", "30", "--cacert", "authority.pem"]);
        curl.args(more).args(["--output", "/dev/null", "--write-out", "%{http_code}"]);
        let said = output(curl.arg(format!("https://localhost:{port}{target}")));
        String::from_utf8_lossy(&said.stdout).parse::<u16>().expect("a status")
    };
    let known = ["--cert", "client.pem", "--key", "client.key"];
    wait_for("nginx", || (ask("/healthz", &known) == 200).then_some(()));
    for target in ["/v1/containers", "/v1/status", "/v1/events?replay=true", "/metrics"] {
        assert_eq!(ask(target, &known), 200, "{target}");
        assert_eq!(ask(target, &[]), 400, "{target} without a certificate");
        assert_ne!(
            ask(target, &["--cert", "stranger.pem", "--key", "stranger.key"]),
            200,
            "{target} of a stranger"
        );
    }
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(
            ask("/v1/tracers/exec/stop", &[&known[..], &["--request", method]].concat()),
            403,
            "{method}"
        );
    }
    assert_eq!(
        ask("/v1/containers", &[&known[..], &["--header", "Origin: https://evil.example"]].concat()),
        403
    );
    signal(nginx.id(), "TERM");
    nginx.wait().expect("failed to wait");
}
