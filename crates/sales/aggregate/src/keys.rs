//! The Valkey keys of the contract, in the order in which the script expects them.

use sale::Category;

/// Keys that do not belong to a category.
pub(crate) const GLOBAL: [&str; 4] =
    ["total_ventas", "ranking_productos", "precio_max_global", "precio_min_global"];

/// The exact sum of a category's prices, from which `suma_precio` is computed. Other programs
/// use the other keys, too; this one is written only by the script.
const EXACT_SUM: &str = "suma_precio_micros";

/// The revenue of a category: a hash with the exact `total`, and the number of sales in it,
/// `ventas`. The original system has no such key.
const REVENUE: &str = "ingresos";

/// Keys of each category: the part before the colon.
const CATEGORY: [&str; 10] = [
    "contador",
    "suma_cantidad",
    EXACT_SUM,
    "suma_precio",
    "promedio_productos",
    "promedio_precio_tag",
    "producto_monitoreado_nombre",
    "stream_precio_producto_unico",
    "ranking_productos_cat",
    REVENUE,
];

/// The keys of the exact sums of all categories.
pub(crate) fn exact_sums() -> impl Iterator<Item = String> {
    Category::ALL.iter().map(|category| format!("{EXACT_SUM}:{}", category.name()))
}

/// All keys of one category.
pub(crate) fn category_keys(category: Category) -> impl Iterator<Item = String> {
    CATEGORY.iter().map(move |key| format!("{key}:{}", category.name()))
}
