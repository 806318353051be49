//! The monitored products, as far as they are known here.

use std::collections::BTreeMap;

use sale::Category;

/// Remembers which product each category monitors, from one batch to the next.
///
/// It is a guess that the script checks: right after the first batch, as a rule for ever.
#[derive(Debug, Clone, Default)]
pub struct Monitored(BTreeMap<Category, String>);

impl Monitored {
    pub(crate) fn get(&self, category: Category) -> Option<&str> {
        self.0.get(&category).map(String::as_str)
    }

    /// An empty name means that the category monitors none yet.
    pub(crate) fn set(&mut self, category: Category, name: &str) {
        if name.is_empty() {
            self.0.remove(&category);
        } else if self.get(category) != Some(name) {
            self.0.insert(category, name.into());
        }
    }
}
