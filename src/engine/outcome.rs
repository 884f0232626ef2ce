//! The one table: what happened → how bad it is, which reason, what to say, and when to look again.
//!
//! Conditions, events, metrics and requeue times all come from here, so they cannot drift apart.

use std::fmt::{self, Write as _};

use crate::crd::Reason;
use crate::flaw::Flaw;
use crate::kinds::{Impostor, Objection, family};
use crate::unstructured::{ApiError, Collection, Commit, ConnectorId, ErrorKind, UnknownConnector};

use super::departure::Users;

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The connector equals the resource, and nothing is left to do.
    Ready,
    /// `spec.suspend` is set, and what was applied last is what the resource asks for.
    Suspended,
    /// `spec.suspend` is set, and something is not sent.
    SuspendedUnsent,
    /// `spec.suspend` is set, and there is no connector yet.
    SuspendedUncreated,
    /// What is on record is another resource's.
    ForeignRecord {
        /// The connector on record.
        id: Option<ConnectorId>,
        /// What gives it away.
        record: ForeignRecord,
    },
    /// A resource that is not known yet may hold the connector in question.
    ResourcesUnknown,
    /// The operator may not see whether the definition itself is being deleted.
    DefinitionUnknown,
    /// A change is on its way.
    Applying,
    /// The connection check runs.
    Checking,
    /// The connection check gave no result in time.
    CheckTimedOut,
    /// The API has no connection check.
    CheckUnavailable,
    /// The connection check failed; `None` when its reason was read by an earlier pass.
    VerificationFailed(Option<String>),
    /// Something that the user has to supply is missing or wrong.
    Blocked(Problem),
    /// The provider refuses the credentials.
    CredentialsRejected(String),
    /// A foreign connector carries the explicit name.
    NameConflict {
        /// The name.
        name: String,
        /// The connectors that carry it.
        ids: Vec<ConnectorId>,
        /// The resource of this operator that holds it, if one does.
        holder: Option<String>,
    },
    /// The service says that another connector has the resource's key, and shows none of that key that is free.
    KeyTaken {
        /// The key.
        key: String,
        /// The service's words.
        why: String,
        /// The resource of this operator that holds a connector of that key, if one does.
        holder: Option<String>,
    },
    /// Several connectors carry the explicit name.
    Ambiguous {
        /// The name.
        name: String,
        /// The connectors that carry it.
        ids: Vec<ConnectorId>,
    },
    /// The connector belongs to another resource.
    InUse {
        /// The connector.
        id: ConnectorId,
        /// The resource that holds it.
        holder: String,
    },
    /// What is to be taken over is not there.
    ExistingNotFound {
        /// Where it is not.
        collection: Collection,
        /// The id.
        id: ConnectorId,
    },
    /// What is to be taken over is a connector of another type.
    WrongKind {
        /// Where it is.
        collection: Collection,
        /// The id.
        id: ConnectorId,
    },
    /// The connector is gone and the key is not the one that created it.
    WorkspaceChanged {
        /// The connector.
        id: ConnectorId,
        /// Fingerprint of the key in use.
        fingerprint: String,
    },
    /// It is not known whether a create was carried out, and its settle time is not over. With what came of the request, if this
    /// process sent it.
    CreateUnsettled(Option<String>),
    /// The workspace does not show this connector, which was made a moment ago.
    Unshown(ConnectorId),
    /// The resource may go.
    Released,
    /// The connector cannot be deleted without something that the user has to supply.
    DeletionBlocked(Problem),
    /// Workflows still run through the connector.
    StillUsed(Users),
    /// A create was begun, and several connectors carry its explicit name.
    DeletionAmbiguous {
        /// The name.
        name: String,
        /// The connectors that carry it.
        ids: Vec<ConnectorId>,
    },
    /// An effect failed.
    Failed(Failure),
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A record in the status that cannot be this resource's own: it names a connector by the default name of another resource, which
/// is how a status looks that was copied from another cluster or namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForeignRecord {
    /// The connector's name on record.
    pub name: String,
    /// The name of this cluster, which the annotation that confirms the record has to have.
    pub cluster: String,
}

