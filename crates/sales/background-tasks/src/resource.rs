//! The paths of tasks.

use http_text::decode_path;

use crate::keys::TaskId;

/// What a path below the prefix names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// `ID`: the status of a task.
    Status(TaskId),
    /// `ID/result`: the answer of the service.
    Answer(TaskId),
    /// `ID/events`: the changes of the status.
    Events(TaskId),
    /// `ID/progress`: where the service reports its progress.
    Progress(TaskId),
    /// Nothing.
    Unknown,
    /// The path may be below the prefix: programs could read it differently.
    Ambiguous,
}

impl Resource {
    /// The resource of this path; `None` if the path is not below the prefix. A prefix does not end with
    /// a slash. Paths are compared as rules of access compare them, which may permit this path to all.
    pub fn of(prefix: &str, path: &str) -> Option<Self> {
        let Some(path) = decode_path(path) else { return Some(Self::Ambiguous) };
        let rest = path.strip_prefix(prefix)?;
        if rest.is_empty() {
            return Some(Self::Unknown);
        }
        let rest = rest.strip_prefix('/')?;
        let (id, part) = match rest.split_once('/') {
            Some((id, part)) => (id, Some(part)),
            None => (rest, None),
        };
        let Some(id) = TaskId::parse(id) else { return Some(Self::Unknown) };
        Some(match part {
            None => Self::Status(id),
            Some("result") => Self::Answer(id),
            Some("events") => Self::Events(id),
            Some("progress") => Self::Progress(id),
            Some(_) => Self::Unknown,
        })
    }

    /// The methods of the resource.
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Status(_) => &["GET", "HEAD", "DELETE"],
            Self::Answer(_) => &["GET", "HEAD"],
            Self::Events(_) => &["GET"],
            Self::Progress(_) => &["PUT"],
            Self::Unknown | Self::Ambiguous => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_resource() {
        let text = "abcdefghijklmnopqrstu_";
        let id = || TaskId::parse(text).unwrap();
        for (path, resource) in [
            ("/tasks/ID", Some(Resource::Status(id()))),
            ("/tasks/ID/result", Some(Resource::Answer(id()))),
            ("/tasks/ID/events", Some(Resource::Events(id()))),
            ("/tasks/ID/progress", Some(Resource::Progress(id()))),
            ("/tasks/ID/", Some(Resource::Unknown)),
            ("/tasks/ID/result/x", Some(Resource::Unknown)),
            ("/tasks/x", Some(Resource::Unknown)),
            ("/tasks", Some(Resource::Unknown)),
            ("/tasksx", None),
            ("/other", None),
            ("/%74asks/ID", Some(Resource::Status(id()))),
            ("/tasks%2FID", Some(Resource::Ambiguous)),
            ("/a/../tasks/ID", Some(Resource::Ambiguous)),
        ] {
            assert_eq!(Resource::of("/tasks", &path.replace("ID", text)), resource, "{path}");
        }
    }
}
