//! The project's manifests pass the check of `cargo xtask manifests`, and wrong ones are refused,
//! with the object and the path.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use k8s_manifests::{
    EXAMPLES, Object, Project, Variant, check, check_example, generate_secrets, kustomize,
};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn project() -> &'static Project {
    static PROJECT: OnceLock<Project> = OnceLock::new();
    PROJECT.get_or_init(|| {
        generate_secrets(&root()).unwrap();
        Project::load(&root()).unwrap()
    })
}

fn render(overlay: &str, component: Option<&str>) -> Vec<Object> {
    project();
    let variant = Variant { overlay: overlay.into(), component: component.map(Into::into) };
    variant.render(&root()).unwrap()
}

/// The overlay with the most objects.
fn prod() -> Vec<Object> {
    static PROD: OnceLock<Vec<Object>> = OnceLock::new();
    PROD.get_or_init(|| render("prod", None)).clone()
}

#[test]
fn every_overlay_with_every_component_is_right() {
    let variants = Variant::all(&root()).unwrap();
    let names: Vec<String> = variants.iter().map(Variant::name).collect();
    for needed in ["dev", "dev with audit", "dev with monitoring", "prod", "prod with shim"] {
        assert!(names.iter().any(|name| name == needed), "{needed} is not among {names:?}");
    }
    for variant in variants {
        let objects = variant.render(&root()).unwrap();
        let found = check(project(), &objects).unwrap();
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{}:\n{}", variant.name(), shown.join("\n"));
        assert!(objects.len() > 40, "{} has only {}", variant.name(), objects.len());
    }
    for example in EXAMPLES {
        let folder = root().join(example);
        let objects = kustomize(&folder.join("k8s")).unwrap();
        let found = check_example(project(), &folder, &objects).unwrap();
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.is_empty() && !objects.is_empty(), "{example}:\n{}", shown.join("\n"));
    }
}

#[test]
fn applications_of_examples_get_the_variables_that_they_use() {
    let folder = root().join("examples/university");
    let objects = || Tampered(kustomize(&folder.join("k8s")).unwrap());
    let first = "/spec/variables/0/name";
    let cases = [
        (objects().unset("SpinApp/university", "jwt_keys"), "jwt_keys is required"),
        (objects().unset("SpinApp/university-tasks", "tasks_secret"), "tasks_secret is required"),
        (
            objects().set("SpinApp/students-a", first, json!("jwt_keys")),
            "no component here uses it",
        ),
        (
            objects().set("SpinApp/university-tasks", "/spec/components/0", json!("worker")),
            "no component worker",
        ),
        (objects().set("SpinApp/students-a", "/spec/image", json!("a/other:1")), "has this name"),
    ];
    for (Tampered(objects), words) in cases {
        let found = check_example(project(), &folder, &objects).unwrap();
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(shown.iter().any(|line| line.contains(words)), "no `{words}` in {shown:?}");
    }
}

/// The rendered objects after a change.
struct Tampered(Vec<Object>);

impl Tampered {
    fn object(&mut self, id: &str) -> &mut Value {
        let is_it = |object: &&mut Object| object.id() == id;
        &mut self.0.iter_mut().find(is_it).unwrap_or_else(|| panic!("there is no {id}")).0
    }

    /// Sets a field of an object; it may be a new one.
    fn set(mut self, id: &str, pointer: &str, value: Value) -> Self {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = self.object(id).pointer_mut(parent).expect("the field's parent");
        match field.parse::<usize>() {
            Ok(index) if parent.is_array() => parent[index] = value,
            _ => parent[field.replace("~1", "/")] = value,
        }
        self
    }

    /// Removes an existing field.
    fn remove(mut self, id: &str, pointer: &str) -> Self {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = self.object(id).pointer_mut(parent).expect("the field's parent");
        match parent {
            Value::Array(values) => {
                values.remove(field.parse().unwrap());
            }
            Value::Object(map) => {
                map.remove(&field.replace("~1", "/")).expect("the field");
            }
            _ => panic!("{pointer} has no parent"),
        }
        self
    }

