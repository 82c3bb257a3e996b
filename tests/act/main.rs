//! What containers do in tests where a shell cannot: one act a module, named by the first argument.

mod dns;
mod files;
mod guard;
mod maps;
mod sockets;
mod spin;
mod tcp;
mod resets;
mod ticks;
mod timed;
mod udp;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((act, args)) = args.split_first() else { return ExitCode::from(2) };
    match act.as_str() {
        "dns" => dns::run(args),
        "files" => files::run(args),
        "guard" => guard::run(),
        "maps" => maps::run(args),
        "sockets" => sockets::run(args),
        "spin" => spin::run(args),
        "tcp" => tcp::run(args),
        "resets" => resets::run(args),
        "ticks" => ticks::run(args),
        "timed" => return timed::run(args),
        "udp" => udp::run(args),
        "usage" => usage::run(args),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}
