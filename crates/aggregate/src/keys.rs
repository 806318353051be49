//! The keys of the contract, in the order in which the script takes them.

use sale::Category;

/// Keys that all categories share.
pub(crate) const GLOBAL: [&str; 4] =
    ["total_ventas", "ranking_productos", "precio_max_global", "precio_min_global"];

/// The exact sum of a category's prices, from which `suma_precio` is written. The other keys are
/// known to other programs, this one is written by us alone.
const EXACT_SUM: &str = "suma_precio_micros";

/// Keys of each category, before the colon.
const CATEGORY: [&str; 9] = [
    "contador",
    "suma_cantidad",
    EXACT_SUM,
    "suma_precio",
    "promedio_productos",
    "promedio_precio_tag",
    "producto_monitoreado_nombre",
    "stream_precio_producto_unico",
    "ranking_productos_cat",
];

/// The exact sums of all categories.
pub(crate) fn exact_sums() -> impl Iterator<Item = String> {
    Category::ALL.iter().map(|category| format!("{EXACT_SUM}:{}", category.name()))
}

/// The keys of one category.
pub(crate) fn of_category(category: Category) -> impl Iterator<Item = String> {
    CATEGORY.iter().map(move |key| format!("{key}:{}", category.name()))
}
