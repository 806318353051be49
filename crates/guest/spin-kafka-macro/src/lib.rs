//! The attribute macros of `spin-kafka-sdk`. Use them through that crate, whose documentation
//! describes them.

mod handler;
mod state_arguments;

use proc_macro::TokenStream;

use handler::{Kind, expand};

/// Makes a function the handler of single records.
#[proc_macro_attribute]
pub fn record(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(Kind::Record, &arguments.into(), &function.into()).into()
}

/// Makes a function the handler of batches.
#[proc_macro_attribute]
pub fn batch(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(Kind::Batch, &arguments.into(), &function.into()).into()
}

/// Makes a function the handler of batches that returns records.
#[proc_macro_attribute]
pub fn transform(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(Kind::Transform, &arguments.into(), &function.into()).into()
}

/// Makes a function the fold of windows.
#[proc_macro_attribute]
pub fn fold(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(Kind::Fold, &arguments.into(), &function.into()).into()
}

/// Makes a function the one that returns the stored position of a partition.
#[proc_macro_attribute]
pub fn position(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(Kind::Position, &arguments.into(), &function.into()).into()
}