/// Something that only the user can supply.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Problem {
    /// The Secret with the credentials does not exist: Secret, the field that names it.
    SecretNotFound(String, String),
    /// The operator may not read a Secret that the resource names.
    SecretForbidden(String),
    /// It lacks a key: Secret, key, the field that names it.
    SecretKeyMissing(String, String, String),
    /// A value in it cannot be used: Secret, key, what is wrong.
    SecretInvalid(String, String, Flaw),
    /// Something else stands where a credential belongs: Secret, key, what.
    Impostor(String, String, &'static Impostor),
    /// The Secret with the API key does not exist.
    KeySecretNotFound(String),
    /// The Secret with the API key lacks the key.
    KeyMissing(String, String),
    /// The API key cannot be used: Secret, key, what is wrong.
    KeyInvalid(String, String, String),
    /// The resource names no workspace, and the operator has no key of its own.
    NoOperatorKey,
    /// The operator can make no client, for what its own environment lacks: what is wrong, and what to do.
    NoClient(String),
    /// A field holds what the operator cannot use: field, what is wrong.
    InvalidField(&'static str, String),
    /// The kind refuses the spec.
    Objection(Objection),
}

/// Why an effect failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The Unstructured API.
    Api {
        /// What kind of failure.
        kind: ErrorKind,
        /// Whether it is because too many requests were made.
        rate_limited: bool,
        /// A sentence that is safe to show.
        message: String,
        /// Whether the request may have been carried out.
        commit: Commit,
        /// Whether it carried the configuration, so that a refusal speaks of the spec or the Secret.
        sent_configuration: bool,
    },
    /// A connector that a workflow names is not in the workspace, as the Unstructured API says.
    UnknownConnector {
        /// Which.
        which: UnknownConnector,
        /// The spec names it by its id, so that only the user can do something about it.
        by_id: bool,
        /// A sentence that is safe to show.
        message: String,
        /// What there is to do: sentences.
        advice: String,
    },
    /// Somebody changed the resource meanwhile; the pass starts again from what it is now.
    Conflict,
    /// The Kubernetes API.
    Kubernetes(String),
    /// The operator's role, or a policy, does not let it do this.
    Forbidden(String),
    /// The installed definition does not know a field of the status, so that nothing can be recorded.
    Definition(String),
    /// As many passes ask the provider as may at once.
    Busy,
    /// This process no longer leads.
    NotLeading,
    /// The pass did not come to an end in its time, or went round in circles.
    Overrun(&'static str),
}

impl From<&ApiError> for Failure {
    fn from(error: &ApiError) -> Self {
        Self::Api {
            kind: error.kind.clone(),
            rate_limited: error.is_rate_limited(),
            message: error.message().to_owned(),
            commit: error.commit(),
            sent_configuration: false,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::from(&error)
    }
}

/// A sentence for logs; of an API failure it is safe to show.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api { message, .. }
            | Self::UnknownConnector { message, .. }
            | Self::Kubernetes(message)
            | Self::Forbidden(message)
            | Self::Definition(message) => message,
            Self::Conflict => "the resource was changed meanwhile",
            Self::Busy => "others are asking the provider",
            Self::NotLeading => "this process no longer leads",
            Self::Overrun(what) => what,
        })
    }
}

impl Failure {
    /// The failure of a request that carried the configuration.
    pub fn of_configuration(error: &ApiError) -> Self {
        let mut failure = Self::from(error);
        if let Self::Api {
            sent_configuration, ..
        } = &mut failure
        {
            *sent_configuration = true;
        }
        failure
    }