    /// Removes an object.
    fn without(mut self, id: &str) -> Self {
        let before = self.0.len();
        self.0.retain(|object| object.id() != id);
        assert_eq!(self.0.len() + 1, before, "{id}");
        self
    }

    /// Removes a variable of a SpinApp.
    fn unset(mut self, id: &str, variable: &str) -> Self {
        let variables = self.object(id)["spec"]["variables"].as_array_mut().unwrap();
        variables.retain(|one| one["name"] != variable);
        self
    }

    /// Replaces a text in a file of a ConfigMap, whose name may have a suffix.
    fn replace_in(mut self, map: &str, file: &str, from: &str, to: &str) -> Self {
        let map = self.0.iter_mut().find(|object| object.name().starts_with(map)).unwrap();
        let content = &mut map.0["data"][file];
        let before = content.as_str().unwrap_or_else(|| panic!("there is no {file}"));
        assert!(before.contains(from), "`{from}` is not in {file}");
        *content = before.replacen(from, to, 1).into();
        self
    }

    /// Asserts that the check finds this error at this object and path.
    #[track_caller]
    fn must_be_refused(self, object: &str, place: &str, words: &str) {
        let found = check(project(), &self.0).unwrap();
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        // The found name may be longer: kustomize appends a hash to the names of ConfigMaps.
        let is_it = |line: &&String| {
            let (found, rest) = line.split_once(": ").unwrap();
            found.starts_with(object) && rest.starts_with(place)
        };
        let hit = shown.iter().filter(is_it).any(|line| line.contains(words));
        assert!(hit, "no `{object}: {place}…{words}` in:\n{}", shown.join("\n"));
    }
}

fn tampered() -> Tampered {
    Tampered(prod())
}

#[test]
fn unknown_fields_are_refused_in_built_in_kinds() {
    let spec = "/spec/template/spec";
    tampered().set("Deployment/grafana", "/spec/replcas", json!(1)).must_be_refused(
        "Deployment/grafana",
        "spec",
        "'replcas' was unexpected",
    );
    tampered()
        .set("StatefulSet/valkey", &format!("{spec}/containers/0/imagePullPolciy"), json!("Always"))
        .must_be_refused(
            "StatefulSet/valkey",
            "spec.template.spec.containers.0",
            "imagePullPolciy",
        );
    tampered().set("NetworkPolicy/valkey", "/spec/ingres", json!([])).must_be_refused(
        "NetworkPolicy/valkey",
        "spec",
        "ingres",
    );
    tampered()
        .set("HorizontalPodAutoscaler/ingest", "/spec/maxReplicas", json!("3"))
        .must_be_refused(
            "HorizontalPodAutoscaler/ingest",
            "spec.maxReplicas",
            "\"3\" is not of type",
        );
    tampered().set("Deployment/grafana", "/metadata/label", json!({})).must_be_refused(
        "Deployment/grafana",
        "metadata",
        "'label' was unexpected",
    );
}

#[test]
fn unknown_fields_and_versions_are_refused_in_strimzis_kinds() {
    tampered().set("KafkaTopic/sales-topic", "/spec/partitons", json!(3)).must_be_refused(
        "KafkaTopic/sales-topic",
        "spec",
        "'partitons' was unexpected",
    );
    tampered()
        .set("Kafka/doorbuster", "/apiVersion", json!("kafka.strimzi.io/v1beta2"))
        .must_be_refused(
            "Kafka/doorbuster",
            "apiVersion",
            "no kind Kafka in kafka.strimzi.io/v1beta2",
        );
    tampered().set("Kafka/doorbuster", "/spec/kafka/replicas", json!(3)).must_be_refused(
        "Kafka/doorbuster",
        "spec.kafka",
        "'replicas' was unexpected",
    );
    tampered()
        .set("KafkaUser/writer", "/spec/authorization/acls/0/operations/0", json!("Wriet"))
        .must_be_refused("KafkaUser/writer", "spec.authorization.acls.0.operations.0", "Wriet");
    tampered().set("KafkaTopic/sales-topic", "/metadata/annotation", json!({})).must_be_refused(
        "KafkaTopic/sales-topic",
        "metadata",
        "'annotation' was unexpected",
    );
}

