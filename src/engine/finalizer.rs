//! The mark that keeps an object until what it stands for is gone or deliberately left.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::crd::FINALIZER;

/// The finalizers of an object, with ours or without it, and all others as they are.
pub fn finalizers(meta: &ObjectMeta, present: bool) -> Vec<String> {
    let all = meta.finalizers.iter().flatten();
    let mut finalizers: Vec<_> = all.filter(|f| *f != FINALIZER).cloned().collect();
    if present {
        finalizers.push(FINALIZER.to_owned());
    }
    finalizers
}
