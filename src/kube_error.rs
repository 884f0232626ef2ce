//! What a refusal of the Kubernetes API means, by its code alone.
//!
//! A path that the server does not serve, and a proxy in front of it, answer in plain text, so no reason is known. `kube` 5.0.0 then says
//! of every refusal that it is none of its kinds: `Status::reason_or_code` looks up the reason that is asked for instead of the one that
//! was answered.

use kube::Error;

/// Whether nothing is there, the object or its whole kind.
pub fn is_missing(error: &Error) -> bool {
    has_code(error, 404)
}

/// Whether somebody else wrote in between.
pub fn is_conflict(error: &Error) -> bool {
    has_code(error, 409)
}

/// Whether the right is missing.
pub fn is_forbidden(error: &Error) -> bool {
    has_code(error, 403)
}

fn has_code(error: &Error, code: u16) -> bool {
    matches!(error, Error::Api(status) if status.code == code)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    /// As a server answers where it serves no such kind.
    #[test]
    fn a_refusal_in_plain_text_is_known_by_its_code() {
        let answered = |code| {
            let status = Status::failure("page not found", "Failed to parse error data");
            Error::Api(Box::new(status.with_code(code)))
        };
        assert!(is_missing(&answered(404)) && !is_missing(&answered(409)));
        assert!(is_conflict(&answered(409)) && !is_conflict(&answered(403)));
        assert!(is_forbidden(&answered(403)) && !is_forbidden(&answered(404)));
    }
}