#[test]
fn unknown_fields_are_refused_in_kedas_and_the_prometheus_operators_kinds() {
    tampered().set("ScaledObject/aggregator", "/spec/maxReplicas", json!(3)).must_be_refused(
        "ScaledObject/aggregator",
        "spec",
        "'maxReplicas' was unexpected",
    );
    tampered()
        .set("TriggerAuthentication/kafka", "/spec/secretTargetRef/0/param", json!("x"))
        .must_be_refused("TriggerAuthentication/kafka", "spec.secretTargetRef.0", "'param'");
    tampered().set("PodMonitor/kafka", "/spec/podMetricsEndpoint", json!([])).must_be_refused(
        "PodMonitor/kafka",
        "spec",
        "'podMetricsEndpoint' was unexpected",
    );
    tampered()
        .set("PrometheusRule/doorbuster", "/spec/groups/0/rules/0/expresion", json!("1"))
        .must_be_refused("PrometheusRule/doorbuster", "spec.groups.0.rules.0", "'expresion'");
}

#[test]
fn unknown_fields_are_refused_in_spinkubes_kinds() {
    tampered().set("SpinApp/ingest", "/spec/enableAutoScaling", json!(true)).must_be_refused(
        "SpinApp/ingest",
        "spec",
        "unknown field `enableAutoScaling`",
    );
    tampered().set("SpinApp/writer", "/spec/variables/0/valeu", json!("x")).must_be_refused(
        "SpinApp/writer",
        "spec.variables.0",
        "unknown field `valeu`",
    );
    tampered()
        .set("SpinApp/writer", "/spec/variables/5/valueFrom/secretKeyRef/nmae", json!("x"))
        .must_be_refused("SpinApp/writer", "spec.variables.5.valueFrom", "'nmae' was unexpected");
    tampered()
        .set("SpinAppExecutor/doorbuster", "/spec/deploymentConfig/spinimage", json!("x"))
        .must_be_refused("SpinAppExecutor/doorbuster", "spec", "unknown field `spinimage`");
    Tampered(render("prod", Some("shim")))
        .set("Shim/doorbuster-v1", "/spec/runtimeClass/handlr", json!("x"))
        .must_be_refused("Shim/doorbuster-v1", "spec.runtimeClass", "unknown field `handlr`");
}

#[test]
fn the_operators_rules_hold_for_applications() {
    let app = "SpinApp/ingest";
    tampered().set(app, "/spec/replicas", json!(2)).must_be_refused(
        app,
        "spec.replicas",
        "must be absent with enableAutoscaling",
    );
    tampered().remove("SpinApp/writer", "/spec/replicas").must_be_refused(
        "SpinApp/writer",
        "spec.replicas",
        "at least 1",
    );
    tampered().remove(app, "/spec/checks/liveness/httpGet/httpHeaders").must_be_refused(
        app,
        "spec.checks.liveness.httpGet",
        "missing field `httpHeaders`",
    );
    tampered().set(app, "/spec/invocationLimits", json!({ "memory": "2Gi" })).must_be_refused(
        app,
        "spec.invocationLimits.memory",
        "more than the memory",
    );
    tampered().set(app, "/spec/resources/requests/cpu", json!("3")).must_be_refused(
        app,
        "spec.resources.requests.cpu",
        "more than the limit",
    );
    let long = "a".repeat(53);
    tampered().set(app, "/metadata/name", json!(long)).must_be_refused(
        &format!("SpinApp/{long}"),
        "metadata.name",
        "52 characters",
    );
    tampered().remove(app, "/spec/executor").must_be_refused(app, "spec.executor", "is missing");
}

