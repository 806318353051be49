//! The parameters of a request's query string.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use sale::{Category, Violation};

/// Rejects every parameter, for a resource that has none.
pub fn reject_parameters(query: &str) -> Result<(), Violation> {
    Params::parse(query).end()
}

/// Parameters, each of which can be taken once.
pub struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Params<'a> {
    /// Parses a query string.
    pub fn parse(query: &'a str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let decoded = |text: &'a str| percent_decode_str(text).decode_utf8_lossy();
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decoded(name), decoded(value)))
                .collect(),
        )
    }

    /// An integer from `min` to `max`; `default` if the parameter is absent.
    pub fn integer<N: FromStr + PartialOrd + Display + Copy>(
        &mut self,
        name: &'static str,
        default: N,
        min: N,
        max: N,
    ) -> Result<N, Violation> {
        let Some(text) = self.take(name)? else { return Ok(default) };
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        number
            .ok_or_else(|| Violation::new(name, format!("must be an integer from {min} to {max}")))
    }

    /// A category by its number in the wire format; `None` if the parameter is absent.
    pub fn category(&mut self) -> Result<Option<Category>, Violation> {
        let Some(text) = self.take("categoria")? else { return Ok(None) };
        let number = text.parse().map_err(|_| {
            Violation::new("categoria", "must be a category's number, an integer of 32 bits")
        })?;
        Ok(Some(Category::from_number(number)))
    }

    /// Rejects parameters that were not taken.
    pub fn end(self) -> Result<(), Violation> {
        match self.0.into_iter().next() {
            Some((name, _)) => {
                let name: String = name.chars().take(100).collect();
                Err(Violation::new(name, "is not a parameter of this resource"))
            }
            None => Ok(()),
        }
    }

    fn take(&mut self, name: &'static str) -> Result<Option<Cow<'a, str>>, Violation> {
        let mut found = None;
        let mut twice = false;
        self.0.retain(|(known, value)| {
            let is_it = known == name;
            if is_it {
                twice |= found.is_some();
                found = Some(value.clone());
            }
            !is_it
        });
        if twice { Err(Violation::new(name, "must occur only once")) } else { Ok(found) }
    }
}