    /// One word for logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Api { kind, .. } => kind.as_str(),
            Self::UnknownConnector { .. } => "unknown_connector",
            Self::Conflict => "changed_meanwhile",
            Self::Kubernetes(_) => "kubernetes",
            Self::Forbidden(_) => "forbidden_in_cluster",
            Self::Definition(_) => "definition_outdated",
            Self::Busy => "busy",
            Self::NotLeading => "not_leading",
            Self::Overrun(_) => "overrun",
        }
    }

    /// The kind of an API failure.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Api { kind, .. } => Some(kind.clone()),
            _ => None,
        }
    }

    /// What the API or the transport said, if it is theirs.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Api { message, .. } | Self::UnknownConnector { message, .. } => Some(message),
            _ => None,
        }
    }

    /// The same, to take out what must not be shown.
    pub fn message_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Api { message, .. } | Self::UnknownConnector { message, .. } => Some(message),
            _ => None,
        }
    }

    /// The answer to a create shows something that it did not make, such as what a cache on the way has kept. What became of the
    /// create is unknown.
    pub fn replayed(what: impl fmt::Display) -> Self {
        Self::Api {
            kind: ErrorKind::Unexpected,
            rate_limited: false,
            message: format!(
                "the API's response shows {what}, which is not the one that the request created"
            ),
            commit: Commit::Unknown,
            sent_configuration: true,
        }
    }

    /// Whether the API understood the request and does not want to do it.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.kind(),
            Some(ErrorKind::Invalid { .. } | ErrorKind::Conflict)
        )
    }

    /// Whether it says something of the key or of the API as a whole, so that the first answer to anybody with this key is worth
    /// another try.
    pub fn is_shared(&self) -> bool {
        matches!(
            self.kind(),
            Some(ErrorKind::Unauthorized | ErrorKind::Connect | ErrorKind::Paused { .. })
        )
    }

    /// Whether another try is worth it once an API works that did not: nothing of the user's was refused.
    pub fn awaits_recovery(&self) -> bool {
        let does_not_work = matches!(
            self.kind(),
            Some(
                ErrorKind::Server
                    | ErrorKind::Timeout
                    | ErrorKind::Interrupted
                    | ErrorKind::RateLimited { .. }
                    | ErrorKind::Unexpected
            )
        );
        does_not_work || self.awaits_api()
    }

    /// Whether the next good inventory is worth another try: nothing of the user's was refused.
    pub fn awaits_api(&self) -> bool {
        let sent_nothing = matches!(
            self,
            Self::Api {
                sent_configuration: false,
                ..
            }
        );
        sent_nothing || self.is_shared()
    }

    /// Whether the request may have been carried out. Only requests to the API ever may without our knowing.
    pub fn commit(&self) -> Commit {
        match self {
            Self::Api { commit, .. } => *commit,
            _ => Commit::Never,
        }
    }
}

/// How things stand, in the words of kstatus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing left to do.
    Current,
    /// Under way, or to be tried again.
    InProgress,
    /// Retrying cannot help.
    Stalled,
}

/// When to look at the resource again without anybody asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requeue {
    /// Not before something changes.
    OnChange,
    /// With the next inventory: what stands in the way may go.
    NextInventory,
    /// At the next poll of the connection check.
    NextPoll,
    /// When the create has settled.
    Settled,
    /// With growing delay, and when what does not show has had its time.
    Unshown,
    /// With growing delay.
    Backoff,
    /// When what is waited for has had its time.
    Patience,
    /// With growing delay, and never long: time or somebody else can end it where no watch shows that.
    Blocked,
    /// At once, for the reason that there was: somebody got in the way, or comes first.
    AtOnce,
    /// After some minutes: a key may be mended where the operator cannot see it.
    Slowly,
    /// The same, where nothing has failed: what is missing may be made where the operator cannot see it.
    SecondLook,
    /// When the workspace accepts requests again.
    Resumed(tokio::time::Instant),
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// How bad it is.
    pub class: Class,
    /// The word for it.
    pub reason: Reason,
    /// What to say: what happened, then what to do.
    pub message: String,
    /// When to look again.
    pub requeue: Requeue,
}

/// One row.
pub fn row(class: Class, reason: Reason, requeue: Requeue, message: impl Into<String>) -> Row {
    Row {
        class,
        reason,
        message: message.into(),
        requeue,
    }
}

