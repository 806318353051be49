//! Parses YAML.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// All documents of a text, without empty ones.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).context("the text is not YAML")?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}