#[test]
fn the_operators_rules_hold_for_executors_and_shims() {
    let executor = "SpinAppExecutor/doorbuster";
    tampered()
        .set(executor, "/spec/deploymentConfig/runtimeClassName", json!("x"))
        .must_be_refused(executor, "spec.deploymentConfig", "either runtimeClassName or spinImage");
    tampered().remove(executor, "/spec/deploymentConfig").must_be_refused(
        executor,
        "spec.deploymentConfig",
        "is needed",
    );
    tampered().without(executor).must_be_refused(
        "SpinApp/bridge",
        "spec.executor",
        "no SpinAppExecutor doorbuster",
    );
    let mut late = prod();
    late.sort_by_key(|object| object.kind() == "SpinAppExecutor");
    Tampered(late).must_be_refused("SpinApp/bridge", "spec.executor", "comes before");
    let shim = || Tampered(render("prod", Some("shim")));
    shim().set("Shim/doorbuster-v1", "/spec/runtimeClass/handler", json!("other")).must_be_refused(
        "Shim/doorbuster-v1",
        "spec.runtimeClass.handler",
        "the Shim's own name",
    );
    shim().without("RuntimeClass/wasmtime-doorbuster-v1").must_be_refused(
        "SpinAppExecutor/doorbuster-shim",
        "spec.deploymentConfig",
        "no RuntimeClass",
    );
}

#[test]
fn the_shim_changes_nothing_but_the_executor() {
    let apps = |objects: Vec<Object>| -> Vec<Value> {
        let mut apps: Vec<Value> =
            objects.into_iter().map(|o| o.0).filter(|o| o["kind"] == "SpinApp").collect();
        apps.iter_mut().for_each(|app| app["spec"]["executor"] = json!("doorbuster"));
        apps
    };
    let with_shim = render("prod", Some("shim"));
    let executors =
        with_shim.iter().filter(|o| o.0["spec"]["executor"] == json!("doorbuster-shim")).count();
    assert_eq!(executors, 5);
    assert_eq!(apps(with_shim), apps(prod()));
}

#[test]
fn sales_are_accepted_while_a_pod_is_replaced() {
    for app in ["SpinApp/ingest", "SpinApp/bridge", "SpinApp/writer"] {
        let place = "/spec/checks/readiness/periodSeconds";
        let refused = "spec.checks.readiness.periodSeconds";
        tampered().set(app, place, json!(5)).must_be_refused(app, refused, "leaves a gap");
        tampered().remove(app, place).must_be_refused(app, refused, "must be 1");
    }
    for scaler in ["HorizontalPodAutoscaler/ingest", "HorizontalPodAutoscaler/bridge"] {
        tampered().set(scaler, "/spec/minReplicas", json!(1)).must_be_refused(
            scaler,
            "spec.minReplicas",
            "at least 2",
        );
    }
    tampered().set("SpinApp/writer", "/spec/replicas", json!(1)).must_be_refused(
        "SpinApp/writer",
        "spec.replicas",
        "at least 2",
    );
}

#[test]
fn components_and_variables_are_those_of_the_application() {
    tampered().set("SpinApp/writer", "/spec/variables/1/value", json!("sales")).must_be_refused(
        "SpinApp/writer",
        "spec.variables",
        "kafka_topic is `sales`, and `sales-topic` in another application",
    );
    tampered().set("SpinApp/aggregator", "/spec/variables/2/value", json!("g")).must_be_refused(
        "SpinApp/aggregator",
        "spec.variables",
        "kafka_group must be black-friday-group",
    );
    tampered().set("SpinApp/writer", "/spec/image", json!("r/app:9")).must_be_refused(
        "SpinApp/writer",
        "spec.image",
        "in another application",
    );
    tampered().set("SpinApp/bridge", "/spec/components/0", json!("brigde")).must_be_refused(
        "SpinApp/bridge",
        "spec.components",
        "spin.toml has no component brigde",
    );
    tampered().unset("SpinApp/writer", "valkey_url").must_be_refused(
        "SpinApp/writer",
        "spec.variables",
        "valkey_url is not set",
    );
    tampered()
        .set("SpinApp/ingest", "/spec/variables/0/name", json!("bridge_urll"))
        .must_be_refused("SpinApp/ingest", "spec.variables", "no variable bridge_urll");
    tampered()
        .set("SpinApp/ingest", "/spec/variables/0/name", json!("writer_url"))
        .must_be_refused("SpinApp/ingest", "spec.variables", "no component here uses it");
    tampered()
        .set("SpinApp/aggregator", "/spec/checks/readiness/httpGet/path", json!("/ready"))
        .must_be_refused("SpinApp/aggregator", "spec.checks.readiness", "`/ready` is not answered");
}