impl Outcome {
    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// The row for this outcome.
    #[expect(
        clippy::too_many_lines,
        reason = "one table is read more easily than three thirds of it"
    )]
    pub fn row(&self) -> Row {
        use Class::{Current, InProgress, Stalled};
        use Requeue::{AtOnce, NextInventory, NextPoll, OnChange, Settled};
        match self {
            Self::Ready => row(
                Current,
                Reason::Ready,
                OnChange,
                "The connector has the desired configuration.",
            ),
            Self::Suspended => row(
                Current,
                Reason::Suspended,
                OnChange,
                "The last applied configuration matches the spec. spec.suspend is true, so the operator writes nothing to \
                 Unstructured, whatever happens to the connector. Set it to false to resume.",
            ),
            Self::SuspendedUnsent => row(
                Stalled,
                Reason::Suspended,
                OnChange,
                "spec.suspend is true, and the connector does not match the spec. Set it to false to apply the spec.",
            ),
            Self::SuspendedUncreated => suspended_uncreated(),
            Self::ForeignRecord { id, record } => row(
                Stalled,
                Reason::ForeignRecord,
                OnChange,
                format!(
                    "The status was copied from another cluster or namespace: it names connector {} as {:?}, which is not this \
                     resource's own. Nothing was touched. If this is the same cluster, start the operator with the --cluster-name \
                     it had; if the connector is to belong to this resource from now on, confirm it with the annotation {}={}.",
                    id.map_or_else(|| "(none)".to_owned(), |id| id.to_string()),
                    record.name,
                    crate::crd::ACCEPT_RECORD,
                    record.cluster
                ),
            ),
            Self::ResourcesUnknown => row(
                InProgress,
                Reason::ResourcesUnknown,
                Requeue::Backoff,
                "The operator has not listed the resources of every namespace yet, and one of them may own the connector. \
                 If this persists, check that the operator may list resources in every namespace that it watches.",
            ),
            Self::DefinitionUnknown => row(
                Stalled,
                Reason::DeletionBlocked,
                Requeue::Blocked,
                format!(
                    "The connector is not deleted: the operator cannot tell whether the CRD itself is being deleted, in \
                     which case the connector must stay. Grant the operator get on its customresourcedefinitions. {WAY_OUT}"
                ),
            ),
            Self::Applying => row(
                InProgress,
                Reason::Progressing,
                AtOnce,
                "The operator is applying the desired configuration.",
            ),
            Self::Checking => row(
                InProgress,
                Reason::Checking,
                NextPoll,
                "Unstructured is checking the connection.",
            ),
            Self::CheckTimedOut => row(
                Current,
                Reason::CheckTimedOut,
                OnChange,
                "The connector has the desired configuration, but Unstructured's connection check gave no result in 5 minutes. \
                 Set the annotation connectors.unstructured.io/reconcile-at to a new value to check again.",
            ),
            Self::CheckUnavailable => row(
                Current,
                Reason::CheckUnavailable,
                OnChange,
                "The connector has the desired configuration. This API offers no connection check.",
            ),
            Self::VerificationFailed(why) => row(
                Stalled,
                Reason::VerificationFailed,
                OnChange,
                format!(
                    "Unstructured's connection check failed{}. Correct the spec, the Secret, or what its credentials may do; if \
                     neither spec nor Secret changes, set the annotation connectors.unstructured.io/reconcile-at to a new value.",
                    why.as_ref()
                        .map(|why| format!(": {}", why.trim_end_matches('.')))
                        .unwrap_or_default()
                ),
            ),
            Self::Blocked(problem) => problem.row(),
            Self::CredentialsRejected(why) => row(
                Stalled,
                Reason::CredentialsRejected,
                Requeue::SecondLook,
                why.clone(),
            ),
            Self::NameConflict { name, ids, holder } => row(
                Stalled,
                Reason::NameConflict,
                NextInventory,
                match holder {
                    Some(holder) => format!(
                        "The connector name {name:?} is taken by {holder}. Choose another connectorName in a new resource."
                    ),
                    None => format!(
                        "A connector named {name:?} already exists ({}). It was not touched. Choose another connectorName in a \
                         new resource, adopt it with adoptionPolicy: ByName, or delete it.",
                        list(ids)
                    ),
                },
            ),
            Self::KeyTaken { key, why, holder } => {
                key_taken("connector", key, why, holder.as_deref())
            }
            Self::Ambiguous { name, ids } => row(
                Stalled,
                Reason::AmbiguousConnector,
                NextInventory,
                format!(
                    "Several connectors are named {name:?}: {}. None was touched. Delete those that are not wanted, or name the \
                     right one as existingSourceId in a new resource.",
                    list(ids)
                ),
            ),
            Self::InUse { id, holder } => row(
                Stalled,
                Reason::ConnectorInUse,
                NextInventory,
                format!(
                    "Connector {id} belongs to {holder}. Resources never share a connector: name another one in a new resource."
                ),
            ),
            Self::ExistingNotFound { collection, id } => row(
                Stalled,
                match collection {
                    Collection::Sources => Reason::SourceNotFound,
                    Collection::Destinations => Reason::DestinationNotFound,
                },
                NextInventory,
                format!(
                    "{} {id} is not in this workspace. Create a new resource with the right id, or use the API key \
                     of the workspace that holds it.",
                    family(*collection).existing_field
                ),
            ),
            Self::WrongKind { collection, id } => row(
                Stalled,
                Reason::InvalidConfiguration,
                NextInventory,
                format!(
                    "{} {id} is a connector of another type. Create a new resource with the right id.",
                    family(*collection).existing_field
                ),
            ),
            Self::WorkspaceChanged { id, fingerprint } => row(
                Stalled,
                Reason::WorkspaceChanged,
                NextInventory,
                format!(
                    "Connector {id} is not in the workspace of the present API key, and the key is not the one that created it. \
                     Nothing was created. Restore a key of the old workspace, or confirm the move with the annotation \
                     {}={fingerprint}.",
                    crate::crd::ACCEPT_WORKSPACE
                ),
            ),
            Self::CreateUnsettled(None) => row(
                InProgress,
                Reason::CreateOutcomeUnknown,
                Settled,
                "The response to the create request was lost. The operator waits until it knows whether the connector \
                 exists. No action is needed.",
            ),
            // It may be permanent: the service also answers 500 to configurations that it should refuse.
            Self::CreateUnsettled(Some(why)) => row(
                InProgress,
                Reason::CreateOutcomeUnknown,
                Settled,
                format!(
                    "The operator does not know whether the connector was created: {}. If the connector does not appear, \
                     the operator creates it again. If this persists, look for a value in the spec or the Secret that the \
                     API may reject.",
                    why.trim_end_matches('.')
                ),
            ),
            Self::Unshown(id) => unshown("connector", id),
            Self::Released => row(
                Current,
                Reason::Deleting,
                OnChange,
                "The operator has released the resource. Only finalizers of other controllers hold it.",
            ),
            Self::DeletionBlocked(problem) => {
                let Row { message, .. } = problem.row();
                row(
                    Stalled,
                    Reason::DeletionBlocked,
                    Requeue::Blocked,
                    format!("The connector cannot be deleted. {message} {WAY_OUT}"),
                )
            }
            Self::StillUsed(users) => still_used(users),
            Self::DeletionAmbiguous { name, ids } => row(
                Stalled,
                Reason::DeletionBlocked,
                NextInventory,
                format!(
                    "A connector named {name:?} was being created, and several have that name: {}. Delete the ones that are not \
                     wanted. {WAY_OUT}",
                    list(ids)
                ),
            ),
            Self::Failed(failure) => failure.row(),
        }
    }

    /// Whether the outcome speaks of the credentials.
    pub fn blames_credentials(&self) -> bool {
        match self {
            Self::CredentialsRejected(_) => true,
            Self::Blocked(problem) => problem.is_about_credentials(),
            _ => false,
        }
    }
}

