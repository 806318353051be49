//! JSON that is limited in size and depth.

use std::io;

use bytes::Bytes;

/// How deep the JSON may be nested: what parsers of JSON accept.
pub(super) const DEPTH_MAX: usize = 100;

/// The JSON that was written.
pub(super) struct Output {
    json: Vec<u8>,
    bytes_max: usize,
    depth: usize,
    place: Place,
}

/// Where the JSON ends.
enum Place {
    Outside,
    Text,
    /// After a backslash.
    Escape,
}

impl Output {
    pub fn new(bytes_max: usize) -> Self {
        Self { json: Vec::new(), bytes_max, depth: 0, place: Place::Outside }
    }

    /// The JSON without the unused capacity, which the batch would keep.
    pub fn into_json(self) -> Bytes {
        self.json.into_boxed_slice().into()
    }
}

impl io::Write for Output {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        for byte in json {
            self.place = match (&self.place, byte) {
                (Place::Outside, b'"') | (Place::Escape, _) => Place::Text,
                (Place::Text, b'"') => Place::Outside,
                (Place::Text, b'\\') => Place::Escape,
                (Place::Text, _) => Place::Text,
                (Place::Outside, byte) => {
                    match byte {
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                        _ => {}
                    }
                    Place::Outside
                }
            };
        }
        if self.depth > DEPTH_MAX {
            return Err(io::Error::other("the value is nested too deep"));
        }
        if self.json.len() + json.len() > self.bytes_max {
            return Err(io::Error::other(format!("the JSON exceeds {} bytes", self.bytes_max)));
        }
        self.json.extend_from_slice(json);
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
