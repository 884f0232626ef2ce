//! What all resources share: the definition, an operator that leads, and what the caller may look at.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client, CustomResourceExt};

use super::findings::Findings;
use crate::crd::{self, DropboxSource, GROUP};
use crate::runtime::leader::LABEL;

const CLUSTER: &str = "cluster";

/// Examines the cluster; false when there is no point in going on.
pub(super) async fn examine(client: &Client, namespace: &str, findings: &mut Findings) -> bool {
    let defined = definition(client, findings).await;
    if !defined {
        return false;
    }
    operator(client, findings).await;
    rights(client, namespace, findings).await
}

/// A Kubernetes error in a sentence that quotes nothing.
pub(crate) fn sentence(error: &kube::Error, what: &str) -> String {
    match error {
        kube::Error::Api(status) if status.is_forbidden() => {
            format!("{what}: you may not; ask an administrator for the right")
        }
        kube::Error::Api(status) if status.code == 401 => {
            format!("{what}: the cluster does not know you; log in to it again")
        }
        kube::Error::Api(status) => {
            format!(
                "{what}: the cluster answered {}; check it with kubectl version",
                status.code
            )
        }
        _ => format!("{what}: the cluster does not answer; check it with kubectl version"),
    }
}

async fn definition(client: &Client, findings: &mut Findings) -> bool {
    const CHECK: &str = "definition";
    let install = "unstructured-operator crd | kubectl apply --server-side -f -";
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    match definitions.get_opt(DropboxSource::crd_name()).await {
        Ok(Some(installed)) => {
            let schemas = |definition: &CustomResourceDefinition| -> Vec<_> {
                let versions = definition.spec.versions.iter();
                versions
                    .map(|version| (version.name.clone(), version.schema.clone()))
                    .collect()
            };
            if schemas(&installed) == schemas(&crd::definition()) {
                findings.right(
                    CLUSTER,
                    CHECK,
                    "DropboxSource is defined, as this version knows it",
                );
            } else {
                findings.wrong(
                    CLUSTER,
                    CHECK,
                    format!(
                        "DropboxSource is defined, but not as this version ({}) knows it",
                        env!("CARGO_PKG_VERSION")
                    ),
                    format!("use the version that runs in the cluster, or upgrade: {install}"),
                );
            }
            true
        }
        Ok(None) => {
            findings.wrong(
                CLUSTER,
                CHECK,
                format!("the cluster knows no resources of {GROUP}"),
                format!("install the Helm chart, or only the definition: {install}"),
            );
            false
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            findings.unknown(
                CLUSTER,
                CHECK,
                "you may not read custom resource definitions",
                "kubectl explain dropboxsource shows whether it is there",
            );
            true
        }
        Err(error) => {
            let message = sentence(&error, "the definition cannot be read");
            findings.wrong(CLUSTER, CHECK, message, "kubectl cluster-info");
            false
        }
    }
}

async fn operator(client: &Client, findings: &mut Findings) {
    const CHECK: &str = "operator";
    let next = "kubectl get pods --all-namespaces -l app.kubernetes.io/name=unstructured-operator; without --leader-elect it has \
                no Lease, and this check does not apply";
    let leases: Api<Lease> = Api::all(client.clone());
    let (label, value) = LABEL;
    let params = ListParams::default().labels(&format!("{label}={value}"));
    match leases.list(&params).await {
        Ok(list) => {
            let leading = list.items.iter().filter_map(|lease| {
                let ObjectMeta {
                    namespace, name, ..
                } = &lease.metadata;
                let holder = leader(lease.spec.as_ref()?, Timestamp::now())?;
                let (namespace, name) = (namespace.as_deref()?, name.as_deref()?);
                Some(format!("{holder} leads (Lease {namespace}/{name})"))
            });
            let leading: Vec<_> = leading.collect();
            if leading.is_empty() {
                findings.unknown(
                    CLUSTER,
                    CHECK,
                    "no operator holds a Lease at the moment",
                    next,
                );
            } else {
                findings.right(CLUSTER, CHECK, leading.join("; "));
            }
        }
        Err(error) => {
            let message = sentence(&error, "the Leases cannot be read");
            findings.unknown(CLUSTER, CHECK, message, next);
        }
    }
}

/// Who holds the Lease at this time.
fn leader(lease: &LeaseSpec, now: Timestamp) -> Option<&str> {
    let holder = lease
        .holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())?;
    let duration = u64::try_from(lease.lease_duration_seconds?).ok()?;
    let until = lease
        .renew_time
        .as_ref()?
        .0
        .checked_add(Duration::from_secs(duration))
        .ok()?;
    (now < until).then_some(holder)
}

/// Whether the caller may read what has to be read; false when not even the resources.
async fn rights(client: &Client, namespace: &str, findings: &mut Findings) -> bool {
    const CHECK: &str = "rights";
    let mut denied = Vec::new();
    for (verb, group, resource) in [
        ("get", GROUP, "dropboxsources"),
        ("list", GROUP, "dropboxsources"),
        ("get", "", "secrets"),
    ] {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(group.to_owned()),
                    namespace: Some(namespace.to_owned()),
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
                let message = sentence(&error, "your rights cannot be looked up");
                findings.unknown(CLUSTER, CHECK, message, "kubectl auth can-i --list");
                return true;
            }
        }
    }
    if denied.is_empty() {
        findings.right(
            CLUSTER,
            CHECK,
            format!("you may read DropboxSources and Secrets in the namespace {namespace}"),
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
        format!(
            "you may not {} in the namespace {namespace}",
            words.join(", ")
        ),
        "ask an administrator for a Role with these rights; what they hide cannot be looked at",
    );
    denied.iter().all(|(_, resource)| *resource == "secrets")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    #[test]
    fn a_lease_leads_until_its_time_is_over() {
        let renewed: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let lease = LeaseSpec {
            holder_identity: Some("pod-1".to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(renewed)),
            ..LeaseSpec::default()
        };
        let after = |seconds| renewed + Duration::from_secs(seconds);
        assert_eq!(leader(&lease, after(14)), Some("pod-1"));
        assert_eq!(leader(&lease, after(15)), None);
        let released = LeaseSpec {
            holder_identity: Some(String::new()),
            ..lease
        };
        assert_eq!(leader(&released, after(1)), None);
    }
}
