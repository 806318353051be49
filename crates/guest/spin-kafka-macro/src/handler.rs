//! Expands a function to itself and the export that calls it.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, Ident, ItemFn, Result, Type};

use crate::state_arguments::StateArguments;

/// What the function handles.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Single records.
    Record,
    /// Batches.
    Batch,
    /// Batches, for which it returns records.
    Transform,
    /// Single records that are added to windows.
    Fold,
    /// Requests for the stored position.
    Position,
}

/// Returns the function with its export, or with an error of the compiler.
pub fn expand(kind: Kind, arguments: &TokenStream, function: &TokenStream) -> TokenStream {
    let exported = syn::parse2(function.clone())
        .and_then(|function| export(kind, arguments.clone(), &function));
    let exported = exported.unwrap_or_else(|error| error.to_compile_error());
    quote! {
        #[allow(dead_code, reason = "exported only by the component, not in native tests")]
        #function
        #exported
    }
}

fn export(kind: Kind, arguments: TokenStream, function: &ItemFn) -> Result<TokenStream> {
    let state = match (kind, arguments.is_empty()) {
        (_, true) => None,
        (Kind::Batch, false) => Some(syn::parse2::<StateArguments>(arguments)?),
        (_, false) => return Err(Error::new(arguments.span(), "this attribute has no arguments")),
    };
    let signature = &function.sig;
    let refuse = |text| Err(Error::new(signature.ident.span(), text));
    if !signature.generics.params.is_empty() {
        return refuse("a handler cannot be generic");
    }
    let types = signature.inputs.iter().map(parameter).collect::<Result<Vec<_>>>()?;
    let name = &signature.ident;
    let wait = signature.asyncness.map(|_| quote!(.await));
    match (kind, types.as_slice(), state) {
        (Kind::Record, [_, ..], _) => Ok(record(name, &types, wait.as_ref())),
        (Kind::Record, [], _) => refuse("a record handler has a parameter, such as `&Record`"),
        (Kind::Batch, [only], None) => Ok(batch(name, only, wait.as_ref())),
        (Kind::Batch, _, None) => refuse(
            "a batch handler has one parameter, `&[Record]` or `&Batch`; with the argument `state \
             = \"NAME\"` it has a second one, `&mut State`",
        ),
        (Kind::Batch, [records, _], Some(state)) => {
            Ok(batch_with_state(name, records, &state, wait.as_ref()))
        }
        (Kind::Batch, _, Some(_)) => refuse(
            "a batch handler with a state has two parameters: `&[Record]` or `&Batch`, and `&mut \
             State`",
        ),
        (Kind::Transform, [only], _) => Ok(transform(name, only, wait.as_ref())),
        (Kind::Transform, _, _) => {
            refuse("a handler that transforms records has one parameter: `&[Record]` or `&Batch`")
        }
        (Kind::Fold, [_, _], _) => Ok(fold(name, wait.as_ref())),
        (Kind::Fold, _, _) => refuse("a fold has two parameters: `&Record` and `&mut Window`"),
        (Kind::Position, [_], _) => Ok(position(name, wait.as_ref())),
        (Kind::Position, _, _) => refuse("a position function has one parameter: `&Partition`"),
    }
}

fn parameter(argument: &FnArg) -> Result<&Type> {
    match argument {
        FnArg::Typed(typed) => Ok(&typed.ty),
        FnArg::Receiver(_) => Err(Error::new(argument.span(), "a handler cannot be a method")),
    }
}

/// The name of a local variable, which differs from the same name in the code of the user.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

