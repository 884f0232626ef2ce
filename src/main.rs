//! The binary: the TLS provider first, then options, then one of the commands.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use tokio::runtime::Builder;
use unstructured_operator::cli::{self, Command, Login};
use unstructured_operator::options::Exit;
use unstructured_operator::{doctor, follow, import, login, run, uninstall};

/// glibc's allocator takes a fifth of the CPU time, and keeps for good what a sweep over thousands of connectors took for a moment.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Two providers are compiled into nothing here, but rustls still wants to be told which one before the first connection.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        return Exit::Failed("a TLS provider is installed already; this is a bug".to_owned())
            .report();
    }
    let done = cli::parse(std::env::args_os(), |name| std::env::var_os(name)).and_then(carry_out);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

fn carry_out(command: Command) -> Result<(), Exit> {
    // One thread does for a person who waits.
    let mut alone = Builder::new_current_thread();
    match command {
        Command::Run(options) => {
            let operator = async { Ok(run::run(*options).await?) };
            block_on(&mut Builder::new_multi_thread(), operator)
        }
        Command::Crd => cli::definition(),
        Command::Login(Login::Dropbox(options)) => block_on(&mut alone, login::run(&options)),
        Command::Doctor(options) => block_on(&mut alone, doctor::run(&options)),
        Command::Import(options) => block_on(&mut alone, import::run(&options)),
        Command::Start(options) => block_on(&mut alone, follow::start(&options)),
        Command::Follow(options) => block_on(&mut alone, follow::follow(&options)),
        Command::Uninstall(options) => block_on(&mut alone, uninstall::run(&options)),
        Command::Completions { shell } => cli::completions(cli::command(), shell),
        Command::Man { directory } => cli::man(cli::command(), &directory),
    }
}

fn block_on(
    runtime: &mut Builder,
    command: impl Future<Output = Result<(), Exit>>,
) -> Result<(), Exit> {
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| Exit::Failed(error.to_string()))?;
    runtime.block_on(command)
}