/// How a resource can always be let go.
pub const WAY_OUT: &str = "To leave it behind, set deletionPolicy: Retain.";

impl Problem {
    /// Whether it lies with the Secret that holds the credentials, not with the API key or the spec.
    pub fn is_about_credentials(&self) -> bool {
        matches!(
            self,
            Self::SecretNotFound(..)
                | Self::SecretKeyMissing(..)
                | Self::SecretInvalid(..)
                | Self::Impostor(..)
        )
    }

    /// Whether others supply it, often a moment after the resource: it is waited for before it is told as what stalls the resource.
    pub fn is_awaited(&self) -> bool {
        matches!(
            self,
            Self::SecretNotFound(..)
                | Self::SecretKeyMissing(..)
                | Self::KeySecretNotFound(_)
                | Self::KeyMissing(..)
        )
    }

    /// The row for it.
    pub fn row(&self) -> Row {
        let (reason, message) = match self {
            Self::SecretNotFound(secret, field) => (
                Reason::SecretNotFound,
                format!("Secret {secret:?} does not exist in this namespace. Create it, or correct {field}."),
            ),
            Self::SecretForbidden(secret) => (
                Reason::SecretForbidden,
                format!(
                    "The operator's role does not let it read Secret {secret:?}. Grant it get, list and watch on the Secrets of \
                     this namespace, as the Helm chart does."
                ),
            ),
            Self::SecretKeyMissing(secret, key, field) => (
                Reason::SecretKeyMissing,
                format!("Secret {secret:?} has no key {key:?}. Add it, or correct {field}."),
            ),
            Self::SecretInvalid(secret, key, flaw) => (
                Reason::SecretInvalid,
                format!("Key {key:?} of Secret {secret:?} {flaw}. Store only the value itself."),
            ),
            Self::Impostor(secret, key, Impostor { what, advice, .. }) => (
                Reason::AccessTokenInsteadOfRefreshToken,
                format!("Key {key:?} of Secret {secret:?} holds {what}. {advice}"),
            ),
            Self::KeySecretNotFound(secret) => (
                Reason::WorkspaceKeyMissing,
                format!(
                    "Secret {secret:?} with the workspace's API key does not exist in this namespace. Create it, or correct \
                     workspace.apiKeySecretRef.name."
                ),
            ),
            Self::KeyMissing(secret, key) => (
                Reason::WorkspaceKeyMissing,
                format!("Secret {secret:?} has no key {key:?} with the workspace's API key. Add it, or correct workspace.apiKeySecretRef.key."),
            ),
            Self::KeyInvalid(secret, key, why) => (
                Reason::WorkspaceKeyMissing,
                format!("Key {key:?} of Secret {secret:?} {why}. Store only the workspace's API key itself."),
            ),
            Self::NoOperatorKey => (
                Reason::WorkspaceKeyMissing,
                "The resource names no workspace, and the operator has no API key of its own. Start the operator with \
                 UNSTRUCTURED_API_KEY or --api-key-file. Or create a new resource with workspace.apiKeySecretRef, and set \
                 deletionPolicy: Retain on this one before you delete it, or its connector goes with it."
                    .to_owned(),
            ),
            Self::NoClient(why) => (
                Reason::ApiUnavailable,
                format!("{}. The operator retries with backoff.", sentence(why)),
            ),
            Self::InvalidField(field, why) => {
                (Reason::InvalidConfiguration, format!("spec.{field} cannot be used: {why}."))
            }
            Self::Objection(Objection::SecretInConfig(parameter)) => (
                Reason::SecretInConfig,
                format!(
                    "spec.config.{parameter} is a secret in clear text, and is not sent. Put its value into a Secret, name that under \
                     spec.secretConfig.{parameter}, and replace the value itself: whoever may read this resource has seen it."
                ),
            ),
            Self::Objection(Objection::GivenTwice(parameter)) => (
                Reason::InvalidConfiguration,
                format!("{parameter} is in spec.config and in spec.secretConfig. Keep it in one of them."),
            ),
            Self::Objection(Objection::Missing { connector_type, parameters }) => (
                Reason::InvalidConfiguration,
                format!(
                    "A connector of the type {connector_type:?} needs {}. Add what is missing under spec.config, or under \
                     spec.secretConfig where it is a secret.",
                    parameters.join(", ")
                ),
            ),
        };
        // No watch tells of a role or a file that was mended.
        let (class, requeue) = match self {
            Self::NoClient(_) => (Class::InProgress, Requeue::Backoff),
            Self::SecretForbidden(_) => (Class::Stalled, Requeue::Backoff),
            _ => (Class::Stalled, Requeue::OnChange),
        };
        row(class, reason, requeue, message)
    }
}

