//! Dropbox's API as far as credentials go: tokens, and the calls that prove they work.
//!
//! Statuses, shapes and texts follow `dropbox-api-spec` and what the official SDKs expect.

#[cfg(test)]
mod tests;

use std::{collections::HashSet, sync::Mutex};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use crate::wall;

use super::{
    Answer, Api, Fake,
    journal::{Recorded, lock},
};

/// The Dropbox API on loopback: the token endpoint and the RPC routes under one root.
pub type FakeDropbox = Fake<Dropbox>;

/// The rules of the API over its state.
#[derive(Default)]
pub struct Dropbox {
    state: Mutex<State>,
}

/// An operation of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `POST /oauth2/token`
    Token,
    /// `POST /2/check/app`
    CheckApp,
    /// `POST /2/check/user`
    CheckUser,
    /// `POST /2/users/get_current_account`
    CurrentAccount,
    /// `POST /2/files/list_folder`
    ListFolder,
    /// `POST /2/files/list_folder/continue`
    ListFolderContinue,
    /// `POST /2/auth/token/revoke`; calling it is a violation.
    Revoke,
}

#[derive(Default)]
struct State {
    anything_goes: bool,
    grants: Vec<Grant>,
    /// Codes of the authorization page, each good once.
    codes: Vec<(String, Grant)>,
    access_tokens: Vec<AccessToken>,
    folders: Vec<String>,
    /// Folder and number of entries already shown, by cursor.
    cursors: Vec<(String, usize)>,
    missing_folders: HashSet<String>,
    missing_scopes: HashSet<String>,
}

/// What a user gave an app.
#[derive(Clone, PartialEq)]
struct Grant {
    app_key: String,
    app_secret: String,
    refresh_token: String,
}

struct AccessToken {
    value: String,
    refresh_token: String,
    expired: bool,
}

impl FakeDropbox {
    /// This app, with this refresh token, is good.
    pub fn accept(&self, app_key: &str, app_secret: &str, refresh_token: &str) {
        let grant = grant(app_key, app_secret, refresh_token);
        lock(&self.shared.api.state).grants.push(grant);
    }

    /// Every app, every refresh token and every code is good, for trying things by hand.
    pub fn accept_anything(&self) {
        lock(&self.shared.api.state).anything_goes = true;
    }

    /// The user allowed the app, and the authorization page showed this code: good once, for this refresh token.
    pub fn offer_code(&self, app_key: &str, app_secret: &str, code: &str, refresh_token: &str) {
        let grant = grant(app_key, app_secret, refresh_token);
        let mut state = lock(&self.shared.api.state);
        state.codes.push((code.to_owned(), grant));
    }

    /// The user took the permission back: `invalid_grant` from now on.
    pub fn revoke(&self, refresh_token: &str) {
        lock(&self.shared.api.state).revoke(refresh_token);
    }

    /// Every access token so far is four hours old.
    pub fn expire_access_tokens(&self) {
        let mut state = lock(&self.shared.api.state);
        state
            .access_tokens
            .iter_mut()
            .for_each(|t| t.expired = true);
    }

    /// This folder (`/data`) exists from now on, and a listing of its parent shows it. Folders that are not shown exist all the same.
    pub fn add_folder(&self, path: &str) {
        let mut state = lock(&self.shared.api.state);
        state.missing_folders.remove(path);
        state.folders.push(path.to_owned());
    }

    /// There is no such folder (`/data`); every other one exists.
    pub fn remove_folder(&self, path: &str) {
        let mut state = lock(&self.shared.api.state);
        state.missing_folders.insert(path.to_owned());
    }

    /// Access tokens lack this scope (`files.metadata.read`).
    pub fn remove_scope(&self, scope: &str) {
        let mut state = lock(&self.shared.api.state);
        state.missing_scopes.insert(scope.to_owned());
    }

    /// Access tokens have this scope again.
    pub fn restore_scope(&self, scope: &str) {
        let mut state = lock(&self.shared.api.state);
        state.missing_scopes.remove(scope);
    }
}

