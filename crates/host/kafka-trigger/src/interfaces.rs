//! The interfaces of `spin-kafka:events`, and which of them a component exports.

use std::collections::BTreeSet;

use component_host::Guest;
use wasmtime::component::ComponentExportIndex;

use crate::Error;

/// The start of the names of all interfaces of the package.
const PACKAGE: &str = "spin-kafka:events/";
/// The interface that receives batches.
pub(crate) const HANDLER: &str = "spin-kafka:events/handler@0.2.0";
/// The interface that receives batches by a synchronous function.
pub(crate) const SYNC_HANDLER: &str = "spin-kafka:events/sync-handler@0.2.0";
/// The interface that receives batches and returns records.
pub(crate) const TRANSFORM_HANDLER: &str = "spin-kafka:events/transform-handler@0.2.0";
/// The same, by a synchronous function.
pub(crate) const SYNC_TRANSFORM_HANDLER: &str = "spin-kafka:events/sync-transform-handler@0.2.0";
/// The interface that writes records.
pub(crate) const PRODUCER: &str = "spin-kafka:events/producer@0.2.0";
/// The interface that writes records by a synchronous function.
pub(crate) const SYNC_PRODUCER: &str = "spin-kafka:events/sync-producer@0.2.0";
/// The interface that writes records, in the previous version.
pub(crate) const PRODUCER_0_1: &str = "spin-kafka:events/producer@0.1.0";

/// The exports that belong together.
#[derive(Debug)]
struct Family {
    version: Version,
    handler: &'static str,
    /// The interface that receives packed batches, if the family has one.
    packed: Option<&'static str>,
    /// The interface of a component that keeps its position, if the family has one.
    checkpoint: Option<&'static str>,
    /// Whether the handler returns records.
    transforms: bool,
}

impl Family {
    /// The family of the exported handler.
    fn find(names: &BTreeSet<String>) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| names.contains(family.handler))
    }

    /// An export of the package that does not belong to the family, in any version. The interface
    /// `types` has no functions, so it does not matter.
    fn stray<'a>(&self, names: &'a BTreeSet<String>) -> Option<&'a str> {
        let own = [Some(self.handler), self.checkpoint, self.packed];
        names.iter().map(String::as_str).find(|name| {
            let interface = name.strip_prefix(PACKAGE).and_then(|rest| rest.split('@').next());
            interface.is_some_and(|interface| interface != "types") && !own.contains(&Some(name))
        })
    }
}

/// The types of the functions. Asynchronous and synchronous functions have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// 0.1.0
    V0_1,
    /// 0.2.0
    V0_2,
}

const FAMILIES: [Family; 5] = [
    Family {
        version: Version::V0_2,
        handler: HANDLER,
        packed: Some("spin-kafka:events/packed-handler@0.2.0"),
        checkpoint: Some("spin-kafka:events/checkpoint@0.2.0"),
        transforms: false,
    },
    Family {
        version: Version::V0_2,
        handler: SYNC_HANDLER,
        packed: None,
        checkpoint: Some("spin-kafka:events/sync-checkpoint@0.2.0"),
        transforms: false,
    },
    Family {
        version: Version::V0_2,
        handler: TRANSFORM_HANDLER,
        packed: None,
        checkpoint: None,
        transforms: true,
    },
    Family {
        version: Version::V0_2,
        handler: SYNC_TRANSFORM_HANDLER,
        packed: None,
        checkpoint: None,
        transforms: true,
    },
    Family {
        version: Version::V0_1,
        handler: "spin-kafka:events/handler@0.1.0",
        packed: Some("spin-kafka:events/packed-handler@0.1.0"),
        checkpoint: Some("spin-kafka:events/checkpoint@0.1.0"),
        transforms: false,
    },
];

/// The form of the function that takes batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Every key, value and header is a list.
    Lists,
    /// All of them are in one list.
    Packed,
    /// As `Lists`, and the function returns records.
    Transform,
}

