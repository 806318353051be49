//! Renders the Kubernetes manifests in `k8s/` and `runtime-class/`, checks them, and creates the
//! secrets that they need.
//!
//! Every field of every object must be known to the schema of its kind ([`Schemas`], and strict
//! types for SpinKube's kinds), and every object that is referenced must exist: Services, ports,
//! Secrets and their keys, components, variables, users, topics ([`check`]). The network policies
//! must allow exactly the connections of a table.

mod acl;
mod checks;
mod install;
mod object;
mod project;
mod render;
mod schema;
mod secrets;
mod spinkube;
mod yaml;

pub use checks::{check, check_example};
pub use object::{Finding, Object};
pub use project::Project;
pub use render::{EXAMPLES, Variant, kustomize};
pub use schema::Schemas;
pub use secrets::generate as generate_secrets;