impl Failure {
    /// The row for it.
    #[expect(
        clippy::too_many_lines,
        reason = "one table is read more easily than three thirds of it"
    )]
    pub fn row(&self) -> Row {
        use Class::{InProgress, Stalled};
        match self {
            Self::Api {
                kind,
                rate_limited,
                message,
                sent_configuration,
                ..
            } => {
                let (class, reason, requeue, advice) = match kind {
                    ErrorKind::Unauthorized => (
                        Stalled,
                        Reason::Unauthorized,
                        Requeue::Slowly,
                        "Put a valid API key of this workspace into the Secret that spec.workspace names, or, where nothing does, into \
                         the operator's --api-key-file or UNSTRUCTURED_API_KEY.",
                    ),
                    ErrorKind::Forbidden => (
                        Stalled,
                        Reason::Forbidden,
                        Requeue::Slowly,
                        "Use an API key of a Developer or Workspace Admin, and see that the account is in good standing.",
                    ),
                    ErrorKind::Invalid { .. } if *sent_configuration => (
                        Stalled,
                        Reason::InvalidConfiguration,
                        Requeue::OnChange,
                        "Correct the spec or the Secret; the operator retries after any change.",
                    ),
                    ErrorKind::UnknownType => (
                        Stalled,
                        Reason::InvalidConfiguration,
                        Requeue::Slowly,
                        "Unstructured does not know the type in spec.type. Create a new resource with the right type, then delete \
                         this one.",
                    ),
                    ErrorKind::Conflict => (
                        InProgress,
                        Reason::NameConflict,
                        Requeue::Backoff,
                        "The operator is listing the workspace again.",
                    ),
                    ErrorKind::RateLimited { .. } => (
                        InProgress,
                        Reason::RateLimited,
                        Requeue::Backoff,
                        "The operator retries by itself.",
                    ),
                    ErrorKind::Paused { until } => {
                        let reason = if *rate_limited {
                            Reason::RateLimited
                        } else {
                            Reason::ApiUnavailable
                        };
                        (
                            InProgress,
                            reason,
                            Requeue::Resumed(*until),
                            "The operator retries by itself.",
                        )
                    }
                    ErrorKind::Server
                    | ErrorKind::Timeout
                    | ErrorKind::Connect
                    | ErrorKind::Interrupted => (
                        InProgress,
                        Reason::ApiUnavailable,
                        Requeue::Backoff,
                        "The operator retries with backoff.",
                    ),
                    ErrorKind::WrongUrl => (
                        InProgress,
                        Reason::UnexpectedResponse,
                        Requeue::Backoff,
                        "Check the API URL: it must be the one that Unstructured gives for this account.",
                    ),
                    ErrorKind::NoRoom => (
                        InProgress,
                        Reason::UnexpectedResponse,
                        Requeue::Backoff,
                        "Delete connectors that nobody needs, or raise --max-inventory-memory. The operator retries with backoff.",
                    ),
                    // A refusal of a request in which nothing of the user's was sent is nothing that the user can correct.
                    ErrorKind::Unexpected | ErrorKind::NotFound | ErrorKind::Invalid { .. } => (
                        InProgress,
                        Reason::UnexpectedResponse,
                        Requeue::Backoff,
                        "The operator retries with backoff. If this persists, check the API URL and any proxy in front of it.",
                    ),
                };
                row(
                    class,
                    reason,
                    requeue,
                    format!("{}. {advice}", sentence(message)),
                )
            }
            Self::UnknownConnector {
                which,
                by_id,
                message,
                advice,
            } => {
                let (class, requeue) = if *by_id {
                    (Stalled, Requeue::NextInventory)
                } else {
                    (InProgress, Requeue::Backoff)
                };
                let reason = match which {
                    UnknownConnector::Source => Reason::SourceNotFound,
                    UnknownConnector::Destination => Reason::DestinationNotFound,
                    UnknownConnector::Either => Reason::InvalidConfiguration,
                };
                row(
                    class,
                    reason,
                    requeue,
                    format!("{}. {advice}", sentence(message)),
                )
            }
            Self::Conflict => row(
                InProgress,
                Reason::Progressing,
                Requeue::AtOnce,
                "The resource changed during the reconcile; reconciling again.",
            ),
            Self::Kubernetes(message) => row(
                InProgress,
                Reason::Progressing,
                Requeue::Backoff,
                format!("The Kubernetes API failed: {message}. The operator retries with backoff."),
            ),
            Self::Busy => row(
                InProgress,
                Reason::Progressing,
                Requeue::AtOnce,
                "The check of the credentials is queued behind others.",
            ),
            Self::Forbidden(message) => row(
                InProgress,
                Reason::KubernetesForbidden,
                Requeue::Backoff,
                format!(
                    "{}. Grant the operator this permission, as the Helm chart does, or change the policy that refuses it.",
                    sentence(message)
                ),
            ),
            Self::Definition(message) => row(
                Stalled,
                Reason::DefinitionOutdated,
                Requeue::Backoff,
                format!(
                    "The installed CRD is older than the operator, so the operator cannot record what it does: {}. Nothing \
                     was created. Apply the CRD of this release.",
                    message.trim_end_matches('.')
                ),
            ),
            Self::NotLeading => row(
                InProgress,
                Reason::Progressing,
                Requeue::Backoff,
                "Another operator instance has taken over.",
            ),
            Self::Overrun(what) => row(
                InProgress,
                Reason::Progressing,
                Requeue::Backoff,
                format!("The reconcile did not finish: {what}. The operator retries with backoff."),
            ),
        }
    }
}

