//! What Dropbox's refusal of a call means, by the tags of its published API specification (`auth`, `files`): who has to do what.

use reqwest::StatusCode;
use serde_json::Value;

use super::error::CallError;
use crate::scrub::Scrubber;

/// What a refused listing means.
pub(super) fn refusal(status: StatusCode, body: &[u8], secrets: &Scrubber) -> CallError {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &answer["error"];
    let known = match status {
        StatusCode::BAD_REQUEST => bad_request(body, secrets),
        StatusCode::UNAUTHORIZED if tag(error) == "missing_scope" => {
            let scope = error["required_scope"].as_str();
            let scope = secrets.scrub(scope.unwrap_or("files.metadata.read"));
            Some(CallError::MissingScope(scope))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => denied(tag(error)),
        StatusCode::CONFLICT => path(tag(&error["path"])),
        StatusCode::TOO_MANY_REQUESTS => Some(CallError::RateLimited),
        _ => None,
    };
    let deepest = match tag(&error["path"]) {
        "" => tag(error),
        path => path,
    };
    known.unwrap_or_else(|| unclear(status, body, deepest, secrets))
}

/// An answer that says nothing of credentials or folders, with Dropbox's own word for it if it has one.
pub(super) fn unclear(
    status: StatusCode,
    body: &[u8],
    word: &str,
    secrets: &Scrubber,
) -> CallError {
    let is_page = body.trim_ascii_start().starts_with(b"<");
    if status.is_redirection() || is_page && !status.is_server_error() {
        return CallError::NotDropbox(status.as_u16());
    }
    let word = match word {
        "" => String::new(),
        word => format!(" ({})", secrets.scrub(word)),
    };
    let said = format!("Dropbox responded with {}{word}", status.as_u16());
    if status.is_server_error() {
        CallError::Unavailable(said)
    } else {
        CallError::Unclear(format!("{said}, which was not expected"))
    }
}

/// 400 in plain text: sentences that are known by what they quote.
fn bad_request(body: &[u8], secrets: &Scrubber) -> Option<CallError> {
    let text = String::from_utf8_lossy(body);
    // Where the app itself lacks the scope, not only the token.
    let scope = text
        .split_once("required scope '")
        .and_then(|(_, rest)| rest.split_once('\''));
    if let Some((scope, _)) = scope {
        return Some(CallError::MissingScope(secrets.scrub(scope)));
    }
    let denied = |tag, advice| Some(CallError::AccessDenied { tag, advice });
    if text.contains("Dropbox-API-Select-User") || text.contains("for an entire Dropbox") {
        return denied(
            "the token is for a whole team",
            "take the team scopes off the app on its Permissions tab, or create an app without them, then get a refresh token of \
             one user's account with unstructured-operator login dropbox",
        );
    }
    if text.contains("disabled") && text.contains("app") {
        return denied(
            "the app is disabled",
            "enable it in the Dropbox App Console, or create another app",
        );
    }
    None
}

/// `AuthError` and `AccessError`: the token is known, and is not to be used for this.
fn denied(tag: &str) -> Option<CallError> {
    const ANOTHER_ACCOUNT: &str = "use an account that may, and get its refresh token with unstructured-operator login dropbox";
    let (tag, advice) = match tag {
        "user_suspended" => (
            "user_suspended",
            "have an admin of the team lift the suspension of the account that allowed the app, or get the refresh token of \
             another account with unstructured-operator login dropbox",
        ),
        "route_access_denied" => (
            "route_access_denied",
            "this kind of app may not list files: create an app with scoped access",
        ),
        "invalid_select_user" => ("invalid_select_user", ANOTHER_ACCOUNT),
        "invalid_select_admin" => ("invalid_select_admin", ANOTHER_ACCOUNT),
        "invalid_account_type" => ("invalid_account_type", ANOTHER_ACCOUNT),
        "paper_access_denied" => ("paper_access_denied", ANOTHER_ACCOUNT),
        "team_access_denied" => ("team_access_denied", ANOTHER_ACCOUNT),
        "no_permission" => ("no_permission", ANOTHER_ACCOUNT),
        // `invalid_access_token` and `expired_access_token`: Dropbox has just given it, and will give another.
        _ => return None,
    };
    Some(CallError::AccessDenied { tag, advice })
}

/// `LookupError`: the path.
fn path(tag: &str) -> Option<CallError> {
    let unreadable = |tag, advice| Some(CallError::FolderUnreadable { tag, advice });
    match tag {
        "not_found" => Some(CallError::FolderNotFound),
        "not_folder" | "not_file" => Some(CallError::NotAFolder),
        "malformed_path" => unreadable("malformed_path", "write the path as Dropbox shows it"),
        "restricted_content" => unreadable(
            "restricted_content",
            "Dropbox restricts what is in it, for legal reasons for example: name another folder, or ask Dropbox",
        ),
        "unsupported_content_type" => unreadable(
            "unsupported_content_type",
            "what is at this path cannot be listed: name a folder",
        ),
        "locked" => unreadable("locked", "unlock it in Dropbox, or name another folder"),
        _ => None,
    }
}

fn tag(value: &Value) -> &str {
    value[".tag"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "sl.token-of-mine";

    fn read(status: u16, body: &str) -> CallError {
        let token = SecretString::from(TOKEN);
        let status = StatusCode::from_u16(status).unwrap();
        refusal(status, body.as_bytes(), &Scrubber::new([&token]))
    }

    fn tagged(status: u16, error: &Value) -> CallError {
        read(
            status,
            &json!({ "error_summary": "x/..", "error": error }).to_string(),
        )
    }

    /// How an error is called in this test, and what it says.
    fn kind(error: &CallError) -> (&'static str, String) {
        let kind = match error {
            CallError::MissingScope(_) => "scope",
            CallError::AccessDenied { .. } => "denied",
            CallError::FolderNotFound => "no folder",
            CallError::NotAFolder => "file",
            CallError::FolderUnreadable { .. } => "unreadable",
            CallError::RateLimited => "limited",
            CallError::NotDropbox(_) => "foreign",
            CallError::Unavailable(_) => "unavailable",
            CallError::Unclear(_) => "unclear",
            _ => "other",
        };
        (kind, error.to_string())
    }

    #[test]
    fn every_tag_that_dropbox_documents_is_told_and_only_definite_ones_are_believed() {
        for (status, tag, expected) in [
            (401, "invalid_access_token", "unclear"),
            (401, "expired_access_token", "unclear"),
            (401, "invalid_select_user", "denied"),
            (401, "invalid_select_admin", "denied"),
            (401, "user_suspended", "denied"),
            (401, "route_access_denied", "denied"),
            (401, "missing_scope", "scope"),
            (401, "of_the_future", "unclear"),
            (403, "invalid_account_type", "denied"),
            (403, "paper_access_denied", "denied"),
            (403, "team_access_denied", "denied"),
            (403, "no_permission", "denied"),
            (403, "of_the_future", "unclear"),
            (409, "template_error", "unclear"),
            (409, "reset", "unclear"),
            (409, "other", "unclear"),
            (422, "invalid_root", "unclear"),
            (429, "too_many_requests", "limited"),
            (500, "user_suspended", "unavailable"),
        ] {
            let error = json!({ ".tag": tag, "required_scope": "files.metadata.read" });
            let (kind, text) = kind(&tagged(status, &error));
            assert_eq!(kind, expected, "{status} {tag}: {text}");
            assert!(text.contains(tag) || kind == "limited", "{text}");
        }
    }

    #[test]
    fn every_error_of_a_path_is_told() {
        for (tag, expected) in [
            ("not_found", "no folder"),
            ("not_folder", "file"),
            ("not_file", "file"),
            ("malformed_path", "unreadable"),
            ("restricted_content", "unreadable"),
            ("unsupported_content_type", "unreadable"),
            ("locked", "unreadable"),
            ("other", "unclear"),
        ] {
            let error = json!({ ".tag": "path", "path": { ".tag": tag } });
            let (kind, text) = kind(&tagged(409, &error));
            assert_eq!(kind, expected, "{tag}: {text}");
            assert!(text.contains(tag) || kind == "file", "{text}");
        }
    }

    #[test]
    fn sentences_and_pages_are_told_apart() {
        let team = "Error in call to API function \"files/list_folder\": This API function operates on a single Dropbox account, \
                    but the OAuth 2 access token you provided is for an entire Dropbox Business team.";
        let app =
            "Error in call to API function \"files/list_folder\": This app is currently disabled.";
        let scope = "Your app (ID: 1) is not permitted: it does not have the required scope 'files.metadata.read'. The owner";
        for (status, body, expected) in [
            (400, team, "denied"),
            (400, app, "denied"),
            (400, scope, "scope"),
            (400, "request body: path: did not match pattern", "unclear"),
            (401, "", "unclear"),
            (403, "blocked by the proxy", "unclear"),
            (200, "<html>Sign in</html>", "foreign"),
            (401, " <!DOCTYPE html>", "foreign"),
            (403, "<html>Forbidden</html>", "foreign"),
            (407, "<html>", "foreign"),
            (302, "", "foreign"),
            (503, "<html>Down for maintenance</html>", "unavailable"),
        ] {
            assert_eq!(kind(&read(status, body)).0, expected, "{status} {body}");
        }
    }

    #[test]
    fn no_word_of_dropbox_brings_the_token_back() {
        for error in [
            tagged(
                401,
                &json!({ ".tag": "missing_scope", "required_scope": TOKEN }),
            ),
            tagged(401, &json!({ ".tag": TOKEN })),
            tagged(409, &json!({ ".tag": "path", "path": { ".tag": TOKEN } })),
            read(400, &format!("the required scope '{TOKEN}'")),
        ] {
            assert!(!error.to_string().contains(TOKEN), "{error}");
        }
    }
}
