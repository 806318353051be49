//! What windows need of a record.

/// A record of the log.
pub trait Record {
    /// The timestamp in milliseconds since 1970, if there is one.
    fn timestamp_ms(&self) -> Option<i64>;
    /// The key, if there is one.
    fn key(&self) -> Option<&[u8]>;
    /// The value, if there is one.
    fn value(&self) -> Option<&[u8]>;
    /// The value of the first header with this name, if there is one.
    fn header(&self, name: &str) -> Option<&[u8]>;
}

#[cfg(test)]
pub(crate) use tests::TestRecord;

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of a test.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct TestRecord {
        pub timestamp_ms: Option<i64>,
        pub key: Option<Vec<u8>>,
        pub value: Option<Vec<u8>>,
        pub header: Option<(&'static str, &'static str)>,
    }

    impl TestRecord {
        pub fn value(self, value: &str) -> Self {
            Self { value: Some(value.into()), ..self }
        }
    }

    impl Record for TestRecord {
        fn timestamp_ms(&self) -> Option<i64> {
            self.timestamp_ms
        }

        fn key(&self) -> Option<&[u8]> {
            self.key.as_deref()
        }

        fn value(&self) -> Option<&[u8]> {
            self.value.as_deref()
        }

        fn header(&self, name: &str) -> Option<&[u8]> {
            self.header.filter(|(found, _)| *found == name).map(|(_, value)| value.as_bytes())
        }
    }
}
