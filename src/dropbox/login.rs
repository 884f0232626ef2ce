//! What a person needs Dropbox for once: the page that asks for permission, the exchange of its code for a refresh token, and the
//! folders that the app can see.
//!
//! The routes and their answers are those of Dropbox's published API specification (`oauth2/token`, `files/list_folder`).

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::error::CallError;
use super::folder::Subfolder;
use super::oauth::{DropboxClient, MAX_BYTES, form, token_answer};
use super::refusal::{refusal, unclear};
use crate::http::BaseUrl;
use crate::scrub::{Scrubber, one_line};

/// Entries asked for at once, and bytes of an answer that are read; an entry takes a few hundred.
const PAGE: usize = 1_000;
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// A folder with more entries is not listed to its end: nobody picks from that many.
const MAX_PAGES: usize = 10;

/// The folders in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders {
    /// Those that were seen, in the order of their names.
    pub folders: Vec<Subfolder>,
    /// Whether there were more entries than are read.
    pub truncated: bool,
}

/// The page where a user allows an app to read, and gets a code in return. `www` is really `https://www.dropbox.com`.
///
/// `token_access_type=offline` is what makes the code good for a refresh token.
pub fn authorize_url(www: &BaseUrl, app_key: &str) -> Url {
    let mut url = www.join("/oauth2/authorize");
    url.query_pairs_mut()
        .append_pair("client_id", app_key)
        .append_pair("response_type", "code")
        .append_pair("token_access_type", "offline");
    url
}

impl DropboxClient {
    /// Exchanges the code of the authorization page for a refresh token. A code is good once.
    pub async fn redeem(
        &self,
        app_key: &SecretString,
        app_secret: &SecretString,
        code: &SecretString,
    ) -> Result<SecretString, CallError> {
        let request = self
            .token_request(form(&[
                ("grant_type", "authorization_code"),
                ("code", code.expose_secret()),
            ]))
            .basic_auth(app_key.expose_secret(), Some(app_secret.expose_secret()));
        let secrets = Scrubber::new([app_key, app_secret, code]);
        let (status, body) = self.call(request, MAX_BYTES, &secrets).await?;
        let answer = token_answer(status, &body, CallError::InvalidCode, &secrets)?;
        let token = answer.refresh_token.filter(|token| !token.is_empty());
        token
            .map(SecretString::from)
            .ok_or(CallError::NoRefreshToken)
    }

    /// The folders at the root of what the app can see.
    pub async fn folders(&self, access_token: &SecretString) -> Result<Folders, CallError> {
        let mut found = Folders::default();
        let mut page = self
            .list(
                access_token,
                "/2/files/list_folder",
                &json!({ "path": "", "recursive": false, "limit": PAGE }),
            )
            .await?;
        for number in 1.. {
            found
                .folders
                .extend(page.entries.iter().filter_map(Entry::folder));
            found.truncated = page.has_more && number == MAX_PAGES;
            if !page.has_more || found.truncated {
                break;
            }
            page = self
                .list(
                    access_token,
                    "/2/files/list_folder/continue",
                    &json!({ "cursor": page.cursor }),
                )
                .await?;
        }
        found.folders.sort();
        Ok(found)
    }

    /// Whether the app can see this folder.
    pub async fn look_into(
        &self,
        access_token: &SecretString,
        folder: &Subfolder,
    ) -> Result<(), CallError> {
        let body = json!({ "path": folder.path(), "recursive": false, "limit": 1 });
        self.list(access_token, "/2/files/list_folder", &body)
            .await
            .map(drop)
    }

    async fn list(
        &self,
        access_token: &SecretString,
        route: &str,
        body: &Value,
    ) -> Result<Page, CallError> {
        let request = self
            .http
            .post(self.rpc().join(route))
            .bearer_auth(access_token.expose_secret())
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()));
        let secrets = Scrubber::new([access_token]);
        let (status, body) = self.call(request, MAX_PAGE_BYTES, &secrets).await?;
        if status != StatusCode::OK {
            return Err(refusal(status, &body, &secrets));
        }
        serde_json::from_slice(&body).map_err(|_| unclear(status, &body, "", &secrets))
    }

    /// Tokens are given out at `api.dropbox.com` too, but the calls that use them are at home at `api.dropboxapi.com` alone.
    fn rpc(&self) -> BaseUrl {
        if self.base.to_string() == "https://api.dropbox.com" {
            BaseUrl::parse("https://api.dropboxapi.com", false).expect("it is a URL")
        } else {
            self.base.clone()
        }
    }
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Entry>,
    #[serde(default)]
    cursor: String,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = ".tag")]
    tag: String,
    #[serde(default)]
    path_display: Option<String>,
    name: String,
}

