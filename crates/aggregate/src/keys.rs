//! The keys of the contract, in the order in which the script takes them.

use sale::Category;

/// Keys that all categories share.
pub(crate) const GLOBAL: [&str; 4] =
    ["total_ventas", "ranking_productos", "precio_max_global", "precio_min_global"];

/// Keys of each category, before the colon. `suma_precio_micros` is ours: the exact sum, from
/// which `suma_precio` is written.
const CATEGORY: [&str; 9] = [
    "contador",
    "suma_cantidad",
    "suma_precio_micros",
    "suma_precio",
    "promedio_productos",
    "promedio_precio_tag",
    "producto_monitoreado_nombre",
    "stream_precio_producto_unico",
    "ranking_productos_cat",
];

/// The keys of one category.
pub(crate) fn of_category(category: Category) -> impl Iterator<Item = String> {
    CATEGORY.iter().map(move |key| format!("{key}:{}", category.name()))
}
