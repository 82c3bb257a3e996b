//! What containers do in tests where a shell cannot: one act a module, named by the first argument.

mod ticks;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((act, args)) = args.split_first() else { return ExitCode::from(2) };
    match act.as_str() {
        "ticks" => ticks::run(args),
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}
