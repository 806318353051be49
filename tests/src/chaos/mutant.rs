//! Components with deliberate bugs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::root;

/// Creates a component with a bug by changing the script in `target/components/{file}`. The new text
/// must not be longer than the old one; it is padded with blanks.
pub fn component(file: &str, folder: &Path, changes: &[(&str, &str)]) -> Result<PathBuf> {
    let built = root().join("target/components").join(file);
    let mut bytes = std::fs::read(&built).with_context(|| format!("no {}", built.display()))?;
    for (sound, broken) in changes {
        ensure!(broken.len() <= sound.len(), "`{broken}` does not fit");
        let mut places = bytes.windows(sound.len()).enumerate();
        let place = places.find(|(_, text)| *text == sound.as_bytes()).map(|(place, _)| place);
        let place = place.with_context(|| format!("the script has no `{sound}`"))?;
        let blank = format!("{broken:width$}", width = sound.len());
        bytes.splice(place..place + sound.len(), blank.into_bytes());
        let again = bytes.windows(sound.len()).any(|text| text == sound.as_bytes());
        ensure!(!again, "the script has `{sound}` twice");
    }
    let file = folder.join(file);
    std::fs::write(&file, bytes)?;
    Ok(file)
}
