//! The interfaces for reading variables: Spin's, that of its SDKs 3 to 5, and the draft of
//! `wasi:config`.

use wasmtime::component::{Accessor, HasData, Linker};

use crate::state::GuestState;

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package doorbuster:host;
            world host {
                import spin:variables/variables@3.0.0;
                import fermyon:spin/variables@2.0.0;
                import wasi:config/store@0.2.0-draft-2024-09-27;
            }
        ",
        path: [
            "../../../wit/deps/spin-variables",
            "../../../wit/deps/fermyon-spin",
            "../../../wit/deps/wasi-config",
        ],
        imports: { "spin:variables/variables": async | store },
    });
}

pub(super) use bindings::fermyon::spin::variables as variables2;
pub(super) use bindings::spin::variables::variables as variables3;
pub(super) use bindings::wasi::config::store;

/// Defines the three interfaces.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    variables3::add_to_linker::<_, Declared>(linker, |state| state)?;
    variables2::add_to_linker::<_, Declared>(linker, |state| state)?;
    store::add_to_linker::<_, Declared>(linker, |state| state)
}

/// The variables that the component declares.
struct Declared;

impl HasData for Declared {
    type Data<'a> = &'a mut GuestState;
}

fn undeclared(name: &str) -> String {
    format!("the component declares no variable `{name}`")
}

impl variables3::Host for &mut GuestState {}

impl variables3::HostWithStore<GuestState> for Declared {
    async fn get(
        accessor: &Accessor<GuestState, Self>,
        name: String,
    ) -> Result<String, variables3::Error> {
        accessor
            .with(|mut access| access.get().variables.get(&name).cloned())
            .ok_or_else(|| variables3::Error::Undefined(undeclared(&name)))
    }
}

impl variables2::Host for &mut GuestState {
    fn get(&mut self, name: String) -> Result<String, variables2::Error> {
        let value = self.variables.get(&name).cloned();
        value.ok_or_else(|| variables2::Error::Undefined(undeclared(&name)))
    }
}

impl store::Host for &mut GuestState {
    fn get(&mut self, key: String) -> Result<Option<String>, store::Error> {
        Ok(self.variables.get(&key).cloned())
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, store::Error> {
        Ok(self.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}
