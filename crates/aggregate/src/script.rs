//! The script as a command: its name or source, its keys and its arguments.

use std::sync::LazyLock;

use sale::{Category, Sale};
use sha1::{Digest as _, Sha1};

use crate::delta::{CategoryDelta, Delta, STREAM_LENGTH};
use crate::{Monitored, Source, keys};

/// The script's source.
const SOURCE: &str = include_str!("apply.lua");

/// The name that Valkey gives the script: its SHA-1 in hexadecimal.
static NAME: LazyLock<String> =
    LazyLock::new(|| Sha1::digest(SOURCE).iter().map(|byte| format!("{byte:02x}")).collect());

/// How the script is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// By name: Valkey knows it already.
    Name,
    /// With its source, which Valkey then keeps.
    Source,
}

/// A command under construction.
pub(crate) struct Command(Vec<Vec<u8>>);

impl Command {
    /// The call for a batch of `sales` from `start` to `end`.
    pub fn build(
        by: By,
        source: &Source,
        (start, end): (i64, i64),
        sales: &[Sale],
        monitored: &Monitored,
    ) -> Vec<Vec<u8>> {
        let delta = Delta::of(sales);
        let mut command = Self(Vec::with_capacity(128 + 2 * sales.len()));
        match by {
            By::Name => {
                command.text("EVALSHA");
                command.text(&NAME);
            }
            By::Source => {
                command.text("EVAL");
                command.text(SOURCE);
            }
        }
        command.keys(source, delta.categories.keys().copied());
        command.integer(i64::from(source.partition));
        command.text(&source.log_id);
        command.integer(start);
        command.integer(end);
        command.integer(delta.count);
        let (highest, lowest) = delta.price_range.unwrap_or_default();
        command.price(highest);
        command.price(lowest);
        command.integer(delta.categories.len());
        for (category, part) in &delta.categories {
            command.category(*category, part, sales, monitored);
        }
        command.0
    }

    fn keys(&mut self, source: &Source, categories: impl Iterator<Item = Category>) {
        let mut all = vec![source.offset_key(), source.log_key()];
        all.extend(keys::GLOBAL.map(String::from));
        all.extend(categories.flat_map(keys::of_category));
        self.integer(all.len());
        self.0.extend(all.into_iter().map(String::into_bytes));
    }

    fn category(
        &mut self,
        category: Category,
        part: &CategoryDelta<'_>,
        sales: &[Sale],
        monitored: &Monitored,
    ) {
        self.integer(part.count);
        self.integer(part.units);
        self.integer(part.price_micros);
        self.text(part.first);
        let guess = monitored.get(category).unwrap_or(part.first);
        self.text(guess);
        let prices: Vec<f64> = sales
            .iter()
            .filter(|sale| sale.product_id == guess && Category::of(sale.category) == category)
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

    /// The shortest decimal that names the number, never with an exponent.
    fn price(&mut self, price: f64) {
        self.0.push(price.to_string().into_bytes());
    }
}
