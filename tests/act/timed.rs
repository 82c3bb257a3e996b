//! A program's time from its start to its end, as whoever waits for it sees it: a line of microseconds in a file.

use std::{
    fs::File,
    io::Write,
    process::{Command, ExitCode},
    time::Instant,
};

/// LOG PROGRAM ARGUMENT...
pub fn run(args: &[String]) -> ExitCode {
    let [log, program, args @ ..] = args else { return ExitCode::from(2) };
    let start = Instant::now();
    let status = Command::new(program).args(args).status().expect("failed to start the program");
    let took = start.elapsed().as_micros();
    let mut log = File::options().create(true).append(true).open(log).expect("no log");
    log.write_all(format!("{took}\n").as_bytes()).expect("failed to write the log");
    ExitCode::from(status.code().map_or(1, |code| code as u8))
}
