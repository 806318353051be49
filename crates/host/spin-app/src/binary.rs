//! The kinds of WebAssembly files.

/// Length of a header: the magic number, the version and the layer.
const HEADER_BYTES: usize = 8;

/// The kind of a WebAssembly file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// A component.
    Component,
    /// A core module.
    Module,
}

impl Binary {
    /// Determines the kind from the header.
    ///
    /// # Errors
    /// The file is neither of them.
    pub fn from_header(bytes: &[u8]) -> Result<Self, String> {
        match bytes.get(..HEADER_BYTES) {
            Some([b'\0', b'a', b's', b'm', _, _, 1, 0]) => Ok(Self::Component),
            Some([b'\0', b'a', b's', b'm', _, _, 0, 0]) => Ok(Self::Module),
            _ => Err("not a WebAssembly component: build it first, or name another file".into()),
        }
    }
}
