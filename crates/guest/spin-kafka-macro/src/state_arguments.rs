//! The arguments of a batch handler with a state.

use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitInt, LitStr, Result, Token};

/// `state = "NAME"`, and perhaps `version = NUMBER`.
pub struct StateArguments {
    /// The name of the state.
    pub name: LitStr,
    /// The version of its schema.
    pub version: LitInt,
}

impl Parse for StateArguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut name, mut version) = (None, None);
        while !input.is_empty() {
            let argument: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            let is_repeated =
                argument == "state" && name.is_some() || argument == "version" && version.is_some();
            if is_repeated {
                let text = format!("`{argument}` is there twice");
                return Err(Error::new(argument.span(), text));
            }
            if argument == "state" {
                name = Some(input.parse()?);
            } else if argument == "version" {
                version = Some(input.parse()?);
            } else {
                return Err(Error::new(argument.span(), "the arguments are `state` and `version`"));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let name: LitStr =
            name.ok_or_else(|| input.error("the attribute needs `state = \"NAME\"`"))?;
        let version = version.unwrap_or_else(|| LitInt::new("1u32", name.span()));
        Ok(Self { name, version })
    }
}
