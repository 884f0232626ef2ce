//! The binary: the TLS provider first, then options, then one of the commands.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use unstructured_operator::cli::{self, Command, Exit, Login, Options};
use unstructured_operator::{crd, doctor, import, login, run};

/// glibc's allocator takes a fifth of the CPU time, and keeps for good what a sweep over thousands of connectors took for a moment.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Two providers are compiled into nothing here, but rustls still wants to be told which one before the first connection.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("error: a TLS provider is installed already; this is a bug");
        return ExitCode::FAILURE;
    }
    let command = match cli::parse(std::env::args_os(), |name| std::env::var_os(name)) {
        Ok(command) => command,
        Err(exit) => return exit.report(),
    };
    let done = match command {
        Command::Run(options) => return operate(*options),
        Command::Crd => match crd::definition_yaml() {
            Ok(yaml) => {
                print!("{yaml}");
                Ok(())
            }
            Err(error) => return fail(1, &error),
        },
        Command::Login(Login::Dropbox(options)) => block_on(login::run(&options)),
        Command::Doctor(options) => block_on(doctor::run(&options)),
        Command::Import(options) => block_on(import::run(&options)),
        Command::Completions { shell } => {
            cli::completions(shell);
            Ok(())
        }
        Command::Man { directory } => cli::man(&directory),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

fn operate(options: Options) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &error),
    };
    match runtime.block_on(run::run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.exit_code(), &error),
    }
}

/// Runs a command of a person who waits: one thread does.
fn block_on(command: impl Future<Output = Result<(), Exit>>) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::Failed(error.to_string()))?;
    runtime.block_on(command)
}

fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(code)
}
