use std::process::ExitCode;

fn main() -> ExitCode {
    remora::cli::main()
}