fn grant(app_key: &str, app_secret: &str, refresh_token: &str) -> Grant {
    Grant {
        app_key: app_key.to_owned(),
        app_secret: app_secret.to_owned(),
        refresh_token: refresh_token.to_owned(),
    }
}

/// 400 for an app that is unknown or whose secret is wrong.
pub fn invalid_client() -> Answer {
    let error = "invalid_client: Invalid client_id or client_secret";
    Answer::json(400, &json!({ "error": error }))
}

/// 400 for a refresh token or code that is no good.
pub fn invalid_grant(description: &str) -> Answer {
    let body = json!({ "error": "invalid_grant", "error_description": description });
    Answer::json(400, &body)
}

/// 401 for an access token, `tag` saying why.
pub fn unauthorized(tag: &str) -> Answer {
    summary(401, tag, &json!({ ".tag": tag }))
}

/// 429 with both ways of saying how long.
pub fn too_many_requests(seconds: u32) -> Answer {
    let error = json!({ "reason": { ".tag": "too_many_requests" }, "retry_after": seconds });
    summary(429, "too_many_requests", &error).with_header("retry-after", &seconds.to_string())
}

fn summary(status: u16, tag: &str, error: &Value) -> Answer {
    let summary = format!("{tag}/..");
    Answer::json(status, &json!({ "error_summary": summary, "error": error }))
}

/// 400 in plain text: the call itself is wrong.
fn bad_call(function: &str, what: &str) -> Answer {
    let text = format!("Error in call to API function \"{function}\": {what}");
    Answer::text(400, &text)
}

impl Api for Dropbox {
    type Route = Route;

    const BASE_PATH: &'static str = "";

    fn route(request: &Recorded) -> Option<Route> {
        if request.method != "POST" {
            return None;
        }
        Some(match request.path.as_str() {
            "/oauth2/token" => Route::Token,
            "/2/check/app" => Route::CheckApp,
            "/2/check/user" => Route::CheckUser,
            "/2/users/get_current_account" => Route::CurrentAccount,
            "/2/files/list_folder" => Route::ListFolder,
            "/2/files/list_folder/continue" => Route::ListFolderContinue,
            "/2/auth/token/revoke" => Route::Revoke,
            _ => return None,
        })
    }

    fn answer(&self, request: &Recorded, violation: &mut dyn FnMut(&str)) -> Answer {
        if request.api_key().is_some() {
            violation("the key of another service");
        }
        if !request.query.is_empty() {
            violation("a query where none belongs");
        }
        let mut state = lock(&self.state);
        let answer = match Self::route(request) {
            Some(Route::Token) => state.token(request, violation),
            Some(Route::CheckApp) => state.check_app(request),
            Some(route) => state.call(route, request, violation),
            None => {
                violation("not a route of the API");
                Err(Answer::html(404, "<h1>Not found</h1>"))
            }
        };
        answer
            .unwrap_or_else(|refusal| refusal)
            .with_header("x-dropbox-request-id", &wall::uuid().simple().to_string())
    }
}

impl State {
    fn token(
        &mut self,
        request: &Recorded,
        violation: &mut dyn FnMut(&str),
    ) -> Result<Answer, Answer> {
        let form_type = request.header("content-type");
        if form_type.is_none_or(|t| !t.starts_with("application/x-www-form-urlencoded")) {
            violation("a token request that is not a form");
            return Err(Answer::text(400, "The request is not a form."));
        }
        let form: Vec<_> = url::form_urlencoded::parse(&request.body).collect();
        let field = |name: &str| {
            let found = form.iter().find(|(field, _)| field == name);
            found.map_or("", |(_, value)| value.as_ref())
        };
        let (app_key, app_secret) = basic(request)
            .unwrap_or_else(|| (field("client_id").into(), field("client_secret").into()));
        match field("grant_type") {
            "refresh_token" => self.refresh(&app_key, &app_secret, field("refresh_token")),
            "authorization_code" => self.redeem(&app_key, &app_secret, field("code")),
            _ => {
                violation("an unknown grant type");
                let description = "grant_type must be refresh_token or authorization_code";
                let error =
                    json!({ "error": "unsupported_grant_type", "error_description": description });
                Err(Answer::json(400, &error))
            }
        }
    }