#[test]
fn referenced_objects_exist() {
    tampered().set("StatefulSet/valkey", "/spec/serviceName", json!("valkeys")).must_be_refused(
        "StatefulSet/valkey",
        "spec.serviceName",
        "there is no Service valkeys",
    );
    tampered().without("Secret/valkey-urls").must_be_refused(
        "SpinApp/writer",
        "spec.variables",
        "there is no Secret valkey-urls",
    );
    tampered()
        .set("SpinApp/writer", "/spec/variables/5/valueFrom/secretKeyRef/key", json!("passwd"))
        .must_be_refused(
            "SpinApp/writer",
            "spec.variables.5",
            "the Secret writer has no key passwd",
        );
    tampered().remove("NetworkPolicy/kafka-rack", "/metadata/namespace").must_be_refused(
        "NetworkPolicy/kafka-rack",
        "metadata.namespace",
        "must be black-friday",
    );
    tampered().without("ServiceAccount/doorbuster").must_be_refused(
        "SpinApp/bridge",
        "spec.serviceAccountName",
        "there is no ServiceAccount doorbuster",
    );
    tampered().without("ConfigMap/idempotency").must_be_refused(
        "SpinApp/aggregator",
        "spec.variables",
        "there is no ConfigMap idempotency",
    );
    tampered()
        .set(
            "Ingress/ingest",
            "/spec/rules/0/http/paths/0/backend/service/port/number",
            json!(3000),
        )
        .must_be_refused("Ingress/ingest", "spec.rules.0.http.paths.0.backend.service", "3000");
    tampered().set("Service/grafana", "/spec/ports/0/targetPort", json!("web")).must_be_refused(
        "Service/grafana",
        "spec.ports.0.targetPort",
        "no port \"web\"",
    );
    tampered().set("Service/valkey", "/spec/selector", json!({ "app": "valkey" })).must_be_refused(
        "Service/valkey",
        "spec.selector",
        "selects no pods",
    );
    tampered().without("PersistentVolumeClaim/grafana").must_be_refused(
        "Deployment/grafana",
        "spec.template.spec.volumes",
        "PersistentVolumeClaim",
    );
    tampered()
        .remove("Ingress/ingest", "/metadata/annotations/cert-manager.io~1cluster-issuer")
        .must_be_refused("Ingress/ingest", "spec.tls.0", "there is no Secret ingest-tls");
}

#[test]
fn names_of_the_clusters_dns_have_a_target() {
    let variable = "/spec/variables/0/value";
    let url = |rest: &str| json!(format!("http://{rest}"));
    tampered()
        .set("SpinApp/ingest", variable, url("brigde.black-friday.svc.cluster.local"))
        .must_be_refused("SpinApp/ingest", "spec.variables.0.value", "there is no Service brigde");
    tampered()
        .set("SpinApp/ingest", variable, url("bridge.black-friday.svc.cluster.local:8080"))
        .must_be_refused("SpinApp/ingest", "spec.variables.0.value", "has no port 8080");
    tampered()
        .set("SpinApp/ingest", variable, url("bridge.blackfriday.svc.cluster.local"))
        .must_be_refused("SpinApp/ingest", "spec.variables.0.value", "no namespace blackfriday");
    tampered().set("StatefulSet/valkey", "/spec/replicas", json!(2)).must_be_refused(
        "Secret/valkey-urls",
        "data.valkey-writer-url",
        "no pod valkey-2",
    );
}

