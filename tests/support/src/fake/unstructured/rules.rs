//! Where the service's behaviour is not known for certain, or may change: one switch each.

use std::time::Duration;

use super::PipelineRules;

/// How the fake behaves; [`Default`] is what is known of the service, or the likeliest guess.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Rules {
    /// What an answer shows of a secret.
    pub masking: Masking,
    /// What happens to a mask that comes in as a value. It is a violation in any case.
    pub received_mask: ReceivedMask,
    /// Whether two connectors of a family may have one name.
    pub duplicate_names: Permission,
    /// What a PUT does with a `name`. It is a violation in any case.
    pub rename: Rename,
    /// PUT keeps the members that it does not name, instead of replacing the whole configuration.
    pub put_merges: bool,
    /// Whether a connector in use by a workflow can be deleted; when it can, the workflow keeps its id.
    pub delete_in_use: Permission,
    /// A delete answers 204 without a body.
    pub delete_answers_204: bool,
    /// What becomes of a configuration that the connector's schema refuses.
    pub validation: Validation,
    /// Refusals with 422 repeat what was sent under `input`.
    pub echo_input: bool,
    /// A type that the service does not know is refused, or stored as it comes and shown as it is.
    pub unknown_types: Permission,
    /// Answers hold defaults for what was not sent (`recursive`).
    pub fill_defaults: bool,
    /// A new connector has an `updated_at`, 100 ms after `created_at`; otherwise null.
    pub updated_at_on_create: bool,
    /// Every object has a member that no client knows (`labels`).
    pub extra_fields: bool,
    /// Order of a list.
    pub list_order: ListOrder,
    /// After a write, this many lists still show what was there before it.
    pub list_lag: u32,
    /// What was made no longer ago than this gets 404 at its own path.
    pub item_lag: Duration,
    /// Lists omit what was made no longer ago than this.
    pub listed_after: Duration,
    /// What the path of the collection gets without its slash.
    pub missing_slash: MissingSlash,
    /// What the latest check is when there was none.
    pub no_check_yet: NoCheckYet,
    /// Starting a check moves the connector's `updated_at`.
    pub check_moves_updated_at: bool,
    /// How workflows and jobs behave.
    pub pipelines: PipelineRules,
    /// Every request waits this long.
    pub latency: Duration,
    /// Requests above this rate get 429.
    pub rate_limit: Option<RateLimit>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            masking: Masking::Masked,
            received_mask: ReceivedMask::Refused,
            duplicate_names: Permission::Allowed,
            rename: Rename::Ignored,
            put_merges: false,
            delete_in_use: Permission::Allowed,
            delete_answers_204: false,
            validation: Validation::Refused,
            echo_input: false,
            unknown_types: Permission::Refused(422),
            fill_defaults: true,
            updated_at_on_create: true,
            extra_fields: false,
            list_order: ListOrder::Insertion,
            list_lag: 0,
            item_lag: Duration::ZERO,
            listed_after: Duration::ZERO,
            missing_slash: MissingSlash::Redirect,
            no_check_yet: NoCheckYet::NotFound,
            check_moves_updated_at: false,
            pipelines: PipelineRules::default(),
            latency: Duration::ZERO,
            rate_limit: None,
        }
    }
}

/// What an answer shows of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// Ten asterisks, as in every recorded answer.
    Masked,
    /// The value itself.
    Clear,
    /// Nothing: the member is absent.
    Dropped,
    /// An object `{"id": …, "type": "rsa"}`.
    Reference,
}

/// What happens to a mask that comes in as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceivedMask {
    /// 412.
    Refused,
    /// The value stored before stays.
    KeepsOld,
    /// The asterisks become the value.
    Stored,
}

/// Whether something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It is.
    Allowed,
    /// It gets this status: 409 and 422 with a `detail`, 412 with `errors`.
    Refused(u16),
}

/// What a PUT does with a `name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    /// Nothing.
    Ignored,
    /// Renames.
    Honoured,
    /// 422.
    Refused,
}

/// What becomes of a configuration that the connector's schema refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// 412 with the fields.
    Refused,
    /// 500 in plain text.
    Crashes,
    /// It is stored.
    Off,
}

/// Order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOrder {
    /// Oldest first.
    Insertion,
    /// Another one each time: the last answer's first connector goes to the end.
    Rotating,
}

/// What the path of the collection gets without its slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingSlash {
    /// 307 to the same host.
    Redirect,
    /// 404.
    NotFound,
}

/// What the latest check is when there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCheckYet {
    /// 404.
    NotFound,
    /// 200 with `null`.
    Null,
}

/// A token bucket per workspace.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// Tokens that come back each second.
    pub per_second: f64,
    /// Tokens of a full bucket.
    pub burst: f64,
    /// The `Retry-After` header of the 429, any text.
    pub retry_after: Option<String>,
}
