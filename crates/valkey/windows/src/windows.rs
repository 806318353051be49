//! Windows, from their settings.

use spin_kafka_state::{Namespace, Read};

use crate::event_time::event_time;
use crate::progress::{PROGRESS_KEY, Progress};
use crate::selector::{Event, Selector};
use crate::settings::Settings;
use crate::{Error, Log, Pass, Record, RecordError, SettingsError, Window};

/// Windows of event time.
#[derive(Debug, Clone)]
pub struct Windows {
    pub(crate) settings: Settings,
    namespace: Namespace,
    digest: String,
    needs_json: bool,
    time: Option<Selector>,
}

/// The event time of a record, and what the record adds to the windows of that time.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub(crate) time_ms: i64,
    /// What the record adds.
    pub window: Window,
}

impl Windows {
    /// Parses the settings, which are TOML.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let settings = Settings::parse(text)?;
        let namespace = Namespace::new(&settings.name, settings.version)
            .map_err(|error| SettingsError::value("name", error.to_string()))?;
        Ok(Self {
            namespace,
            digest: settings.digest(),
            needs_json: settings.needs_json(),
            time: settings.time.selector(),
            settings,
        })
    }

    /// The names of the keys.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The value that is passed to [`begin`](Self::begin).
    pub fn progress(&self, log: &Log<'_>) -> Read {
        Read::field(PROGRESS_KEY, log.field())
    }

    /// Begins to apply records of a batch. `stored` is the stored [`progress`](Self::progress).
    pub fn begin(&self, log: &Log<'_>, stored: Option<&[u8]>) -> Result<Pass<'_>, Error> {
        let progress = Progress::restore(stored, log, self.digest.clone())?;
        Ok(Pass::new(self, log.field(), progress))
    }

    /// The event time of a record, and what it adds to the aggregates of the settings.
    pub fn entry(&self, record: &impl Record) -> Result<Entry, RecordError> {
        let Settings { time_unit, group, aggregates, .. } = &self.settings;
        let ahead_max = self.settings.time_ahead_max();
        let event = Event::new(record, self.needs_json)?;
        let time_ms = event_time(self.time.as_ref(), *time_unit, ahead_max, &event)?;
        let group = group.as_ref().map(|group| group.text(&event)).transpose()?;
        let mut window = Window::default();
        for (name, aggregate) in aggregates {
            aggregate.add(name, group.as_deref(), &event, &mut window)?;
        }
        Ok(Entry { time_ms, window })
    }
}
