//! The Valkey keys of the contract.

use sale::Category;
use spin_kafka_state::FixedNames;

pub(crate) const TOTAL: &str = "total_ventas";
pub(crate) const RANKING: &str = "ranking_productos";
pub(crate) const HIGHEST_PRICE: &str = "precio_max_global";
pub(crate) const LOWEST_PRICE: &str = "precio_min_global";

/// The names of the keys, which other programs use, too.
///
/// The exact sums of the prices in millionths are written only by the aggregator. So if the total is
/// stored, but none of them, another program counted the sales.
pub static NAMES: FixedNames = FixedNames {
    counted: TOTAL,
    own: &[
        "suma_precio_micros:Electronica",
        "suma_precio_micros:Ropa",
        "suma_precio_micros:Hogar",
        "suma_precio_micros:Belleza",
        "suma_precio_micros:Otros",
    ],
};

/// The keys of one category.
pub(crate) struct Keys {
    pub count: String,
    pub units: String,
    pub price_micros: String,
    pub price: String,
    pub units_average: String,
    pub price_average: String,
    /// The name of the monitored product.
    pub monitored: String,
    /// The last prices of the monitored product.
    pub prices: String,
    pub ranking: String,
    /// A hash with the exact [`REVENUE`] and the number of sales in it. The original system has no
    /// such key.
    pub revenue: String,
}

/// Fields of the hash of a category's revenue.
pub(crate) const REVENUE: &str = "total";
pub(crate) const REVENUE_SALES: &str = "ventas";

impl Keys {
    pub fn of(category: Category) -> Self {
        let key = |name: &str| format!("{name}:{}", category.name());
        Self {
            count: key("contador"),
            units: key("suma_cantidad"),
            price_micros: key("suma_precio_micros"),
            price: key("suma_precio"),
            units_average: key("promedio_productos"),
            price_average: key("promedio_precio_tag"),
            monitored: key("producto_monitoreado_nombre"),
            prices: key("stream_precio_producto_unico"),
            ranking: key("ranking_productos_cat"),
            revenue: key("ingresos"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_sums_of_all_categories_show_who_counted() {
        let sums = Category::ALL.map(|category| Keys::of(category).price_micros);
        assert_eq!(NAMES.own, sums);
    }
}
