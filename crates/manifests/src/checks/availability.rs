//! Whether sales are still taken while a pod is replaced, or lost.

use crate::Project;
use crate::object::{Finding, Object, find, of_kind};

/// The topic of the sales.
const TOPIC: &str = "sales-topic";

/// Seconds between two probes of readiness, at most. A pod that is deleted serves new requests for
/// 5 seconds more (`DOORBUSTER_LINGER_S`), and the one in its place needs some of them to start.
const READINESS_PERIOD_S: u64 = 1;

/// Replicas of whatever takes sales, where the topic has several: a single one is lost with its
/// node.
const REPLICAS_MIN: u64 = 2;

/// What does not fit.
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
        let message = format!("must be at least {REPLICAS_MIN}: with one, its loss stops sales");
        object.finding(place, message)
    })
}