impl Entry {
    /// The folder that this is, unless it is a file, or its name is none that a resource can hold or a terminal should show.
    fn folder(&self) -> Option<Subfolder> {
        let path = self.path_display.as_deref().unwrap_or(&self.name);
        (self.tag == "folder" && one_line(path) == path)
            .then(|| path.parse().ok())
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::loopback::Server;

    fn client(server: &Server) -> DropboxClient {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = BaseUrl::parse(&server.url(), true).unwrap();
        DropboxClient::new(base, Duration::from_secs(5), "test").unwrap()
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn the_authorize_url_asks_for_a_code_that_is_good_for_a_refresh_token() {
        let www = BaseUrl::parse("https://www.dropbox.com", false).unwrap();
        assert_eq!(
            authorize_url(&www, "a&b").as_str(),
            "https://www.dropbox.com/oauth2/authorize?client_id=a%26b&response_type=code&token_access_type=offline"
        );
    }

    #[tokio::test]
    async fn a_code_is_exchanged_with_the_app_in_the_header() {
        let grant = r#"{"access_token": "sl.a", "refresh_token": "lasting"}"#;
        let server = Server::answering("200 OK", "", grant).await;
        let token = client(&server)
            .redeem(&secret("key"), &secret("hidden"), &secret("co+de"))
            .await
            .unwrap();
        assert_eq!(token.expose_secret(), "lasting");
        let requests = server.requests();
        let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("authorization: Basic a2V5OmhpZGRlbg=="),
            "{head}"
        );
        assert_eq!(body, "grant_type=authorization_code&code=co%2Bde");
    }

    #[tokio::test]
    async fn every_refusal_of_a_code_is_told_apart() {
        for (status, body, expected) in [
            (
                "400 Bad Request",
                r#"{"error": "invalid_grant"}"#,
                CallError::InvalidCode,
            ),
            (
                "400 Bad Request",
                r#"{"error": "invalid_client: x"}"#,
                CallError::InvalidClient,
            ),
            (
                "401 Unauthorized",
                r#"{"error": "invalid_client"}"#,
                CallError::InvalidClient,
            ),
            (
                "200 OK",
                r#"{"access_token": "sl.a"}"#,
                CallError::NoRefreshToken,
            ),
            ("429 Too Many Requests", "", CallError::RateLimited),
            ("200 OK", "<html>", CallError::NotDropbox(200)),
        ] {
            let server = Server::answering(status, "", body).await;
            let (key, hidden, code) = (secret("key"), secret("hidden"), secret("code"));
            let error = client(&server)
                .redeem(&key, &hidden, &code)
                .await
                .unwrap_err();
            assert_eq!(error, expected, "{status} {body}");
        }
    }

    #[tokio::test]
    async fn what_answers_a_listing_may_not_be_dropbox_at_all() {
        for (status, body, expected) in [
            ("200 OK", "<html>", CallError::NotDropbox(200)),
            ("302 Found", "", CallError::NotDropbox(302)),
            (
                "409 Conflict",
                r#"{"error": {".tag": "path", "path": {".tag": "not_found"}}}"#,
                CallError::FolderNotFound,
            ),
        ] {
            let server = Server::answering(status, "", body).await;
            let folder = "data".parse().unwrap();
            let answer = client(&server).look_into(&secret("sl.a"), &folder).await;
            assert_eq!(answer, Err(expected), "{status} {body}");
        }
    }

    #[tokio::test]
    async fn folders_are_read_page_by_page_up_to_a_bound_without_files_and_odd_names() {
        let page = r#"{"entries": [{".tag": "folder", "name": "b", "path_display": "/b"}, {".tag": "file", "name": "f"},
            {".tag": "folder", "name": "\u001b[31m"}, {".tag": "folder", "name": "a"}], "cursor": "c", "has_more": true}"#;
        let server = Server::answering("200 OK", "", page).await;
        let found = client(&server).folders(&secret("sl.a")).await.unwrap();
        assert!(found.truncated);
        assert_eq!(found.folders.len(), 2 * MAX_PAGES);
        assert_eq!(found.folders[0].path(), "/a");
        let requests = server.requests();
        assert_eq!(requests.len(), MAX_PAGES);
        assert!(requests[0].starts_with("POST /2/files/list_folder HTTP"));
        assert!(requests[1].starts_with("POST /2/files/list_folder/continue HTTP"));
        assert!(requests[1].ends_with(r#"{"cursor":"c"}"#));
    }
}
