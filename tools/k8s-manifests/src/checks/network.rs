//! Checks that the network policies allow exactly the connections of a table.

mod arrows;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::arrows::{ANYWHERE, Arrow, expected};
use super::selector::takes;
use super::workload::{Labels, SOLVER, Workload, workloads};
use crate::object::{Finding, Object, list, of_kind};

/// A pod or an external program that may open or accept connections.
struct Peer {
    name: String,
    labels: Labels,
    /// Whether it is in our namespace, in another one, or outside of the cluster.
    place: Place,
}

#[derive(PartialEq, Eq)]
enum Place {
    Ours,
    Namespace(&'static str),
    Outside,
}

/// Name and value of a label.
type Label = (&'static str, &'static str);

/// Other programs in the cluster that have connections with ours, with the labels from their own
/// projects, and one that must have none.
const OTHERS: [(&str, &str, &[Label]); 6] = [
    ("dns", "kube-system", &[("k8s-app", "kube-dns")]),
    ("ingress-controller", "ingress-nginx", &[("app.kubernetes.io/name", "ingress-nginx")]),
    ("cluster-operator", "strimzi", &[("strimzi.io/kind", "cluster-operator")]),
    ("keda", "keda", &[("app", "keda-operator")]),
    ("prometheus", "monitoring", &[("app.kubernetes.io/name", "prometheus")]),
    ("unrelated", "default", &[]),
];

/// Ports that are tested in addition to those that an object names: no policy may leave ports open.
const OTHER_PORTS: [u16; 2] = [1, 22];

/// The connections that are allowed but not expected, or expected but not allowed.
pub fn check(objects: &[Object]) -> Vec<Finding> {
    let workloads = workloads(objects);
    let network = Network::new(objects, &workloads);
    let (allowed, expected) = (network.arrows(), expected(objects, &workloads));
    let mut found = Vec::new();
    for arrow in expected.difference(&allowed) {
        found.push(network.missing(arrow));
    }
    for (from, to, port) in allowed.difference(&expected) {
        found.push(Finding {
            object: format!("NetworkPolicy/{}", if to == ANYWHERE { from } else { to }),
            place: "spec".into(),
            message: format!("{from} may reach {to}:{port}, which is not an arrow of the picture"),
        });
    }
    for policy in &network.policies {
        let selector = policy.at("spec.podSelector");
        if !workloads.iter().any(|workload| takes(selector, &workload.labels)) {
            found.push(policy.finding("spec.podSelector", "selects no pods"));
        }
    }
    for cluster in of_kind(objects, "Kafka") {
        found.extend(network.listeners(cluster, &expected));
    }
    found
}

struct Network<'a> {
    policies: Vec<&'a Object>,
    peers: Vec<Peer>,
    ports: BTreeSet<u16>,
}

#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

impl Way {
    /// The policy type, the field with the rules, and the field with a rule's peers.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::In => ("Ingress", "spec.ingress", "from"),
            Self::Out => ("Egress", "spec.egress", "to"),
        }
    }
}