#[test]
fn scalers_match_their_targets_and_stop_at_the_number_of_partitions() {
    tampered().set("ScaledObject/aggregator", "/spec/maxReplicaCount", json!(4)).must_be_refused(
        "ScaledObject/aggregator",
        "spec.maxReplicaCount",
        "at most",
    );
    tampered()
        .set("ScaledObject/aggregator", "/spec/triggers/0/metadata/consumerGroup", json!("other"))
        .must_be_refused(
            "ScaledObject/aggregator",
            "spec.triggers.0.metadata.consumerGroup",
            "other",
        );
    tampered()
        .set("HorizontalPodAutoscaler/bridge", "/spec/scaleTargetRef/name", json!("brigde"))
        .must_be_refused("HorizontalPodAutoscaler/bridge", "spec.scaleTargetRef.name", "brigde");
    tampered()
        .set("HorizontalPodAutoscaler/bridge", "/spec/scaleTargetRef/name", json!("aggregator"))
        .must_be_refused(
            "ScaledObject/aggregator",
            "spec.scaleTargetRef",
            "by HorizontalPodAutoscaler/bridge",
        );
    tampered().without("HorizontalPodAutoscaler/ingest").must_be_refused(
        "SpinApp/ingest",
        "spec.enableAutoscaling",
        "nothing scales it",
    );
    tampered()
        .set("PodDisruptionBudget/writer", "/spec/selector/matchLabels", json!({ "app": "writer" }))
        .must_be_refused("PodDisruptionBudget/writer", "spec.selector", "selects no pods");
}

#[test]
fn the_policies_allow_exactly_the_documented_connections() {
    tampered().remove("NetworkPolicy/writer", "/spec/egress/0").must_be_refused(
        "NetworkPolicy/writer",
        "spec.egress",
        "writer may not reach kafka:9093",
    );
    tampered().remove("NetworkPolicy/valkey", "/spec/ingress/0/from/3").must_be_refused(
        "NetworkPolicy/valkey",
        "spec.ingress",
        "grafana may not reach valkey:6379",
    );
    tampered().without("NetworkPolicy/default-deny").must_be_refused(
        "NetworkPolicy/",
        "spec",
        "unrelated may reach grafana",
    );
    tampered().remove("NetworkPolicy/ingest", "/spec/ingress/0/ports").must_be_refused(
        "NetworkPolicy/ingest",
        "spec",
        "ingress-controller may reach ingest:22",
    );
    tampered()
        .set("NetworkPolicy/bridge", "/spec/ingress/0/from", json!([{ "namespaceSelector": {} }]))
        .must_be_refused("NetworkPolicy/bridge", "spec", "unrelated may reach bridge:80");
    tampered().remove("NetworkPolicy/entity-operator", "/spec/egress/1/ports/3").must_be_refused(
        "NetworkPolicy/entity-operator",
        "spec.egress",
        "entity-operator may not reach anywhere:16443",
    );
    tampered().without("NetworkPolicy/http01-solver").must_be_refused(
        "NetworkPolicy/http01-solver",
        "spec.ingress",
        "ingress-controller may not reach http01-solver:8089",
    );
    tampered()
        .remove("Ingress/ingest", "/metadata/annotations/cert-manager.io~1cluster-issuer")
        .must_be_refused("NetworkPolicy/http01-solver", "spec.podSelector", "selects no pods");
    tampered().without("NetworkPolicy/app-pull").must_be_refused(
        "NetworkPolicy/ingest",
        "spec.egress",
        "ingest may not reach anywhere:443",
    );
    let peers = "/spec/kafka/listeners/0/networkPolicyPeers";
    tampered().remove("Kafka/doorbuster", &format!("{peers}/2")).must_be_refused(
        "Kafka/doorbuster",
        "spec.kafka.listeners.0",
        "lacks keda",
    );
    tampered().remove("Kafka/doorbuster", peers).must_be_refused(
        "Kafka/doorbuster",
        "spec.kafka.listeners.0",
        "must not have unrelated",
    );
}

