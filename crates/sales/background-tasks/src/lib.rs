//! Background tasks for HTTP components: which requests become tasks, the record of a task, and the
//! states that it has in Valkey.

mod keys;
mod outcome;
mod prefer;
mod record;
mod resource;
mod route;
mod settings;
mod status;
mod transition;

pub use keys::{AttemptId, Keys, Origin, TaskId};
pub use outcome::{Answer, Failure, Outcome, stored_headers};
pub use prefer::{PREFERENCE_APPLIED, Preferences, RESPOND_ASYNC};
pub use record::{RecordError, TaskRecord, TaskRequest};
pub use resource::Resource;
pub use settings::{FRONT_VARIABLES, WORKER_VARIABLES};
pub use settings::{FrontConfig, StoreConfig, WorkerConfig};
pub use status::{RESULT_FIELDS, STATUS_FIELDS, State, StoredAnswer, TaskStatus};
pub use transition::{
    Accepted, Cancelled, Created, Finished, Progressed, Started, TRANSITION, Transition, values,
};

use http::{HeaderMap, HeaderName};

/// The header with the id of the task, in requests that the worker sends.
pub const TASK_ID: HeaderName = HeaderName::from_static("task-id");

/// The header with the number of the attempt, in requests that the worker sends.
pub const TASK_ATTEMPT: HeaderName = HeaderName::from_static("task-attempt");

/// The header with the secret that permits to report progress, in requests that the worker sends, and in
/// those that report it.
pub const TASK_TOKEN: HeaderName = HeaderName::from_static("task-token");

/// The headers that only the worker sets.
pub const TASK_HEADERS: [HeaderName; 3] = [TASK_ID, TASK_ATTEMPT, TASK_TOKEN];

/// The headers of a request with one of these names. Some programs treat `_` in a name as `-`.
pub fn named(headers: &HeaderMap, names: &[HeaderName]) -> Vec<HeaderName> {
    let plain = |name: &HeaderName| name.as_str().replace('_', "-");
    let is_one = |name: &&HeaderName| names.iter().any(|own| plain(own) == plain(name));
    headers.keys().filter(is_one).cloned().collect()
}