/// The exports of a component that the trigger calls.
pub(crate) struct Exports {
    pub version: Version,
    /// The name of the interface that receives batches.
    pub handler: &'static str,
    pub form: Form,
    pub handle: ComponentExportIndex,
    /// The function that returns the stored position, if the component keeps it.
    pub position: Option<ComponentExportIndex>,
}

impl Exports {
    /// Whether the component returns records to write.
    pub fn returns_records(&self) -> bool {
        self.form == Form::Transform
    }

    /// Fails if the component does not export exactly one handler, or if another export of the
    /// package does not belong to it: the trigger would ignore it, and with it perhaps the positions.
    pub fn find(guest: &Guest) -> Result<Self, Error> {
        let component = || guest.id().into();
        let position = |interface| export(guest, interface, "position");
        let names = names(guest);
        let family =
            Family::find(&names).ok_or_else(|| Error::NoHandler { component: component() })?;
        if let Some(stray) = family.stray(&names) {
            let (component, handler) = (component(), family.handler);
            return Err(Error::MixedExports { component, handler, stray: stray.into() });
        }
        let function = if family.transforms { "transform" } else { "handle" };
        let handle = |interface| export(guest, interface, function);
        let packed = family.packed.and_then(|name| Some((name, handle(name)?)));
        let lists = handle(family.handler).map(|handle| (family.handler, handle));
        let (handler, handle) =
            packed.or(lists).ok_or_else(|| Error::NoHandler { component: component() })?;
        Ok(Self {
            version: family.version,
            handler,
            form: match packed {
                _ if family.transforms => Form::Transform,
                Some(_) => Form::Packed,
                None => Form::Lists,
            },
            handle,
            position: family.checkpoint.and_then(position),
        })
    }
}

/// The names of the component's exports.
fn names(guest: &Guest) -> BTreeSet<String> {
    let component = guest.pre().component();
    let exported = component.component_type();
    exported.exports(component.engine()).map(|(name, _)| name.to_owned()).collect()
}

/// The index of a function in an exported interface.
fn export(guest: &Guest, interface: &str, function: &str) -> Option<ComponentExportIndex> {
    let component = guest.pre().component();
    let interface = component.get_export_index(None, interface)?;
    component.get_export_index(Some(&interface), function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exports_of_the_family_of_the_handler_are_accepted() {
        let stray = |names: &[&str]| {
            let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Family::find(&names).map(|family| family.stray(&names).map(str::to_owned))
        };
        let packed = "spin-kafka:events/packed-handler@0.2.0";
        let checkpoint = "spin-kafka:events/checkpoint@0.2.0";
        let others = ["spin-kafka:events/types@0.3.0", "wasi:cli/run@0.2.0"];
        assert_eq!(stray(&[HANDLER, packed, checkpoint, others[0], others[1]]), Some(None));
        for name in [
            SYNC_HANDLER,
            PRODUCER,
            "spin-kafka:events/sync-checkpoint@0.2.0",
            "spin-kafka:events/handler@0.1.0",
            "spin-kafka:events/checkpoint@0.1.0",
            "spin-kafka:events/checkpoint@0.3.0",
            "spin-kafka:events/checkpoint@0.2.1",
            "spin-kafka:events/checkpoint",
            "spin-kafka:events/window@0.2.0",
            TRANSFORM_HANDLER,
        ] {
            assert_eq!(stray(&[HANDLER, checkpoint, name]), Some(Some(name.into())));
        }
        assert_eq!(stray(&["spin-kafka:events/handler@0.3.0", checkpoint]), None, "no handler");
        assert_eq!(
            stray(&[SYNC_HANDLER, packed]),
            Some(Some(packed.into())),
            "none is synchronous"
        );
        for handler in [TRANSFORM_HANDLER, SYNC_TRANSFORM_HANDLER] {
            assert_eq!(stray(&[handler, others[0]]), Some(None));
            assert_eq!(stray(&[handler, checkpoint]), Some(Some(checkpoint.into())));
        }
    }
}
