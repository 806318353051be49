//! The monitored products of the categories.

use std::collections::BTreeMap;

use sale::Category;

/// A cache of the product that each category monitors, which is kept from one batch to the next.
/// The script checks the cached values. After the first batch they are correct, and they rarely
/// change.
#[derive(Debug, Clone, Default)]
pub struct Monitored(BTreeMap<Category, String>);

impl Monitored {
    pub(crate) fn get(&self, category: Category) -> Option<&str> {
        self.0.get(&category).map(String::as_str)
    }

    /// Stores the name of a category's product. An empty name means that the category has none yet.
    pub(crate) fn set(&mut self, category: Category, name: &str) {
        if name.is_empty() {
            self.0.remove(&category);
        } else if self.get(category) != Some(name) {
            self.0.insert(category, name.into());
        }
    }
}