impl<'a> Network<'a> {
    fn new(objects: &'a [Object], workloads: &[Workload]) -> Self {
        let ours = workloads.iter().map(|workload| Peer {
            name: workload.name.clone(),
            labels: workload.labels.clone(),
            place: Place::Ours,
        });
        let others = OTHERS.iter().map(|(name, namespace, labels)| Peer {
            name: (*name).into(),
            labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            place: Place::Namespace(namespace),
        });
        let outside = Peer { name: ANYWHERE.into(), labels: Labels::new(), place: Place::Outside };
        let policies: Vec<_> = of_kind(objects, "NetworkPolicy").collect();
        let rules = policies.iter().flat_map(|policy| {
            ["spec.ingress", "spec.egress"].into_iter().flat_map(|way| policy.list(way))
        });
        let named = rules.flat_map(|rule| list(rule, "ports")).filter_map(|port| {
            port.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())
        });
        let own = workloads.iter().flat_map(|workload| workload.ports.values().copied());
        let ports = named.chain(own).chain(OTHER_PORTS).collect();
        Self { policies, peers: ours.chain(others).chain([outside]).collect(), ports }
    }

    /// All connections that are possible.
    fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        for from in &self.peers {
            for to in &self.peers {
                let ports = self.ports.iter().filter(|port| self.allows(from, to, **port));
                arrows.extend(ports.map(|port| (from.name.clone(), to.name.clone(), *port)));
            }
        }
        arrows
    }

    /// Whether `from` may connect to this port of `to`. Peers outside of our namespace have no
    /// policies here.
    fn allows(&self, from: &Peer, to: &Peer, port: u16) -> bool {
        let ours = |peer: &Peer| peer.place == Place::Ours;
        (ours(from) || ours(to))
            && (!ours(from) || self.opens(Way::Out, from, to, port))
            && (!ours(to) || self.opens(Way::In, to, from, port))
    }

    /// Whether the policies of `pod` allow a connection with `peer`. A pod without policies has no
    /// restrictions.
    fn opens(&self, way: Way, pod: &Peer, peer: &Peer, port: u16) -> bool {
        let (kind, rules, peers) = way.words();
        let mut policies = self.policies.iter().filter(|policy| {
            policy.list("spec.policyTypes").contains(&json!(kind))
                && takes(policy.at("spec.podSelector"), &pod.labels)
        });
        let mut is_free = true;
        let opened = policies.any(|policy| {
            is_free = false;
            policy
                .list(rules)
                .iter()
                .any(|rule| opens_port(rule, port) && opens_peer(list(rule, peers), peer, way))
        });
        opened || is_free
    }

    fn missing(&self, arrow: &Arrow) -> Finding {
        let (from, to, port) = arrow;
        let peer = |name: &str| self.peers.iter().find(|peer| peer.name == name);
        let leaves = peer(from).zip(peer(to)).is_some_and(|(from, to)| {
            from.place != Place::Ours || self.opens(Way::Out, from, to, *port)
        });
        let (policy, place) = if leaves { (to, "spec.ingress") } else { (from, "spec.egress") };
        Finding {
            object: format!("NetworkPolicy/{policy}"),
            place: place.into(),
            message: format!("{from} may not reach {to}:{port}, which is an arrow of the picture"),
        }
    }

    /// Strimzi generates policies from the listeners' peers, so these must be the same.
    fn listeners(&self, cluster: &Object, expected: &BTreeSet<Arrow>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (index, listener) in cluster.list("spec.kafka.listeners").iter().enumerate() {
            let named = list(listener, "networkPolicyPeers");
            let port = listener.get("port").and_then(Value::as_u64).unwrap_or_default();
            for peer in &self.peers {
                let opened = opens_peer(named, peer, Way::In);
                let wanted = expected.iter().any(|(from, to, at)| {
                    *from == peer.name && to == "kafka" && u64::from(*at) == port
                });
                if opened != wanted {
                    let place = format!("spec.kafka.listeners.{index}.networkPolicyPeers");
                    let verb = if wanted { "lacks" } else { "must not have" };
                    found.push(cluster.finding(&place, format!("{verb} {}", peer.name)));
                }
            }
        }
        found
    }
}

fn opens_port(rule: &Value, port: u16) -> bool {
    let ports = list(rule, "ports");
    let is_it = |one: &Value| one.get("port").and_then(Value::as_u64) == Some(port.into());
    ports.is_empty() || ports.iter().any(|one| one.get("port").is_none() || is_it(one))
}

/// Whether a rule with these peers applies to `peer`. A rule without peers applies to everybody.
/// For outgoing connections it stands for addresses outside of the cluster, which no selector can
/// match.
fn opens_peer(peers: &[Value], peer: &Peer, way: Way) -> bool {
    if peers.is_empty() {
        return match way {
            Way::In => true,
            Way::Out => !matches!(peer.place, Place::Namespace(_)),
        };
    }
    peers.iter().any(|rule| names(rule, peer))
}

fn names(rule: &Value, peer: &Peer) -> bool {
    if rule.get("ipBlock").is_some() {
        return peer.place == Place::Outside;
    }
    let namespace = match peer.place {
        Place::Ours => "black-friday",
        Place::Namespace(name) => name,
        Place::Outside => return false,
    };
    let label = [("kubernetes.io/metadata.name".to_owned(), namespace.to_owned())].into();
    let in_namespace = match rule.get("namespaceSelector") {
        Some(selector) => takes(selector, &label),
        None => peer.place == Place::Ours,
    };
    in_namespace && takes(rule.get("podSelector").unwrap_or(&Value::Null), &peer.labels)
}
