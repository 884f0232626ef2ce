//! A Kubernetes operator that turns a `DropboxSource` into a source connector of the Unstructured platform and keeps it true.
//!
//! Data flows one way: watch → observe → plan → act → report. [`controller`] holds that loop, [`crd`] the resources,
//! [`unstructured`] and [`dropbox`] the two APIs (neither knows of Kubernetes), [`runtime`] the parts of a process.
#![forbid(unsafe_code)]

pub mod crd;
