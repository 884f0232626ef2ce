//! The binary.
fn main() {
    println!("{}", unstructured_operator::crd::definition_yaml().unwrap());
}
