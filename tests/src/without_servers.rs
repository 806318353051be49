//! An application that needs no servers.

use anyhow::Result;
use tempfile::NamedTempFile;

use crate::root;

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "older"
[[trigger.http]]
route = "/..."
component = "older"
[component.older]
source = "components/older.wasm"
"#;

/// Its manifest, beside the components that were built.
pub fn without_servers() -> Result<NamedTempFile> {
    let manifest = tempfile::Builder::new().suffix(".toml").tempfile_in(root().join("target"))?;
    std::fs::write(manifest.path(), MANIFEST)?;
    Ok(manifest)
}
