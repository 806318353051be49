//! Checks that sales are still accepted while a pod is replaced or after it was lost.

use crate::Project;
use crate::object::{Finding, Object, find, of_kind};

/// The topic of the sales.
const TOPIC: &str = "sales-topic";

/// Maximum period of the readiness probe, in seconds. A deleted pod serves new requests for another
/// 5 seconds (`DOORBUSTER_LINGER_S`), and the new pod needs some of them to start.
const READINESS_PERIOD_S: u64 = 1;

/// Minimum number of replicas of an application that serves HTTP, if the topic has several
/// replicas. A single one is lost together with its node.
const REPLICAS_MIN: u64 = 2;

/// The violations of these rules.
pub fn check(project: &Project, objects: &[Object]) -> Vec<Finding> {
    let topic = find(objects, "KafkaTopic", TOPIC);
    let replicated = topic.and_then(|topic| topic.at("spec.replicas").as_u64()) > Some(1);
    let serves = |app: &&Object| {
        let mut kept = app.list("spec.components").iter().filter_map(|id| id.as_str());
        kept.any(|id| project.components.get(id).is_some_and(|component| !component.is_consumer))
    };
    let mut found = Vec::new();
    for app in of_kind(objects, "SpinApp").filter(serves) {
        found.extend(readiness(app));
        if replicated {
            found.extend(replicas(app, objects));
        }
    }
    found
}

fn readiness(app: &Object) -> Option<Finding> {
    let place = "spec.checks.readiness.periodSeconds";
    // The operator's default is 10.
    let quick = app.at(place).as_u64().is_some_and(|period| period <= READINESS_PERIOD_S);
    (!quick).then(|| {
        let message = format!("must be {READINESS_PERIOD_S}, or a replaced pod leaves a gap");
        app.finding(place, message)
    })
}

fn replicas(app: &Object, objects: &[Object]) -> Option<Finding> {
    let mut scalers = of_kind(objects, "HorizontalPodAutoscaler");
    let scaler = scalers.find(|scaler| scaler.text("spec.scaleTargetRef.name") == app.name());
    let (object, place) = match scaler {
        Some(scaler) => (scaler, "spec.minReplicas"),
        None => (app, "spec.replicas"),
    };
    let few = object.at(place).as_u64().is_none_or(|replicas| replicas < REPLICAS_MIN);
    few.then(|| {
        let message =
            format!("must be at least {REPLICAS_MIN}: with one, its loss stops what it serves");
        object.finding(place, message)
    })
}
