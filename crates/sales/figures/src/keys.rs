//! The keys that the aggregator writes.

use sale::Category;

pub(crate) const TOTAL: &str = "total_ventas";
pub(crate) const PRICE_MAX: &str = "precio_max_global";
pub(crate) const PRICE_MIN: &str = "precio_min_global";

/// The prefixes, before the colon, of the keys with a plain value for each category, in the order
/// in which they are read.
const VALUES: [&str; 6] = [
    "contador",
    "suma_cantidad",
    "suma_precio",
    "promedio_productos",
    "promedio_precio_tag",
    "producto_monitoreado_nombre",
];

/// Number of the plain values of a category.
pub(crate) const VALUES_OF_CATEGORY: usize = VALUES.len();

/// The keys of the plain values of a category.
pub(crate) fn values(category: Category) -> impl Iterator<Item = String> {
    VALUES.iter().map(move |key| format!("{key}:{}", category.name()))
}

/// The key of the revenue of a category: a hash with the fields of [`REVENUE_FIELDS`].
pub(crate) fn revenue(category: Category) -> String {
    format!("ingresos:{}", category.name())
}

/// The revenue, and the number of sales in it.
pub(crate) const REVENUE_FIELDS: [&str; 2] = ["total", "ventas"];

/// The key of the name of a category's monitored product.
pub(crate) fn monitored(category: Category) -> String {
    format!("producto_monitoreado_nombre:{}", category.name())
}

/// The key of the prices of a category's monitored product.
pub(crate) fn prices(category: Category) -> String {
    format!("stream_precio_producto_unico:{}", category.name())
}

/// The key of the ranking of a category's products, or of all products without a category.
pub(crate) fn ranking(category: Option<Category>) -> String {
    match category {
        Some(category) => format!("ranking_productos_cat:{}", category.name()),
        None => "ranking_productos".into(),
    }
}

/// The number of a category: 0 for all categories that the wire format has no name for.
pub(crate) fn number(category: Category) -> i32 {
    match category {
        Category::Electronica => 1,
        Category::Ropa => 2,
        Category::Hogar => 3,
        Category::Belleza => 4,
        Category::Otros => 0,
    }
}