#[test]
fn topics_users_and_rights_are_those_that_are_needed() {
    tampered().without("KafkaTopic/sales-topic.dead-letter").must_be_refused(
        "SpinApp/aggregator",
        "spec.variables",
        "sales-topic.dead-letter",
    );
    tampered().remove("KafkaUser/aggregator", "/spec/authorization/acls/1").must_be_refused(
        "KafkaUser/aggregator",
        "spec.authorization.acls",
        "lacks Read on the group",
    );
    tampered()
        .set("KafkaUser/writer", "/spec/authorization/acls/0/operations/1", json!("All"))
        .must_be_refused("KafkaUser/writer", "spec.authorization.acls", "does not need All");
    tampered()
        .set("SpinApp/writer", "/spec/variables/2/value", json!("plaintext"))
        .must_be_refused("SpinApp/writer", "spec.variables", "kafka_security must be sasl_ssl");
    tampered().set("KafkaTopic/sales-topic", "/spec/replicas", json!(4)).must_be_refused(
        "KafkaTopic/sales-topic",
        "spec.replicas",
        "there are 3 brokers",
    );
    tampered()
        .set("KafkaTopic/sales-topic", "/metadata/labels/strimzi.io~1cluster", json!("other"))
        .must_be_refused("KafkaTopic/sales-topic", "metadata.labels", "there is no Kafka `other`");
}

#[test]
fn valkeys_members_users_and_settings_agree() {
    tampered().set("ConfigMap/valkey-hosts", "/data/quorum", json!("1")).must_be_refused(
        "ConfigMap/valkey-hosts",
        "data.quorum",
        "the majority, 2",
    );
    let url = "cmVkaXM6Ly93cml0ZXI6MDBAdmFsa2V5"; // redis://writer:00@valkey
    tampered().set("Secret/valkey-urls", "/data/valkey-writer-url", json!(url)).must_be_refused(
        "Secret/valkey-urls",
        "data.valkey-writer-url",
        "another password for writer",
    );
    let acl = "dXNlciBkZWZhdWx0IG9uIG5vcGFzcw=="; // user default on nopass
    tampered().set("Secret/valkey-server", "/data/users.acl", json!(acl)).must_be_refused(
        "Secret/valkey-server",
        "data.users.acl",
        "default must be off",
    );
    tampered().set("Secret/valkey-server", "/data/users.acl", json!(acl)).must_be_refused(
        "Secret/grafana",
        "data.valkey-password",
        "has no user grafana",
    );
    let variables = prod().into_iter().find(|object| object.id() == "SpinApp/dashboard").unwrap();
    let variables = variables.0["spec"]["variables"].as_array().unwrap().clone();
    let index = variables.iter().position(|variable| variable["name"] == "key_prefix").unwrap();
    tampered()
        .set("SpinApp/dashboard", &format!("/spec/variables/{index}/value"), json!("shop"))
        .must_be_refused("SpinApp/dashboard", "spec.variables", "only the keys without a prefix");
    tampered()
        .replace_in("grafana-dashboards", "black-friday.json", "total_ventas", "claims:sales-topic")
        .must_be_refused("ConfigMap/grafana-dashboards", "data", "may not read claims");
}

