//! Tests on a real API server, with a real operator process and strict fakes of both APIs. One binary: the control plane is
//! started once and shared; each test has a namespace, fakes and an operator of its own.
#![forbid(unsafe_code)]

mod lifecycle;

/// The operator under test.
const OPERATOR: &str = env!("CARGO_BIN_EXE_unstructured-operator");
