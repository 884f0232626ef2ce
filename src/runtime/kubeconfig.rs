//! A kubeconfig, read as kubectl reads it. kube's own loader compares `NO_PROXY` with the proxy's URL instead of the cluster's, and
//! fails on entries that everybody else passes over; beyond that this does what it does.

use std::path::Path;
use thiserror::Error;

use kube::Config;
use kube::config::{Cluster, ExecAuthCluster, Kubeconfig, KubeconfigError};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use url::Url;

use crate::proxy::{self, Proxy, ProxyError};

/// Why there is no client. The texts leave out what a kubeconfig or a proxy URL may hold in the way of credentials.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a pod's service account was found.
    #[error(
        "no Kubernetes cluster found: run in a pod with a service account, or set KUBECONFIG to a readable kubeconfig"
    )]
    NoCluster,
    /// A kubeconfig was found that cannot be used.
    #[error("the kubeconfig cannot be used: {0}; check it with kubectl config view")]
    Kubeconfig(&'static str),
    /// The configuration was read but gives no client.
    #[error(
        "no client can be made from the Kubernetes configuration: check its certificates, credentials and proxy (an http:// or https:// URL)"
    )]
    Client,
}

/// The configuration for a context, the current one by default, of a file: this one, those that `KUBECONFIG` names, or
/// `~/.kube/config`.
pub(super) fn load(file: Option<&Path>, context: Option<&str>) -> Result<Config, ConnectError> {
    let kubeconfig = match file {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    config(kubeconfig?, context, proxy::of)
}

fn config(
    kubeconfig: Kubeconfig,
    context: Option<&str>,
    proxy_of: impl Fn(&Url) -> Result<Option<Proxy>, ProxyError>,
) -> Result<Config, ConnectError> {
    let unusable = ConnectError::Kubeconfig;
    let Some(name) = context.or(kubeconfig.current_context.as_deref()) else {
        return Err(KubeconfigError::CurrentContextNotSet.into());
    };
    let context = kubeconfig
        .contexts
        .iter()
        .find(|context| context.name == name)
        .and_then(|context| context.context.as_ref())
        .ok_or(unusable("the context is not in it"))?;
    let cluster = kubeconfig
        .clusters
        .into_iter()
        .find(|cluster| cluster.name == context.cluster)
        .and_then(|cluster| cluster.cluster)
        .ok_or(unusable("the cluster of its context is not in it"))?;
    let user = kubeconfig
        .auth_infos
        .into_iter()
        .find(|user| Some(&user.name) == context.user.as_ref());
    let mut user = user.and_then(|user| user.auth_info).unwrap_or_default();
    let described = ExecAuthCluster::try_from(&cluster)?;

    let url = cluster.server.as_deref().unwrap_or_default().parse();
    let mut config = Config::new(url.map_err(KubeconfigError::ParseClusterUrl)?);
    config.root_cert = authorities(described.certificate_authority_data.as_deref())?;
    config.proxy_url = proxy_url(&cluster, proxy_of)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or_default();
    config.disable_compression = cluster.disable_compression.unwrap_or_default();
    config.tls_server_name = cluster.tls_server_name;
    if let Some(namespace) = &context.namespace {
        config.default_namespace.clone_from(namespace);
    }
    if let Some(exec) = user.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = Some(described);
    }
    config.auth_info = user;
    Ok(config)
}

fn authorities(pem: Option<&[u8]>) -> Result<Option<Vec<Vec<u8>>>, ConnectError> {
    let Some(pem) = pem.filter(|pem| !pem.is_empty()) else {
        return Ok(None);
    };
    let certificates = CertificateDer::pem_slice_iter(pem)
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()));
    match certificates.collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(Some(found)),
        _ => Err(ConnectError::Kubeconfig(
            "the certificate authority of its cluster holds no certificate",
        )),
    }
}

/// The proxy that the file names is used whatever `NO_PROXY` says; `HTTPS_PROXY` is used where that does not exempt the cluster.
fn proxy_url(
    cluster: &Cluster,
    proxy_of: impl Fn(&Url) -> Result<Option<Proxy>, ProxyError>,
) -> Result<Option<axum::http::Uri>, ConnectError> {
    let proxy = match cluster.proxy_url.as_deref().unwrap_or_default() {
        "" => {
            let server = cluster.server.as_deref().map(Url::parse);
            match server {
                Some(Ok(server)) => proxy_of(&server),
                Some(Err(_)) | None => Ok(None),
            }
        }
        own => Proxy::parse(own).map(Some),
    };
    let not_understood =
        ConnectError::Kubeconfig("the proxy that it or HTTPS_PROXY names is not understood");
    let Some(proxy) = proxy.map_err(|_| not_understood)? else {
        return Ok(None);
    };
    let uri = proxy.url().as_str().parse();
    Ok(Some(uri.map_err(KubeconfigError::ParseProxyUrl)?))
}