#[test]
fn the_audit_counts_as_the_aggregator_does_and_can_only_read() {
    let (audit, container) = ("Deployment/audit", "/spec/template/spec/containers/0");
    let place = "spec.template.spec.containers.0";
    for (field, value, words) in [
        ("image", json!("registry.example.com/doorbuster:0"), "as in the executor"),
        ("args/2", json!("registry.example.com/doorbuster-app:0"), "--from must be"),
        ("args/4", json!("writer"), "--component must be aggregator"),
        ("env/1/value", json!("sales"), "kafka_topic must be that of the SpinApp aggregator"),
        ("env/5/value", json!("aggregator"), "kafka_username must differ"),
    ] {
        tampered()
            .set(audit, &format!("{container}/{field}"), value)
            .must_be_refused(audit, place, words);
    }
    // A variable that only the aggregator has.
    let added = json!({ "name": "idempotency_claims", "value": "1" });
    tampered().set("SpinApp/aggregator", "/spec/variables/3", added).must_be_refused(
        audit,
        place,
        "idempotency_claims must be",
    );
    let rights = "spec.authorization.acls";
    tampered()
        .set("KafkaUser/audit", "/spec/authorization/acls/0/operations/1", json!("Write"))
        .must_be_refused("KafkaUser/audit", rights, "does not need Write");
    let acl = "dXNlciBhdWRpdCBvbiB+Kg=="; // user audit on ~*
    tampered().set("Secret/valkey-server", "/data/users.acl", json!(acl)).must_be_refused(
        "Secret/valkey-server",
        "data.users.acl",
        "audit may write: ~*",
    );
    tampered().remove("NetworkPolicy/audit", "/spec/egress/1").must_be_refused(
        "NetworkPolicy/audit",
        "spec.egress",
        "audit may not reach valkey:6379",
    );
}

#[test]
fn alerts_name_metrics_that_exist_and_are_explained() {
    let rule = "/spec/groups/0/rules/0";
    let place = "spec.groups.0.rules.0";
    tampered()
        .set("PrometheusRule/doorbuster", &format!("{rule}/expr"), json!("spin_kafka_lagg{} > 1"))
        .must_be_refused("PrometheusRule/doorbuster", place, "there is no metric spin_kafka_lagg");
    tampered()
        .set("PrometheusRule/doorbuster", &format!("{rule}/alert"), json!("Mystery"))
        .must_be_refused("PrometheusRule/doorbuster", place, "does not explain Mystery");
    tampered()
        .set("PodMonitor/aggregator", "/spec/podMetricsEndpoints/0/port", json!("metrics"))
        .must_be_refused("PodMonitor/aggregator", "spec.podMetricsEndpoints.0.port", "metrics");
}

#[test]
fn panels_have_titles_units_and_queries_of_metrics_that_exist() {
    for (from, to, words) in [
        (r#""title": "Lag""#, r#""title": """#, "has no title"),
        (r#""unit": "short""#, r#""unit": """#, "panel `Lag`: has no unit"),
        ("sum(spin_kafka_lag{", "sum(spin_kafka_lagg{", "there is no metric spin_kafka_lagg"),
        (
            "_seconds_bucket{",
            "_seconds_total{",
            "there is no metric spin_kafka_handler_seconds_total",
        ),
        ("sum(spin_kafka_lag{namespace", "sum(spin_kafka_lag{color", "has no label color"),
        ("sum(spin_kafka_lag{namespace", "sum(spin_kafka_lag{pod", "a matcher of the namespace"),
        (r#"sum(spin_kafka_lag{namespace=~\"$namespace\"})"#, "1", "names no metric"),
        ("by (topic, partition)", "by (topic, color)", "no metric has the label color"),
        ("by (topic, partition)", "by (topic)", "does not group by partition"),
        (r#""legendFormat": "records""#, r#""legendFormat": """#, "has no legend"),
        (r#""targets": ["#, r#""queries": ["#, "has no query"),
        (r#""uid": "prometheus""#, r#""uid": "other""#, "no data source `other`"),
    ] {
        tampered().replace_in("grafana-dashboards", "pipeline.json", from, to).must_be_refused(
            "ConfigMap/grafana-dashboards",
            "data.pipeline.json",
            words,
        );
    }
    tampered()
        .set("PodMonitor/http", "/spec/podMetricsEndpoints/0/portNumber", json!(9465))
        .must_be_refused("PodMonitor/http", "spec.podMetricsEndpoints.0.portNumber", "9465");
}
