//! Checks the Kubernetes manifests, or creates the secrets that they need.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use k8s_manifests::{
    EXAMPLES, Project, Variant, check, check_example, generate_secrets, kustomize,
};

fn main() -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize();
    let root = root.context("the project's folder is gone")?;
    match std::env::args().nth(1).as_deref() {
        Some("check") => check_all(&root),
        Some("secrets") => secrets(&root),
        _ => bail!("manifests check | manifests secrets"),
    }
}

fn secrets(root: &Path) -> Result<ExitCode> {
    let made = generate_secrets(root)?;
    for path in &made {
        printing::result(path.strip_prefix(root).unwrap_or(path).display())?;
    }
    let made = made.len();
    printing::result(format_args!("{made} files created; existing files were not changed"))?;
    Ok(ExitCode::SUCCESS)
}

fn check_all(root: &Path) -> Result<ExitCode> {
    generate_secrets(root)?;
    let project = Project::load(root)?;
    let mut all = Vec::new();
    for variant in Variant::all(root)? {
        let objects = variant.render(root)?;
        all.push((variant.name(), check(&project, &objects)?, objects.len()));
    }
    for example in EXAMPLES {
        let folder = root.join(example);
        let objects = kustomize(&folder.join("k8s"))?;
        all.push((example.into(), check_example(&project, &folder, &objects)?, objects.len()));
    }
    let mut wrong = 0;
    for (name, found, objects) in all {
        let findings = found.len();
        printing::result(format_args!("{name}: {objects} objects, {findings} findings"))?;
        for finding in &found {
            printing::result(format_args!("  {finding}"))?;
        }
        wrong += found.len();
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
