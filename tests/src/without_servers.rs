//! An application that needs no Kafka and no Valkey.

use anyhow::Result;
use tempfile::NamedTempFile;

use crate::root;

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "wasi-p2"
[[trigger.http]]
route = "/..."
component = "wasi-p2"
[component.wasi-p2]
source = "components/wasi_p2.wasm"
"#;

/// Writes its manifest beside the built components.
pub fn without_servers() -> Result<NamedTempFile> {
    let manifest = tempfile::Builder::new().suffix(".toml").tempfile_in(root().join("target"))?;
    std::fs::write(manifest.path(), MANIFEST)?;
    Ok(manifest)
}