    fn refresh(&mut self, key: &str, secret: &str, token: &str) -> Result<Answer, Answer> {
        if !self.knows_app(key, secret) {
            return Err(invalid_client());
        }
        if token.is_empty() || token.starts_with("sl.") || token.contains(char::is_whitespace) {
            return Err(invalid_grant("refresh token is malformed"));
        }
        if !self.anything_goes && !self.grants.contains(&grant(key, secret, token)) {
            return Err(invalid_grant("refresh token is invalid or revoked"));
        }
        Ok(Answer::json(200, &self.issue(token)))
    }

    fn redeem(&mut self, key: &str, secret: &str, code: &str) -> Result<Answer, Answer> {
        let offered = self.codes.iter().position(|(offered, _)| offered == code);
        if offered.is_none() && self.anything_goes && !code.is_empty() {
            let refresh_token = format!("refresh-{}", wall::uuid().simple());
            self.codes
                .push((code.to_owned(), grant(key, secret, &refresh_token)));
            return self.redeem(key, secret, code);
        }
        let Some(position) = offered else {
            return Err(invalid_grant("code doesn't exist or has expired"));
        };
        let (_, grant) = &self.codes[position];
        if grant.app_key != key || grant.app_secret != secret {
            return Err(invalid_client());
        }
        let (_, grant) = self.codes.remove(position);
        let mut body = self.issue(&grant.refresh_token);
        body["refresh_token"] = grant.refresh_token.clone().into();
        body["scope"] = "account_info.read files.content.read files.metadata.read".into();
        body["uid"] = "1234567".into();
        body["account_id"] = ACCOUNT.into();
        self.grants.push(grant);
        Ok(Answer::json(200, &body))
    }

    fn issue(&mut self, refresh_token: &str) -> Value {
        let value = format!("sl.{}", wall::uuid().simple());
        self.access_tokens.push(AccessToken {
            value: value.clone(),
            refresh_token: refresh_token.to_owned(),
            expired: false,
        });
        json!({ "access_token": value, "token_type": "bearer", "expires_in": 14400 })
    }

    fn knows_app(&self, key: &str, secret: &str) -> bool {
        let same = |grant: &Grant| grant.app_key == key && grant.app_secret == secret;
        self.anything_goes || self.grants.iter().any(same)
    }

    fn revoke(&mut self, refresh_token: &str) {
        self.grants.retain(|g| g.refresh_token != refresh_token);
        self.access_tokens
            .retain(|t| t.refresh_token != refresh_token);
    }

    fn check_app(&self, request: &Recorded) -> Result<Answer, Answer> {
        match basic(request) {
            Some((key, secret)) if self.knows_app(&key, &secret) => echo("check/app", request),
            _ => Err(bad_call("check/app", "Invalid app key or secret")),
        }
    }

    fn call(
        &mut self,
        route: Route,
        request: &Recorded,
        violation: &mut dyn FnMut(&str),
    ) -> Result<Answer, Answer> {
        let refresh_token = self.authenticate(request)?;
        match route {
            Route::CheckUser => {
                self.need("account_info.read")?;
                echo("check/user", request)
            }
            Route::CurrentAccount => {
                self.need("account_info.read")?;
                Ok(Answer::json(200, &account()))
            }
            Route::ListFolder => {
                self.need("files.metadata.read")?;
                self.list_folder(&request.json())
            }
            Route::ListFolderContinue => {
                self.need("files.metadata.read")?;
                self.list_folder_continue(&request.json()["cursor"])
            }
            Route::Revoke => {
                violation("a revocation: it would disable the user's refresh token");
                self.revoke(&refresh_token);
                Ok(Answer::json(200, &Value::Null))
            }
            Route::Token | Route::CheckApp => unreachable!("they take no access token"),
        }
    }

