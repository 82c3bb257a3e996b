//! `act dns ADDRESS PORT FILE`: a DNS server. It makes the file once it can be asked, and ends when that is gone.

use remora_tests::{dns::Server, wait_for};

pub fn run(args: &[String]) {
    let [address, port, file] = args else { panic!("told {args:?}") };
    let _server = Server::new(address, port.parse().expect("a port"));
    std::fs::write(file, "").expect("failed to write");
    wait_for("the end", || (!std::fs::exists(file).expect("failed to look")).then_some(()));
}
