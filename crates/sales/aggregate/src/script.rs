//! The keys and arguments of the script.

use idempotency::RetentionLimits;
use sale::Category;
use valkey_codec::{Command, Script, ScriptRef};

use crate::delta::{CategoryDelta, Delta, STREAM_LENGTH};
use crate::record::{Entry, OffsetRange};
use crate::{Monitored, Source, keys};

static SCRIPT: Script = Script::new(include_str!("apply.lua"));

/// A call of the script that is being built.
pub(crate) struct Call(Command);

/// Room for the words of a call that do not depend on the number of its sales, for the words of a
/// sale, and for the bytes of a word.
const WORDS: usize = 128;
const WORDS_OF_SALE: usize = 3;
const BYTES_OF_WORD: usize = 16;

impl Call {
    /// The call of the script for the remaining sales of a batch.
    pub fn build(
        script: ScriptRef,
        source: &Source,
        range: OffsetRange,
        limits: RetentionLimits,
        entries: &[Entry],
        monitored: &Monitored,
    ) -> Command {
        let delta = Delta::from_sales(entries.iter().map(|entry| &entry.sale));
        let words = WORDS + WORDS_OF_SALE * entries.len();
        let mut call = Self(Command::with_capacity(words, words * BYTES_OF_WORD));
        for word in SCRIPT.call(script) {
            call.0.push(&word);
        }
        call.keys(source, delta.categories.keys().copied());
        call.integer(i64::from(source.partition));
        call.text(&source.log_id);
        call.range(range);
        call.integer(delta.count);
        let (highest, lowest) = delta.price_range.unwrap_or_default();
        call.price(highest);
        call.price(lowest);
        call.fingerprints(entries, limits);
        call.integer(delta.categories.len());
        for (category, part) in &delta.categories {
            call.category(*category, part, entries, monitored);
        }
        call.0
    }

    fn keys(&mut self, source: &Source, categories: impl Iterator<Item = Category>) {
        let mut all = vec![source.offset_key(), source.log_key()];
        all.extend(keys::GLOBAL.map(String::from));
        all.extend(source.seen_keys());
        all.extend(keys::exact_sums());
        all.extend(categories.flat_map(keys::category_keys));
        self.integer(all.len());
        for key in all {
            self.text(&key);
        }
    }

    fn range(&mut self, range: OffsetRange) {
        self.integer(range.start);
        self.integer(range.end);
        match range.expected_position {
            Some(position) => self.integer(position),
            None => self.text(""),
        }
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
        for fingerprint in known() {
            self.0.push(&fingerprint.to_bytes());
        }
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
        self.0.push(text.as_bytes());
    }

    fn integer(&mut self, number: impl itoa::Integer) {
        self.0.push(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Adds a price as the shortest decimal that parses to the same number, never with an exponent.
    fn price(&mut self, price: f64) {
        self.0.push(price.to_string().as_bytes());
    }
}
