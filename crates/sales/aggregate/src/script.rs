//! The keys and arguments of the script.

use idempotency::RetentionLimits;
use sale::Category;
use valkey_codec::{Script, ScriptRef};

use crate::delta::{CategoryDelta, Delta, STREAM_LENGTH};
use crate::record::{Entry, OffsetRange};
use crate::{Monitored, Source, keys};

static SCRIPT: Script = Script::new(include_str!("apply.lua"));

/// A command that is being built.
pub(crate) struct Command(Vec<Vec<u8>>);

impl Command {
    /// The call of the script for the remaining sales of a batch.
    pub fn build(
        script: ScriptRef,
        source: &Source,
        range: OffsetRange,
        limits: RetentionLimits,
        entries: &[Entry],
        monitored: &Monitored,
    ) -> Vec<Vec<u8>> {
        let delta = Delta::from_sales(entries.iter().map(|entry| &entry.sale));
        let mut command = Self(Vec::with_capacity(128 + 3 * entries.len()));
        command.0.extend(SCRIPT.call(script));
        command.keys(source, delta.categories.keys().copied());
        command.integer(i64::from(source.partition));
        command.text(&source.log_id);
        command.range(range);
        command.integer(delta.count);
        let (highest, lowest) = delta.price_range.unwrap_or_default();
        command.price(highest);
        command.price(lowest);
        command.fingerprints(entries, limits);
        command.integer(delta.categories.len());
        for (category, part) in &delta.categories {
            command.category(*category, part, entries, monitored);
        }
        command.0
    }

    fn keys(&mut self, source: &Source, categories: impl Iterator<Item = Category>) {
        let mut all = vec![source.offset_key(), source.log_key()];
        all.extend(keys::GLOBAL.map(String::from));
        all.extend(source.seen_keys());
        all.extend(keys::exact_sums());
        all.extend(categories.flat_map(keys::category_keys));
        self.integer(all.len());
        self.0.extend(all.into_iter().map(String::into_bytes));
    }

    fn range(&mut self, range: OffsetRange) {
        self.integer(range.start);
        self.integer(range.end);
        self.integer(u8::from(range.first));
    }

    fn fingerprints(&mut self, entries: &[Entry], limits: RetentionLimits) {
        self.integer(limits.keys_max);
        self.integer(i64::from(limits.window_s) * 1_000);
        let newest = entries.iter().filter_map(|entry| entry.timestamp_ms).max();
        match newest {
            Some(newest) => self.integer(newest),
            None => self.text(""),
        }
        let known = || entries.iter().filter_map(|entry| entry.fingerprint);
        self.integer(known().count());
        self.0.extend(known().map(|fingerprint| fingerprint.to_bytes().to_vec()));
    }

    fn category(
        &mut self,
        category: Category,
        part: &CategoryDelta<'_>,
        entries: &[Entry],
        monitored: &Monitored,
    ) {
        self.integer(part.count);
        self.integer(part.units);
        self.integer(part.price_micros);
        self.integer(part.revenue_micros);
        self.text(part.first);
        let guess = monitored.get(category).unwrap_or(part.first);
        self.text(guess);
        let prices: Vec<f64> = entries
            .iter()
            .map(|entry| &entry.sale)
            .filter(|sale| {
                sale.product_id == guess && Category::from_number(sale.category) == category
            })
            .map(|sale| sale.price)
            .collect();
        let kept = prices.get(prices.len().saturating_sub(STREAM_LENGTH)..).unwrap_or_default();
        self.integer(kept.len());
        for price in kept {
            self.price(*price);
        }
        self.integer(part.products.len());
        for product in part.products.keys() {
            self.text(product);
        }
        for units in part.products.values() {
            self.integer(*units);
        }
    }

    fn text(&mut self, text: &str) {
        self.0.push(text.as_bytes().to_vec());
    }

    fn integer(&mut self, number: impl itoa::Integer) {
        self.0.push(itoa::Buffer::new().format(number).as_bytes().to_vec());
    }

    /// Adds a price as the shortest decimal that parses to the same number, never with an exponent.
    fn price(&mut self, price: f64) {
        self.0.push(price.to_string().into_bytes());
    }
}