/// Another object has the key with which a resource makes `what` it stands for.
pub fn key_taken(what: &str, key: &str, why: &str, holder: Option<&str>) -> Row {
    let message = match holder {
        Some(holder) => format!(
            "The key {key:?}, with which this resource creates its {what}, is on a {what} of {holder}. Nothing was created. Create a new \
             resource under another name, or release that one."
        ),
        None => format!(
            "The key {key:?}, with which this resource creates its {what}, is taken by something that the workspace does not show: {}. \
             Nothing was created. Delete what has it, then set the annotation connectors.unstructured.io/reconcile-at to a new value; or \
             create a new resource under another name.",
            why.trim_end_matches('.')
        ),
    };
    row(
        Class::Stalled,
        Reason::KeyTaken,
        Requeue::NextInventory,
        message,
    )
}

/// `spec.suspend` is set on a resource from which nothing has come yet.
pub fn suspended_uncreated() -> Row {
    row(
        Class::Stalled,
        Reason::Suspended,
        Requeue::OnChange,
        "spec.suspend is true, and nothing has been created yet. Set it to false to apply the spec.",
    )
}

/// The workspace does not show yet what was just made there.
pub fn unshown(what: &str, id: impl fmt::Display) -> Row {
    row(
        Class::InProgress,
        Reason::Progressing,
        Requeue::Unshown,
        format!(
            "The operator has just created {what} {id}, and the workspace does not show it yet. The operator looks again. No action \
             is needed."
        ),
    )
}

fn still_used(users: &Users) -> Row {
    let named = users.named.join(", ");
    let more = match users.count.saturating_sub(users.named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    if users.going {
        return row(
            Class::InProgress,
            Reason::InUse,
            Requeue::Blocked,
            format!(
                "The operator deletes the connector once the workflows that use it are gone: {named}{more}."
            ),
        );
    }
    row(
        Class::Stalled,
        Reason::InUse,
        Requeue::Blocked,
        format!(
            "The connector is not deleted while workflows use it: {named}{more}. Delete them or point them elsewhere. {WAY_OUT} To \
             delete it anyway, set the annotation {}=true.",
            crate::crd::FORCE_DELETE
        ),
    )
}

/// What an API said, as the beginning of a sentence.
pub fn sentence(message: &str) -> String {
    let mut rest = message.trim_end_matches('.').chars();
    let first = rest.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(rest).collect()
}

fn list(ids: &[ConnectorId]) -> String {
    let mut text = String::new();
    for (n, id) in ids.iter().enumerate() {
        let _ = write!(text, "{}{id}", if n == 0 { "" } else { ", " });
    }
    text
}
