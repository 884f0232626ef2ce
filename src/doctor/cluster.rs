//! What all resources share: the definition, an operator that leads, and what the caller may look at.

use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use super::findings::Findings;
use crate::cluster::{not_installed, sentence};
use crate::controller::connector::naming::ClusterName;
use crate::crd::{self, Defined, GROUP};
use crate::kinds;
use crate::kube_error::is_forbidden;
use crate::runtime::leader;
use crate::runtime::scope::Scope;

const CLUSTER: &str = "cluster";

/// Installs the definition, or makes it that of this version.
const INSTALL: &str =
    "unstructured-operator crd | kubectl apply --server-side --force-conflicts -f -";

/// Examines what concerns a namespace, or all; false when there is no point in going on.
pub(super) async fn examine(
    client: &Client,
    namespace: Option<&str>,
    findings: &mut Findings,
) -> bool {
    let defined = definitions(client, findings).await;
    if !defined {
        return false;
    }
    operator(client, namespace, findings).await;
    let exists = match namespace {
        Some(name) => namespace_exists(client, name, findings).await,
        None => true,
    };
    exists && rights(client, namespace, findings).await
}

/// Whether any kind is defined.
async fn definitions(client: &Client, findings: &mut Findings) -> bool {
    let mut any = false;
    for kind in &crd::ALL {
        any |= definition(client, kind, findings).await;
    }
    any
}

async fn definition(client: &Client, kind: &Defined, findings: &mut Findings) -> bool {
    const CHECK: &str = "crd";
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    match definitions.get_opt(&kind.definition_name()).await {
        Ok(Some(installed)) => {
            let schemas = |definition: &CustomResourceDefinition| -> Vec<_> {
                let versions = definition.spec.versions.iter();
                versions
                    .map(|version| (version.name.clone(), version.schema.clone()))
                    .collect()
            };
            if schemas(&installed) == schemas(&(kind.definition)()) {
                findings.right(
                    CLUSTER,
                    CHECK,
                    format!("{} is installed and matches this version", kind.name),
                );
            } else {
                findings.wrong(
                    CLUSTER,
                    CHECK,
                    format!(
                        "{} is installed, but does not match this version ({}): use the version that runs in the cluster, or \
                         upgrade the CRD",
                        kind.name,
                        env!("CARGO_PKG_VERSION")
                    ),
                    INSTALL,
                );
            }
            true
        }
        Ok(None) => {
            findings.wrong(CLUSTER, CHECK, not_installed(kind.name), INSTALL);
            false
        }
        Err(error) if is_forbidden(&error) => {
            findings.unknown(
                CLUSTER,
                CHECK,
                "you lack the permission to read CRDs",
                format!("kubectl explain {}", kind.name.to_lowercase()),
            );
            true
        }
        Err(error) => {
            let message = sentence(&error, "the CRD cannot be read");
            findings.wrong(CLUSTER, CHECK, message, "kubectl version");
            false
        }
    }
}

/// Whether exactly one operator works on the namespace, or on each resource of the cluster.
async fn operator(client: &Client, namespace: Option<&str>, findings: &mut Findings) {
    const CHECK: &str = "operator";
    const PODS: &str =
        "kubectl get pods --all-namespaces -l app.kubernetes.io/name=unstructured-operator";
    let leases = match leader::all(client).await {
        Ok(leases) => leases,
        Err(error) => {
            let message = sentence(&error, "the Leases cannot be read");
            return findings.unknown(CLUSTER, CHECK, message, PODS);
        }
    };
    let concerned = |lease: &&Lease| namespace.is_none_or(|name| Scope::of(lease).covers(name));
    let (leading, idle): (Vec<_>, Vec<_>) = leases
        .iter()
        .filter(concerned)
        .partition(|lease| holder_of(lease).is_some());
    let described: Vec<_> = leading
        .iter()
        .map(|lease| {
            let holder = holder_of(lease).unwrap_or_default();
            format!("{holder} leads (Lease {})", full_name(lease))
        })
        .collect();
    let rivals = leading.iter().enumerate().any(|(number, one)| {
        let others = &leading[number + 1..];
        others
            .iter()
            .any(|other| Scope::of(one).overlaps(&Scope::of(other)))
    });
    if rivals {
        let message = format!(
            "several operators work on the same resources: {}. Keep one, or give them different namespaces or labels",
            described.join("; ")
        );
        findings.wrong(CLUSTER, CHECK, message, PODS);
    } else if !leading.is_empty() {
        findings.right(CLUSTER, CHECK, described.join("; "));
    } else if let Some(lease) = idle.first() {
        let message = format!(
            "no operator leads: nobody renews the Lease {}. The operator is stopped, or cannot reach the Kubernetes API",
            full_name(lease)
        );
        findings.wrong(CLUSTER, CHECK, message, PODS);
    } else {
        let message = "no operator has a Lease: none is installed for this namespace, or it runs with --leader-elect=false, \
                       which doctor cannot see";
        findings.wrong(CLUSTER, CHECK, message, PODS);
    }
}

