//! The types of `doorbuster:sales` in Rust, generated once for all components of the request path,
//! and conversions between them and the types of the crates `sale` and `intake`.

#[allow(missing_docs, reason = "generated; the .wit files say what it is")]
mod generated {
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package doorbuster:sales-wit;
            world types { import doorbuster:sales/types@0.1.0; }
        ",
        path: "../../../wit/doorbuster-sales",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
        generate_unused_types: true,
    });
}

/// The interface `doorbuster:sales/types`.
pub use generated::doorbuster::sales::types;

use types::IntakeError as Wit;

/// Converts a sale to the type of the interface.
pub fn from_sale(sale: sale::Sale) -> types::Sale {
    let sale::Sale { category, product_id, price, quantity } = sale;
    types::Sale { category, product_id, price, quantity }
}

/// Converts a sale from the type of the interface.
pub fn to_sale(sale: types::Sale) -> sale::Sale {
    let types::Sale { category, product_id, price, quantity } = sale;
    sale::Sale { category, product_id, price, quantity }
}

/// Converts a context to the type of the interface.
pub fn from_context(context: intake::request::Context) -> types::Context {
    let intake::request::Context { idempotency_key, traceparent } = context;
    types::Context { idempotency_key, traceparent }
}

/// Converts a context from the type of the interface.
pub fn to_context(context: types::Context) -> intake::request::Context {
    let types::Context { idempotency_key, traceparent } = context;
    intake::request::Context { idempotency_key, traceparent }
}

/// Converts an error to the type of the interface.
pub fn from_error(error: intake::IntakeError) -> Wit {
    match error {
        intake::IntakeError::Invalid(violation) => Wit::Invalid(types::Violation {
            field: violation.field.into_owned(),
            reason: violation.reason,
        }),
        intake::IntakeError::KeyTaken(text) => Wit::KeyTaken(text),
        intake::IntakeError::Overloaded(text) => Wit::Overloaded(text),
        intake::IntakeError::Unavailable(text) => Wit::Unavailable(text),
        intake::IntakeError::TimedOut(text) => Wit::TimedOut(text),
        intake::IntakeError::Other(text) => Wit::Other(text),
    }
}

/// Converts an error from the type of the interface.
pub fn to_error(error: Wit) -> intake::IntakeError {
    match error {
        Wit::Invalid(types::Violation { field, reason }) => {
            intake::IntakeError::Invalid(sale::Violation::new(field, reason))
        }
        Wit::KeyTaken(text) => intake::IntakeError::KeyTaken(text),
        Wit::Overloaded(text) => intake::IntakeError::Overloaded(text),
        Wit::Unavailable(text) => intake::IntakeError::Unavailable(text),
        Wit::TimedOut(text) => intake::IntakeError::TimedOut(text),
        Wit::Other(text) => intake::IntakeError::Other(text),
    }
}
