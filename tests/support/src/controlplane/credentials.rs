//! The keys and certificates of one control plane, made anew for each.

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where the credentials of one control plane lie.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) authority: PathBuf,
    pub(super) server_certificate: PathBuf,
    pub(super) server_key: PathBuf,
    pub(super) service_account_key: PathBuf,
    pub(super) service_account_public_key: PathBuf,
    pub(super) kubeconfig: PathBuf,
}

impl Credentials {
    /// Makes every key and certificate, and the administrator's kubeconfig for
    /// the server at `url`, as files in `directory`.
    pub(super) fn create(directory: &Path, url: &str) -> Result<Self> {
        let authority = Authority::create()?;
        let server = authority.issue(Holder::Server)?;
        let administrator = authority.issue(Holder::Administrator)?;
        let tokens = KeyPair::generate()?;
        let kubeconfig = kubeconfig(url, &authority.certificate, &administrator);

        let write = |name: &str, content: &str| -> Result<PathBuf> {
            let path = directory.join(name);
            std::fs::write(&path, content)
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(path)
        };
        Ok(Self {
            authority: write("ca.crt", &authority.certificate)?,
            server_certificate: write("server.crt", &server.certificate)?,
            server_key: write("server.key", &server.key)?,
            service_account_key: write("service-account.key", &tokens.serialize_pem())?,
            service_account_public_key: write("service-account.pub", &tokens.public_key_pem())?,
            kubeconfig: write("kubeconfig", &serde_json::to_string_pretty(&kubeconfig)?)?,
        })
    }
}

#[derive(Clone, Copy)]
enum Holder {
    Server,
    Administrator,
}

/// A certificate and its private key, both as PEM.
struct Identity {
    certificate: String,
    key: String,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn create() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "test control plane");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    fn issue(&self, holder: Holder) -> Result<Identity> {
        let mut params = match holder {
            Holder::Server => CertificateParams::new(["127.0.0.1".into(), "localhost".into()])?,
            Holder::Administrator => CertificateParams::default(),
        };
        let (usage, name) = match holder {
            Holder::Server => (ExtendedKeyUsagePurpose::ServerAuth, "kube-apiserver"),
            Holder::Administrator => {
                // The one group that the API server lets do everything before
                // any role exists.
                params
                    .distinguished_name
                    .push(DnType::OrganizationName, "system:masters");
                (ExtendedKeyUsagePurpose::ClientAuth, "administrator")
            }
        };
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        Ok(Identity {
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// A kubeconfig with everything inside, so that a copy of it works anywhere.
fn kubeconfig(url: &str, authority: &str, user: &Identity) -> Value {
    let base64 = |pem: &str| ByteString(pem.as_bytes().to_vec());
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {
            "server": url,
            "certificate-authority-data": base64(authority),
        }}],
        "users": [{"name": "administrator", "user": {
            "client-certificate-data": base64(&user.certificate),
            "client-key-data": base64(&user.key),
        }}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "administrator"}}],
        "current-context": "test",
    })
}
