//! Checks that the audit counts with the program, the application and the variables of the
//! aggregator: with other ones its counts would differ without an error.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::object::{Finding, Object, find, list, text};

const NAME: &str = "audit";
const COUNTED: &str = "aggregator";

/// Variables whose values belong to the user of each of them.
const OF_THE_USER: [&str; 3] = ["kafka_username", "kafka_password", "valkey_url"];

const CONTAINER: &str = "spec.template.spec.containers.0";

/// The violations of these rules.
pub fn check(objects: &[Object]) -> Vec<Finding> {
    let (Some(audit), Some(app)) =
        (find(objects, "Deployment", NAME), find(objects, "SpinApp", COUNTED))
    else {
        return Vec::new();
    };
    let mut found = variables(audit, app);
    let executor = find(objects, "SpinAppExecutor", "doorbuster");
    let image = executor.map_or("", |executor| executor.text("spec.deploymentConfig.spinImage"));
    let place = format!("{CONTAINER}.image");
    if audit.text(&place) != image {
        found.push(audit.finding(&place, format!("must be {image}, as in the executor")));
    }
    let args = list(&audit.0, &format!("{CONTAINER}.args"));
    let value_of = |flag: &str| {
        let mut pairs = args.iter().zip(args.iter().skip(1));
        pairs.find(|(name, _)| name.as_str() == Some(flag)).and_then(|(_, value)| value.as_str())
    };
    for (flag, wanted) in [("--from", app.text("spec.image")), ("--component", COUNTED)] {
        if value_of(flag) != Some(wanted) {
            let message = format!("{flag} must be {wanted}, as in the SpinApp {COUNTED}");
            found.push(audit.finding(&format!("{CONTAINER}.args"), message));
        }
    }
    found
}

/// The audit has the same variables as the aggregator, with other users.
fn variables(audit: &Object, app: &Object) -> Vec<Finding> {
    let place = format!("{CONTAINER}.env");
    let env = named(list(&audit.0, &place));
    let mut found = Vec::new();
    for (name, variable) in named(app.list("spec.variables")) {
        let set = env.get(&*format!("SPIN_VARIABLE_{}", name.to_uppercase()));
        let is_right = match OF_THE_USER.contains(&name) {
            true => set.is_some_and(|set| set != &variable),
            false => set == Some(&variable),
        };
        if !is_right {
            let verb = if OF_THE_USER.contains(&name) { "differ from" } else { "be" };
            let message = format!("{name} must {verb} that of the SpinApp {COUNTED}");
            found.push(audit.finding(&place, message));
        }
    }
    found
}

/// What the variables are set to, by their names.
fn named(variables: &[Value]) -> BTreeMap<&str, Map<String, Value>> {
    let setting = |variable: &Value| {
        let mut setting = variable.as_object().cloned().unwrap_or_default();
        setting.remove("name");
        setting
    };
    variables.iter().map(|variable| (text(variable, "name"), setting(variable))).collect()
}