fn record(name: &Ident, types: &[&Type], wait: Option<&TokenStream>) -> TokenStream {
    let (batch, record) = (local("batch"), local("record"));
    // The span of the type, so that the compiler's error about a missing trait points to it.
    let values = types.iter().map(|ty| {
        quote_spanned! { ty.span() => ::spin_kafka_sdk::FromRecord::from_record(#record)? }
    });
    let handled = quote! {
        ::spin_kafka_sdk::export::each_record(
            &#batch,
            async |#record: &::spin_kafka_sdk::Record| {
                ::spin_kafka_sdk::export::RecordOutcome::into_result(#name(#(#values),*) #wait)
            },
        )
        .await
    };
    handler(&batch, &handled)
}

fn batch(name: &Ident, ty: &Type, wait: Option<&TokenStream>) -> TokenStream {
    let batch = local("batch");
    let value = quote_spanned! { ty.span() => ::spin_kafka_sdk::FromBatch::from_batch(&#batch) };
    let handled = quote! {
        ::spin_kafka_sdk::export::BatchOutcome::into_result(#name(#value) #wait)
    };
    handler(&batch, &handled)
}

/// The export of a handler that returns records.
fn transform(name: &Ident, ty: &Type, wait: Option<&TokenStream>) -> TokenStream {
    let batch = local("batch");
    let value = quote_spanned! { ty.span() => ::spin_kafka_sdk::FromBatch::from_batch(&#batch) };
    quote! {
        const _: () = {
            #[allow(dead_code, reason = "exported only by the component, not in native tests")]
            struct Component;

            impl ::spin_kafka_sdk::export::Transform for Component {
                async fn transform(
                    #batch: ::spin_kafka_sdk::Batch,
                ) -> ::spin_kafka_sdk::export::TransformResult {
                    ::spin_kafka_sdk::export::TransformOutcome::into_result(#name(#value) #wait)
                }
            }

            ::spin_kafka_sdk::export_transform!(Component);
        };
    }
}

/// The exports of a handler whose changes are stored together with the position.
fn batch_with_state(
    name: &Ident,
    ty: &Type,
    arguments: &StateArguments,
    wait: Option<&TokenStream>,
) -> TokenStream {
    let (batch, state, partition) = (local("batch"), local("state"), local("partition"));
    let StateArguments { name: state_name, version } = arguments;
    let records = quote_spanned! { ty.span() => ::spin_kafka_sdk::FromBatch::from_batch(#batch) };
    let namespace = quote! { ::spin_kafka_sdk::state::namespace(#state_name, #version)? };
    let handled = quote! {
        ::spin_kafka_sdk::state::apply(
            #namespace,
            #batch,
            async |#batch: &::spin_kafka_sdk::Batch, #state: &mut ::spin_kafka_sdk::State| {
                ::spin_kafka_sdk::export::BatchOutcome::into_result(#name(#records, #state) #wait)
            },
        )
        .await
    };
    let position = quote! { ::spin_kafka_sdk::state::position(#namespace, #partition).await };
    let (handler, checkpoint) = (handler(&batch, &handled), checkpoint(&partition, &position));
    let check = quote_spanned! { state_name.span() =>
        const _: () = ::core::assert!(
            ::spin_kafka_sdk::state::is_valid_name(#state_name),
            "the name of a state has 1 to 100 letters, digits, `-`, `_` or `.`",
        );
    };
    quote! { #check #handler #checkpoint }
}

/// The exports of a handler that adds records to windows.
fn fold(name: &Ident, wait: Option<&TokenStream>) -> TokenStream {
    let (batch, record, window, partition) =
        (local("batch"), local("record"), local("window"), local("partition"));
    let handled = quote! {
        ::spin_kafka_sdk::windows::apply(
            #batch,
            async |
                #record: &::spin_kafka_sdk::Record,
                #window: &mut ::spin_kafka_sdk::Window,
            | {
                ::spin_kafka_sdk::export::RecordOutcome::into_result(#name(#record, #window) #wait)
            },
        )
        .await
    };
    let position = quote! { ::spin_kafka_sdk::windows::position(#partition).await };
    let (handler, checkpoint) = (handler(&batch, &handled), checkpoint(&partition, &position));
    quote! { #handler #checkpoint }
}

/// The export of a handler, which handles `batch` by the expression `handled`.
fn handler(batch: &Ident, handled: &TokenStream) -> TokenStream {
    quote! {
        const _: () = {
            #[allow(dead_code, reason = "exported only by the component, not in native tests")]
            struct Component;

            impl ::spin_kafka_sdk::export::Handler for Component {
                async fn handle(
                    #batch: ::spin_kafka_sdk::Batch,
                ) -> ::spin_kafka_sdk::export::BatchResult {
                    #handled
                }
            }

            ::spin_kafka_sdk::export_handler!(Component);
        };
    }
}

fn position(name: &Ident, wait: Option<&TokenStream>) -> TokenStream {
    let partition = local("partition");
    let position = quote! { #name(&#partition) #wait .map_err(::core::convert::Into::into) };
    checkpoint(&partition, &position)
}

/// The export of a checkpoint, which returns the position of `partition` by the expression
/// `position`.
fn checkpoint(partition: &Ident, position: &TokenStream) -> TokenStream {
    quote! {
        const _: () = {
            #[allow(dead_code, reason = "exported only by the component, not in native tests")]
            struct Component;

            impl ::spin_kafka_sdk::export::Checkpoint for Component {
                async fn position(
                    #partition: ::spin_kafka_sdk::Partition,
                ) -> ::spin_kafka_sdk::export::PositionResult {
                    #position
                }
            }

            ::spin_kafka_sdk::export_checkpoint!(Component);
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(kind: Kind, arguments: &str, function: &str) -> String {
        expand(kind, &arguments.parse().unwrap(), &function.parse().unwrap()).to_string()
    }

    #[test]
    fn a_wrong_signature_is_refused_with_a_reason() {
        for (kind, arguments, function, reason) in [
            (Kind::Record, "topic", "fn f(r: &Record) {}", "has no arguments"),
            (Kind::Record, "", "fn f<T>(t: T) {}", "cannot be generic"),
            (Kind::Record, "", "fn f(&self) {}", "cannot be a method"),
            (Kind::Record, "", "fn f() {}", "such as `&Record`"),
            (Kind::Batch, "", "fn f() {}", "`&[Record]` or `&Batch`"),
            (Kind::Batch, "", "fn f(r: &[Record], s: &mut State) {}", "with the argument `state"),
            (Kind::Batch, "state = \"a\"", "fn f(r: &[Record]) {}", "and `&mut State`"),
            (Kind::Batch, "version = 1", "fn f(r: R, s: S) {}", "needs `state"),
            (Kind::Batch, "state = \"a\", state = \"b\"", "fn f(r: R, s: S) {}", "twice"),
            (Kind::Batch, "state = 1", "fn f(r: R, s: S) {}", "expected string literal"),
            (Kind::Batch, "name = \"a\"", "fn f(r: R, s: S) {}", "`state` and `version`"),
            (Kind::Transform, "", "fn f() {}", "transforms records has one parameter"),
            (Kind::Transform, "state = \"a\"", "fn f(r: R) {}", "has no arguments"),
            (Kind::Fold, "", "fn f(r: &Record) {}", "`&mut Window`"),
            (Kind::Position, "", "fn f(a: A, b: B) {}", "`&Partition`"),
        ] {
            let text = expanded(kind, arguments, function);
            assert!(text.contains("compile_error") && text.contains(reason), "{text}");
        }
    }

    #[test]
    fn a_state_has_version_1_unless_the_attribute_names_another() {
        let function = "fn f(r: &[Record], s: &mut State) {}";
        let of = |arguments| expanded(Kind::Batch, arguments, function);
        assert!(of("state = \"a\"").contains("namespace (\"a\" , 1u32)"));
        assert!(of("state = \"a\", version = 3").contains("namespace (\"a\" , 3)"));
    }

    #[test]
    fn only_async_functions_are_awaited() {
        let waits = |function| expanded(Kind::Batch, "", function).matches("await").count();
        assert_eq!(waits("fn f(records: &[Record]) {}"), 0);
        assert_eq!(waits("async fn f(records: &[Record]) {}"), 1);
    }
}
