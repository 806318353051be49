//! The product categories of the shop.

/// A product category. [`Category::name`] is part of the names of Valkey keys, so the variants keep
/// their Spanish wire names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Number 1 on the wire: electronics.
    Electronica,
    /// Number 2 on the wire: clothing.
    Ropa,
    /// Number 3 on the wire: household goods.
    Hogar,
    /// Number 4 on the wire: beauty products.
    Belleza,
    /// Any other number on the wire: other products.
    Otros,
}

impl Category {
    /// All categories, in the order of their numbers on the wire.
    pub const ALL: [Category; 5] = [
        Category::Electronica,
        Category::Ropa,
        Category::Hogar,
        Category::Belleza,
        Category::Otros,
    ];

    /// The category of a `categoria` number on the wire. Every number that is not 1 to 4 is
    /// [`Category::Otros`].
    pub fn from_number(number: i32) -> Self {
        match number {
            1 => Category::Electronica,
            2 => Category::Ropa,
            3 => Category::Hogar,
            4 => Category::Belleza,
            _ => Category::Otros,
        }
    }

    /// The name that is used in Valkey keys.
    pub fn name(self) -> &'static str {
        match self {
            Category::Electronica => "Electronica",
            Category::Ropa => "Ropa",
            Category::Hogar => "Hogar",
            Category::Belleza => "Belleza",
            Category::Otros => "Otros",
        }
    }
}