fn holder_of(lease: &Lease) -> Option<&str> {
    leader::holder(lease.spec.as_ref()?, Timestamp::now())
}

fn full_name(lease: &Lease) -> String {
    format!(
        "{}/{}",
        lease.namespace().unwrap_or_default(),
        lease.name_any()
    )
}

/// The cluster's part of connector names: chosen, or derived as the operator derives it.
pub(super) async fn name(client: &Client, chosen: Option<&str>) -> Result<ClusterName, String> {
    if let Some(name) = chosen {
        return Ok(ClusterName::chosen(name));
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let what =
        "the namespace kube-system, from which the cluster's name is derived, cannot be read";
    match namespaces.get_metadata("kube-system").await {
        Ok(namespace) => Ok(ClusterName::from_uid(&namespace.uid().unwrap_or_default())),
        Err(error) => Err(sentence(&error, what)),
    }
}

/// Whether the namespace is there, as far as the caller may know.
async fn namespace_exists(client: &Client, name: &str, findings: &mut Findings) -> bool {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    match namespaces.get_opt(name).await {
        Ok(None) => {
            findings.wrong(
                CLUSTER,
                "namespace",
                format!("the namespace {name} does not exist"),
                format!("kubectl create namespace {name}"),
            );
            false
        }
        Ok(Some(_)) | Err(_) => true,
    }
}

/// Whether the caller may read what has to be read; false when not even the resources.
async fn rights(client: &Client, namespace: Option<&str>, findings: &mut Findings) -> bool {
    const CHECK: &str = "permissions";
    let place = namespace.map_or_else(
        || "in all namespaces".to_owned(),
        |name| format!("in the namespace {name}"),
    );
    let mut denied = Vec::new();
    let kinds = crd::ALL.iter();
    let resources = kinds.flat_map(|kind| ["get", "list"].map(|verb| (verb, GROUP, kind.plural)));
    for (verb, group, resource) in resources.chain([("get", "", "secrets")]) {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(group.to_owned()),
                    namespace: namespace.map(ToOwned::to_owned),
                    resource: Some(resource.to_owned()),
                    verb: Some(verb.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        match reviews.create(&PostParams::default(), &review).await {
            Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => {}
            Ok(_) => denied.push((verb, resource)),
            Err(error) => {
                let message = sentence(&error, "your permissions cannot be looked up");
                findings.unknown(CLUSTER, CHECK, message, "kubectl auth can-i --list");
                return true;
            }
        }
    }
    if denied.is_empty() {
        findings.right(
            CLUSTER,
            CHECK,
            format!("you may read the resources of every kind and Secrets {place}"),
        );
        return true;
    }
    let words: Vec<_> = denied
        .iter()
        .map(|(verb, resource)| format!("{verb} {resource}"))
        .collect();
    findings.wrong(
        CLUSTER,
        CHECK,
        format!("you lack the permission to {} {place}", words.join(", ")),
        "ask an administrator for a Role with these permissions; doctor cannot check the rest without them",
    );
    // One kind that may be read is worth a look.
    kinds::ALL
        .iter()
        .any(|kind| denied.iter().all(|(_, resource)| *resource != kind.plural))
}
