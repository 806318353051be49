//! Pages of the list.

use figures::Params;
use sale::Violation;

/// The number of students in a page, if the request does not say otherwise.
const LIMIT_DEFAULT: u16 = 100;

/// The largest page.
pub const LIMIT_MAX: u16 = 500;

/// A page of the list, which is ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The largest number of students.
    pub limit: u16,
    /// The first of them.
    pub start: Start,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the first student whose id is greater.
    After(i64),
    /// Behind this number of students; at least 1.
    Offset(i64),
}

impl Page {
    /// Reads `limit` and either `after` or `offset`.
    pub fn parse(query: &str) -> Result<Self, Violation> {
        let mut params = Params::parse(query);
        let limit = params.integer("limit", LIMIT_DEFAULT, 1, LIMIT_MAX)?;
        let offset = params.integer("offset", 0, 0, i64::MAX)?;
        let after = params.integer("after", 0, 0, i64::MAX)?;
        params.end()?;
        let start = match (offset, after) {
            // The first page needs no position.
            (0, after) => Start::After(after),
            (offset, 0) => Start::Offset(offset),
            _ => return Err(Violation::new("after", "must not be combined with `offset`")),
        };
        Ok(Self { limit, start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded() {
        let page = |limit, start| Ok(Page { limit, start });
        assert_eq!(Page::parse(""), page(100, Start::After(0)));
        assert_eq!(Page::parse("limit=100&offset=0"), page(100, Start::After(0)));
        assert_eq!(Page::parse("offset=1999900"), page(100, Start::Offset(1_999_900)));
        assert_eq!(Page::parse("limit=500&after=7"), page(500, Start::After(7)));
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("limit=1%3BDROP TABLE students", "limit"),
            ("limit=1&limit=2", "limit"),
            ("offset=-1", "offset"),
            ("offset=9223372036854775808", "offset"),
            ("offset=1 OR 1=1", "offset"),
            ("after=x", "after"),
            ("after=1&offset=1", "after"),
            ("page=2", "page"),
        ] {
            assert_eq!(Page::parse(query).unwrap_err().field, field, "{query}");
        }
    }
}
