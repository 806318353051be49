//! `doorbuster push`: pushes an application to an OCI registry.

use std::path::PathBuf;

use anyhow::Result;
use printing::Progress;
use registry::{Reference, parse_reference};
use runner::TRIGGER_TYPES;

use crate::source::{read_manifest, transport};

/// Push an application to an OCI registry, for `up -f` and `spin up -f`.
///
/// The artifact has the format of `spin registry push`.
/// Components are not composed with their dependencies, so a host may provide some of these itself.
/// Credentials come from Docker's configuration (`docker login`).
#[derive(clap::Args)]
pub struct Args {
    /// Reference of the artifact: REGISTRY/NAME[:TAG].
    #[arg(value_name = "REF", value_parser = |text: &str| parse_reference(text))]
    reference: Reference,
    /// Manifest of the application.
    #[arg(short = 'f', long, value_name = "FILE", default_value = "spin.toml")]
    from: PathBuf,
    /// Use plain HTTP for the registry. A registry on this machine may use it in any case.
    #[arg(short = 'k', long)]
    insecure: bool,
}

/// Pushes the application, and prints the reference with the digest of the artifact.
pub async fn run(args: Args) -> Result<()> {
    let app = read_manifest(&args.from).await?;
    app.check_triggers(&TRIGGER_TYPES)?;
    component_host::http::check_triggers(&app)?;
    let progress = Progress::work("pushing the application");
    let digest = registry::push(&app, &args.reference, transport(args.insecure)).await?;
    drop(progress);
    let Args { reference, .. } = args;
    let (registry, repository) = (reference.registry(), reference.repository());
    Ok(printing::result(format_args!("{registry}/{repository}@{digest}"))?)
}
