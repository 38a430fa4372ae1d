//! The command line; see [`secateur::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    secateur::cli::main(std::env::args_os())
}
