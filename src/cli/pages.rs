//! What is printed for other programs: the definition for `kubectl`, and the commands for a shell and `man`.

use crate::crd;
use crate::options::Exit;
use crate::output::print;

/// Writes the definitions to standard output.
///
/// # Errors
///
/// [`Exit::Failed`] when it cannot be written.
pub fn definition() -> Result<(), Exit> {
    print(&crd::definitions_yaml().map_err(|error| Exit::Failed(error.to_string()))?)
}

/// Writes completions for a shell to standard output.
///
/// # Errors
///
/// [`Exit::Failed`] when it cannot be written.
pub fn completions(mut command: clap::Command, shell: clap_complete::Shell) -> Result<(), Exit> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    let script = String::from_utf8_lossy(&script);
    // For bash, it knows the commands of a program with a hyphen in its name by two different words.
    print(&script.replace("unstructured__subcmd__operator", "unstructured__operator"))
}

/// Writes a man page for each command into a directory.
///
/// # Errors
///
/// [`Exit::Failed`] when it cannot be written.
pub fn man(command: clap::Command, directory: &std::path::Path) -> Result<(), Exit> {
    let made = std::fs::create_dir_all(directory);
    let written = made.and_then(|()| clap_mangen::generate_to(command, directory));
    written.map_err(|error| {
        Exit::Failed(format!(
            "the man pages cannot be written to {}: {error}",
            directory.display()
        ))
    })
}
