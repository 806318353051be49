//! The shop's categories.

/// A product category. Its name is part of Valkey's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Number 1.
    Electronica,
    /// Number 2.
    Ropa,
    /// Number 3.
    Hogar,
    /// Number 4.
    Belleza,
    /// Any other number.
    Otros,
}

impl Category {
    /// All of them, in the order of their numbers.
    pub const ALL: [Category; 5] = [
        Category::Electronica,
        Category::Ropa,
        Category::Hogar,
        Category::Belleza,
        Category::Otros,
    ];

    /// The category of a number on the wire.
    pub fn of(number: i32) -> Self {
        match number {
            1 => Category::Electronica,
            2 => Category::Ropa,
            3 => Category::Hogar,
            4 => Category::Belleza,
            _ => Category::Otros,
        }
    }

    /// The name in the keys.
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
