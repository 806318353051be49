//! A component counts the records of its topics again in a private store. `audit`, `verify`,
//! `shadow` and `why` compare this store with others. The group of the trigger is not joined, and
//! nothing is written outside the private store.

mod copy;
mod difference;
mod live;
mod observer;
mod position_keys;
mod positions;
mod private_run;
mod private_store;
mod subject;
mod topics;
mod walk;
mod window;

pub use copy::copy;
pub use difference::{Difference, differences};
pub use live::Live;
pub use observer::{KeyChange, Observer, Watched, shown_value};
pub use position_keys::PositionKeys;
pub use positions::{Gap, Positions, listed};
pub use private_run::{Build, PrivateRun};
pub use private_store::PrivateStore;
pub use subject::{Subject, SubjectArgs};
pub use topics::Topics;
pub use walk::{Ignored, Walk};
pub use window::Window;
