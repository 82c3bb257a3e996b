//! What a scrape costs a node that is full.

use std::{
    process::{Child, Command},
    time::Instant,
};

use remora_tests::{Bed, Bundle, count, run, wait_for};

use crate::table::Figure;

/// Work that gives every default tracer something to count.
const WORK: &str = "for i in 1 2 3 4 5; do true | cat; nc -w 1 127.0.0.1 1; nslookup -timeout=1 a.test 127.0.0.1; done >/dev/null 2>&1; \
                    (head -c 1000 /dev/zero; sleep 1) | nc -l -p 0 & sleep 10000";

pub fn measure() -> Vec<Figure> {
    let containers = count(200);
    let mut bed = Bed::cold().with("tracers", "preload = [\"default\"]");
    bed.start();
    let bundles: Vec<Bundle> = (0..containers)
        .map(|n| Bundle::new(&bed, &format!("scraped-{n}"), "default", &["/bin/sh", "-c", WORK]))
        .collect();
    let mut children: Vec<Child> = bundles.iter().map(started).collect();
    wait_for("all to be in scope", || {
        (bed.metric("remora_containers")? == f64::from(containers)).then_some(())
    });
    // What they begin with is over, and its names have not been answered.
    std::thread::sleep(std::time::Duration::from_secs(30));
    let mut figures = scraped(&bed, &format!("{containers} containers"), "text/plain");
    figures.extend(scraped(&bed, "as OpenMetrics", "application/openmetrics-text"));
    bed.stop();
    let mut bed = bed.with("metrics", "topology = true");
    bed.start();
    figures.extend(scraped(&bed, "with the map", "text/plain"));
    drop(bundles);
    children.iter_mut().for_each(|c| drop(c.wait()));
    figures
}

fn started(bundle: &Bundle) -> Child {
    let child = bundle.start();
    wait_for("the container to run", || bundle.pid());
    child
}

fn scraped(bed: &Bed, what: &str, accept: &str) -> Vec<Figure> {
    let socket = bed.path("api.sock").display().to_string();
    let header = format!("Accept: {accept}");
    let scrape = || {
        run(Command::new("curl")
            .args(["--silent", "--fail", "--unix-socket", &socket, "--header", &header])
            .arg("http://localhost/metrics"))
    };
    let used = |text: &str| -> f64 {
        let line = text.lines().find_map(|l| l.strip_prefix("process_cpu_seconds_total "));
        line.and_then(|n| n.parse().ok()).expect("no processor time")
    };
    let (mut times, mut shares, mut last) = (Vec::new(), Vec::new(), scrape());
    for _ in 0..30 {
        let start = Instant::now();
        let text = scrape();
        times.push(start.elapsed().as_secs_f64() * 1e3);
        shares.push((used(&text) - used(&last)) * 1e3);
        last = text;
    }
    let series = last.lines().filter(|l| !l.starts_with('#')).count();
    vec![
        Figure::new(format!("a scrape, {what}"), "ms", times).budget("<= 100"),
        Figure::new(format!("daemon's processor time, {what}"), "ms", shares),
        Figure::one(format!("series, {what}"), "", series as f64),
        Figure::one(format!("size, {what}"), "MB", last.len() as f64 / 1e6),
    ]
}
