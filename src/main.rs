//! The binary: the TLS provider first, then options, then one of the commands.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use unstructured_operator::cli::{self, Command};
use unstructured_operator::runtime::logging;
use unstructured_operator::{crd, run};

fn main() -> ExitCode {
    // Two providers are compiled into nothing here, but rustls still wants to be told which one before the first connection.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("error: a TLS provider is installed already; this is a bug");
        return ExitCode::FAILURE;
    }
    match cli::parse(std::env::args_os(), |name| std::env::var_os(name)) {
        Err(exit) => exit.report(),
        Ok(Command::Crd) => match crd::definition_yaml() {
            Ok(yaml) => {
                print!("{yaml}");
                ExitCode::SUCCESS
            }
            Err(error) => fail(1, &error),
        },
        Ok(Command::Run(options)) => {
            if let Err(error) = logging::init(options.log_format, &options.log_level) {
                return fail(1, &error);
            }
            let runtime = match tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
            {
                Ok(runtime) => runtime,
                Err(error) => return fail(1, &error),
            };
            match runtime.block_on(run::run(*options)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(error.exit_code(), &error),
            }
        }
    }
}

fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(code)
}
