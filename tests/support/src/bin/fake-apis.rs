//! Both fakes on fixed ports, so that anyone can try the operator without an account.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Parser;
use support::fake::{FakeDropbox, FakeUnstructured, Recorded};

/// Serves fakes of the Unstructured and Dropbox APIs until Ctrl-C, and prints every request.
#[derive(Parser)]
struct Options {
    /// Where the Unstructured API listens
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Where the Dropbox API listens
    #[arg(long, default_value = "127.0.0.1:8001")]
    dropbox_listen: SocketAddr,
    /// The key that opens the workspace
    #[arg(long, default_value = "demo-key")]
    api_key: String,
    /// The Dropbox app that is good; without these three, all are
    #[arg(long, requires_all = ["app_secret", "refresh_token"])]
    app_key: Option<String>,
    /// Its secret
    #[arg(long, requires = "app_key")]
    app_secret: Option<String>,
    /// The refresh token that a user gave it
    #[arg(long, requires = "app_key")]
    refresh_token: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let unstructured = FakeUnstructured::start_at(options.listen)
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    let dropbox = FakeDropbox::start_at(options.dropbox_listen)
        .with_context(|| format!("cannot listen on {}", options.dropbox_listen))?;

    unstructured.workspace(&options.api_key);
    match (
        &options.app_key,
        &options.app_secret,
        &options.refresh_token,
    ) {
        (Some(key), Some(secret), Some(token)) => dropbox.accept(key, secret, token),
        _ => dropbox.accept_anything(),
    }
    dropbox.add_folder("/contracts");
    dropbox.add_folder("/invoices");
    unstructured.on_answer(|request| print("unstructured", request));
    dropbox.on_answer(|request| print("dropbox", request));

    let (url, dropbox_url, key) = (unstructured.url(), dropbox.url(), &options.api_key);
    println!("Unstructured API  {url}  key {key}");
    println!(
        "                  sources, destinations, workflows and jobs; a run takes a few looks at it,"
    );
    println!("                  and three documents come through");
    println!("Dropbox API       {dropbox_url}");
    println!();
    println!("The operator on it:");
    println!("  UNSTRUCTURED_API_KEY={key} unstructured-operator run --allow-insecure-http \\");
    println!("    --api-url {url} --dropbox-api-url {dropbox_url} \\");
    println!("    --validate-pinecone-credentials=false --job-interval 2s");
    println!("A login to it, with any app and any code:");
    println!(
        "  unstructured-operator login dropbox --allow-insecure-http --dropbox-api-url {dropbox_url}"
    );
    println!("By hand:");
    println!("  curl -H 'unstructured-api-key: {key}' {url}/sources/");
    println!("  curl -H 'unstructured-api-key: {key}' {url}/destinations/");
    println!("  curl -H 'unstructured-api-key: {key}' {url}/workflows/");
    println!("  curl -H 'unstructured-api-key: {key}' {url}/jobs/");
    println!();

    tokio::signal::ctrl_c()
        .await
        .context("cannot wait for Ctrl-C")?;
    // They were printed when they happened; here they are no failure.
    unstructured.take_violations();
    dropbox.take_violations();
    Ok(())
}

fn print(api: &str, request: &Recorded) {
    let time = request.at.strftime("%H:%M:%S%.3f");
    println!("{time} {api:12} {request}");
}
