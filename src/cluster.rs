//! What is said of a cluster that does not do what it should, in the same words by every command.

use kube::{Client, Error, Resource};

use crate::exit::Exit;
use crate::kube_error::{is_forbidden, is_missing};

/// The definition of a kind is missing.
pub(crate) fn not_installed(kind: &str) -> String {
    format!(
        "{kind} is not installed: install the Helm chart, or the CRDs alone with unstructured-operator crd | kubectl apply \
         --server-side -f -"
    )
}

/// A Kubernetes error in a sentence that quotes nothing.
pub(crate) fn sentence(error: &Error, what: &str) -> String {
    match error {
        _ if is_forbidden(error) => {
            format!("{what}: you lack the permission; ask an administrator for it")
        }
        Error::Api(status) if status.code == 401 => {
            format!("{what}: the cluster does not know you; log in to it again")
        }
        Error::Api(status) => format!(
            "{what}: the cluster responded with {}; check it with kubectl version",
            status.code
        ),
        _ => format!("{what}: the cluster does not respond; check it with kubectl version"),
    }
}

/// Whether the cluster knows the kind. Asked by discovery, which every user may.
pub(crate) async fn find_definition<K: Resource<DynamicType = ()>>(
    client: &Client,
) -> Result<(), Exit> {
    let version = K::api_version(&());
    let plural = K::plural(&());
    match client.list_api_group_resources(&version).await {
        Ok(list) if list.resources.iter().any(|served| served.name == plural) => Ok(()),
        Ok(_) => Err(Exit::Failed(not_installed(&K::kind(&())))),
        Err(error) if is_missing(&error) => Err(Exit::Failed(not_installed(&K::kind(&())))),
        Err(error) => Err(Exit::Failed(sentence(
            &error,
            "the cluster cannot be asked for its resources",
        ))),
    }
}