/// Says what is wrong without quoting the file: a parse error may cite the line that holds a token.
impl From<KubeconfigError> for ConnectError {
    fn from(error: KubeconfigError) -> Self {
        Self::Kubeconfig(match error {
            KubeconfigError::FindPath | KubeconfigError::ReadConfig(..) => {
                return Self::NoCluster;
            }
            KubeconfigError::CurrentContextNotSet => "it sets no current context",
            KubeconfigError::ParseClusterUrl(_) => "its cluster has no usable server URL",
            KubeconfigError::ParseProxyUrl(_) => {
                "the proxy that it or HTTPS_PROXY names is not understood"
            }
            KubeconfigError::LoadCertificateAuthority(_) => {
                "a certificate or key that it names cannot be read"
            }
            _ => "it is not a valid kubeconfig",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
current-context: one
contexts:
- {name: one, context: {cluster: here, user: me, namespace: legal}}
- {name: two, context: {cluster: proxied}}
- {name: lost, context: {cluster: nowhere}}
clusters:
- {name: here, cluster: {server: 'https://api.example:6443', tls-server-name: inside}}
- {name: proxied, cluster: {server: 'https://api.example:6443', proxy-url: 'http://own.corp:3128'}}
users:
- {name: me, user: {token: hunter2}}
";

    fn read(context: Option<&str>, proxy: Option<&str>) -> Result<Config, ConnectError> {
        config(Kubeconfig::from_yaml(FILE).unwrap(), context, |server| {
            assert_eq!(server.as_str(), "https://api.example:6443/");
            proxy.map(Proxy::parse).transpose()
        })
    }

    fn proxy_of(context: Option<&str>, proxy: Option<&str>) -> Option<String> {
        let config = read(context, proxy).unwrap();
        config.proxy_url.map(|uri| uri.to_string())
    }

    #[test]
    fn a_context_gives_its_cluster_user_and_namespace() {
        let config = read(None, None).unwrap();
        assert_eq!(config.cluster_url.to_string(), "https://api.example:6443/");
        assert_eq!(config.default_namespace, "legal");
        assert_eq!(config.tls_server_name.as_deref(), Some("inside"));
        assert!(config.auth_info.token.is_some());
        assert_eq!(
            read(Some("two"), None).unwrap().default_namespace,
            "default"
        );
        for (context, why) in [
            ("lost", "the cluster of its context"),
            ("none", "the context is not"),
        ] {
            let error = read(Some(context), None).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_proxy_is_the_files_or_the_one_that_the_environment_has_for_the_cluster() {
        let environments = "http://user:pass@env.corp:8080";
        assert_eq!(proxy_of(None, None), None);
        assert_eq!(
            proxy_of(None, Some(environments)).as_deref(),
            Some("http://user:pass@env.corp:8080/")
        );
        for environment in [None, Some(environments)] {
            assert_eq!(
                proxy_of(Some("two"), environment).as_deref(),
                Some("http://own.corp:3128/")
            );
        }
        let error = read(None, Some("socks5://env.corp")).unwrap_err();
        assert!(error.to_string().contains("HTTPS_PROXY"), "{error}");
    }

    #[test]
    fn an_authority_without_a_certificate_is_none_at_all() {
        let own = rcgen::generate_simple_self_signed(["api.example".to_owned()]).unwrap();
        let found = authorities(Some(own.cert.pem().as_bytes())).unwrap();
        assert_eq!(found, Some(vec![own.cert.der().to_vec()]));
        assert_eq!(authorities(Some(b"")).unwrap(), None);
        authorities(Some(b"no PEM")).unwrap_err();
    }

    #[test]
    fn an_unusable_kubeconfig_is_one_line_that_quotes_nothing_of_it() {
        let broken =
            Kubeconfig::from_yaml("users: [{name: a, user: {token: [hunter2]}}]").unwrap_err();
        let line = ConnectError::from(broken).to_string();
        assert!(
            line.starts_with("the kubeconfig cannot be used: "),
            "{line}"
        );
        assert!(!line.contains("hunter2") && !line.contains('\n'), "{line}");
        let missing = Kubeconfig::read_from("/nowhere").unwrap_err();
        assert!(matches!(missing.into(), ConnectError::NoCluster));
        let empty = config(Kubeconfig::default(), None, |_| Ok(None));
        assert_eq!(
            empty.unwrap_err().to_string(),
            "the kubeconfig cannot be used: it sets no current context; check it with kubectl config view"
        );
    }
}
