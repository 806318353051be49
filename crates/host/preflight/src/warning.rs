//! A warning about a setting.

use std::fmt;

/// The value of settings that could not be read.
const NOT_KNOWN: &str = "not known";

/// A setting that can break the guarantee. It is printed as two sentences: the value and the
/// consequence, then the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The setting's name, as the server calls it if possible.
    pub setting: String,
    /// Its value.
    pub found: String,
    /// What can happen, as a clause that follows a colon, without a full stop.
    pub consequence: String,
    /// What to do, as a sentence without its full stop.
    pub remedy: String,
}

impl Warning {
    pub(crate) fn new(
        setting: &str,
        found: impl ToString,
        consequence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            setting: setting.into(),
            found: found.to_string(),
            consequence: consequence.into(),
            remedy: remedy.into(),
        }
    }

    pub(crate) fn with_remedy(self, remedy: &str) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    /// One warning for all settings that could not be read; None if there are none.
    pub(crate) fn not_known(settings: &[&str], remedy: &str) -> Option<Self> {
        if settings.is_empty() {
            return None;
        }
        let consequence = "the value could not be read, so a wrong one would go unnoticed";
        Some(Self::new(&settings.join(", "), NOT_KNOWN, consequence, remedy))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, found, consequence, remedy } = self;
        let is = if setting.contains(", ") { "are" } else { "is" };
        write!(formatter, "{setting} {is} {found}: {consequence}. {remedy}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_printed_as_two_sentences() {
        let warning = Warning::new("retention.ms", 5, "sales vanish", "Set it to -1");
        assert_eq!(warning.to_string(), "retention.ms is 5: sales vanish. Set it to -1.");
    }

    #[test]
    fn unknown_settings_are_named_in_one_warning() {
        assert_eq!(Warning::not_known(&[], "Look"), None);
        let printed = Warning::not_known(&["save", "maxmemory"], "Look").unwrap().to_string();
        assert!(printed.starts_with("save, maxmemory are not known: "), "{printed}");
    }
}
