//! The interfaces of `spin-kafka:events`, and which of them a component exports.

use component_host::Guest;
use wasmtime::component::ComponentExportIndex;

use crate::Error;

/// The interface that receives batches.
pub(crate) const HANDLER: &str = "spin-kafka:events/handler@0.2.0";
/// The interface that receives batches by a synchronous function.
pub(crate) const SYNC_HANDLER: &str = "spin-kafka:events/sync-handler@0.2.0";
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
    /// The interface of a component that keeps its position.
    checkpoint: &'static str,
}

impl Family {
    /// The interfaces of the family, with the function of each.
    fn functions(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let lists = [(self.handler, "handle"), (self.checkpoint, "position")];
        lists.into_iter().chain(self.packed.map(|packed| (packed, "handle")))
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

const FAMILIES: [Family; 3] = [
    Family {
        version: Version::V0_2,
        handler: HANDLER,
        packed: Some("spin-kafka:events/packed-handler@0.2.0"),
        checkpoint: "spin-kafka:events/checkpoint@0.2.0",
    },
    Family {
        version: Version::V0_2,
        handler: SYNC_HANDLER,
        packed: None,
        checkpoint: "spin-kafka:events/sync-checkpoint@0.2.0",
    },
    Family {
        version: Version::V0_1,
        handler: "spin-kafka:events/handler@0.1.0",
        packed: Some("spin-kafka:events/packed-handler@0.1.0"),
        checkpoint: "spin-kafka:events/checkpoint@0.1.0",
    },
];

/// The exports of a component that the trigger calls.
pub(crate) struct Exports {
    pub version: Version,
    /// The name of the interface that receives batches.
    pub handler: &'static str,
    /// Whether the batches are packed.
    pub is_packed: bool,
    pub handle: ComponentExportIndex,
    /// The function that returns the stored position, if the component keeps it.
    pub position: Option<ComponentExportIndex>,
}

impl Exports {
    /// Fails if the component does not export exactly one handler, or if another export belongs to
    /// a handler that it does not export: its positions would be ignored.
    pub fn find(guest: &Guest) -> Result<Self, Error> {
        let component = || guest.id().into();
        let handle = |interface| export(guest, interface, "handle");
        let position = |interface| export(guest, interface, "position");
        let mut families = FAMILIES.iter().filter(|family| handle(family.handler).is_some());
        let family = families.next().ok_or_else(|| Error::NoHandler { component: component() })?;
        let others = FAMILIES.iter().filter(|other| other.handler != family.handler);
        let mut strays = others.flat_map(Family::functions);
        if let Some((stray, _)) = strays.find(|(name, f)| export(guest, name, f).is_some()) {
            let (component, handler) = (component(), family.handler);
            return Err(Error::MixedExports { component, handler, stray });
        }
        let packed = family.packed.and_then(|name| Some((name, handle(name)?)));
        let lists = handle(family.handler).map(|handle| (family.handler, handle));
        let (handler, handle) =
            packed.or(lists).ok_or_else(|| Error::NoHandler { component: component() })?;
        Ok(Self {
            version: family.version,
            handler,
            is_packed: packed.is_some(),
            handle,
            position: position(family.checkpoint),
        })
    }
}

/// The index of a function in an exported interface.
fn export(guest: &Guest, interface: &str, function: &str) -> Option<ComponentExportIndex> {
    let component = guest.pre().component();
    let interface = component.get_export_index(None, interface)?;
    component.get_export_index(Some(&interface), function)
}
