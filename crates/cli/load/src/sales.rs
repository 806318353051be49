//! Random sales, generated from a seed.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use sale::Sale;

/// Maximum price that is generated, in cents.
const PRICE_CENTS_MAX: u32 = 200_000;

/// Maximum quantity that is generated.
const QUANTITY_MAX: i32 = 10;

/// The sale with this number in the sequence of a seed. It depends only on the arguments, so any
/// connection may send it.
pub(crate) fn draw(seed: u64, number: u64, products: u32) -> Sale {
    let mut random = SmallRng::seed_from_u64(seed.rotate_left(32) ^ number);
    let category = random.random_range(1..=4);
    Sale {
        category,
        product_id: format!("p{category}-{}", random.random_range(0..products)),
        price: f64::from(random.random_range(1..=PRICE_CENTS_MAX)) / 100.0,
        quantity: random.random_range(1..=QUANTITY_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_valid_sales_again() {
        let sales: Vec<_> = (0..1_000).map(|number| draw(7, number, 50)).collect();
        assert!(sales.iter().all(|sale| sale.validate().is_ok()));
        assert_eq!(sales, (0..1_000).map(|number| draw(7, number, 50)).collect::<Vec<_>>());
        assert_ne!(sales[0], draw(8, 0, 50));
    }
}