    /// The refresh token behind the access token.
    fn authenticate(&self, request: &Recorded) -> Result<String, Answer> {
        let function = request.path.trim_start_matches("/2/");
        let bearer = request.header("authorization").unwrap_or_default();
        let bearer = bearer.strip_prefix("Bearer ").unwrap_or_default();
        if !bearer.starts_with("sl.") {
            let what = "The given OAuth 2 access token is malformed.";
            return Err(bad_call(function, what));
        }
        match self.access_tokens.iter().find(|t| t.value == bearer) {
            None => Err(unauthorized("invalid_access_token")),
            Some(token) if token.expired => Err(unauthorized("expired_access_token")),
            Some(token) => Ok(token.refresh_token.clone()),
        }
    }

    fn need(&self, scope: &str) -> Result<(), Answer> {
        if self.missing_scopes.contains(scope) {
            let error = json!({ ".tag": "missing_scope", "required_scope": scope });
            return Err(summary(401, "missing_scope", &error));
        }
        Ok(())
    }

    fn list_folder(&mut self, call: &Value) -> Result<Answer, Answer> {
        let function = "files/list_folder";
        let Some(path) = call["path"].as_str() else {
            let what = "request body: missing required field 'path'";
            return Err(bad_call(function, what));
        };
        if path == "/" || !(path.is_empty() || path.starts_with('/')) {
            let what = format!("request body: path: '{path}' did not match pattern");
            return Err(bad_call(function, &what));
        }
        if self.missing_folders.contains(path) {
            let error = json!({ ".tag": "path", "path": { ".tag": "not_found" } });
            return Err(summary(409, "path/not_found", &error));
        }
        Ok(self.page(path, 0))
    }

    fn list_folder_continue(&mut self, cursor: &Value) -> Result<Answer, Answer> {
        let number = cursor
            .as_str()
            .and_then(|cursor| cursor.strip_prefix("AAE")?.parse::<usize>().ok());
        let Some((path, shown)) = number.and_then(|number| self.cursors.get(number).cloned())
        else {
            let what = "request body: cursor: did not match pattern";
            return Err(bad_call("files/list_folder/continue", what));
        };
        Ok(self.page(&path, shown))
    }

    /// Two entries of a folder, after those that were shown: a client that asks for more must cope with fewer.
    fn page(&mut self, path: &str, shown: usize) -> Answer {
        const PAGE: usize = 2;
        let inside = |folder: &&String| {
            let name = folder.strip_prefix(path).and_then(|f| f.strip_prefix('/'));
            name.is_some_and(|name| !name.contains('/')) && !self.missing_folders.contains(*folder)
        };
        let entry = |folder: &String| {
            let name = folder.rsplit('/').next();
            json!({ ".tag": "folder", "name": name, "path_lower": folder.to_lowercase(), "path_display": folder })
        };
        let mut entries: Vec<_> = self.folders.iter().filter(inside).map(entry).collect();
        entries.push(json!({ ".tag": "file", "name": "read me.pdf", "size": 1 }));
        let has_more = shown + PAGE < entries.len();
        let page: Vec<_> = entries.into_iter().skip(shown).take(PAGE).collect();
        self.cursors.push((path.to_owned(), shown + page.len()));
        let cursor = format!("AAE{}", self.cursors.len() - 1);
        Answer::json(
            200,
            &json!({ "entries": page, "cursor": cursor, "has_more": has_more }),
        )
    }
}

/// User and password of a Basic header.
fn basic(request: &Recorded) -> Option<(String, String)> {
    let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn echo(function: &str, request: &Recorded) -> Result<Answer, Answer> {
    match request.json().get("query") {
        Some(query) => Ok(Answer::json(200, &json!({ "result": query }))),
        None => Err(bad_call(function, "request body: expected object")),
    }
}

const ACCOUNT: &str = "dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc";

fn account() -> Value {
    json!({
        "account_id": ACCOUNT,
        "name": { "display_name": "Franz Ferdinand" },
        "email": "franz@example.com",
        "root_info": { ".tag": "user", "root_namespace_id": "3235641", "home_namespace_id": "3235641" },
    })
}
