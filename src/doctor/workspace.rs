//! The Unstructured workspace of one resource: its key, the connector, the connection check, and the clock.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::DATE;

use super::access::{WORKSPACE, is_other};
use super::findings::Findings;
use super::patient::Patient;
use super::unclaimed::Listing;
use crate::hosts::Reach;
use crate::http::{self, BaseUrl, USER_AGENT};
use crate::kinds::Resource;
use crate::unstructured::{
    CheckStatus, Collection, Config, Connector, ConnectorId, Connectors, Endpoint, Fingerprint,
    Kept,
};

/// Clocks may differ by this much: certificates and logs do not mind.
const TOLERANCE: Duration = Duration::from_mins(1);

/// Examines the workspace, and the connector in it. Returns what is listed there.
pub(super) async fn examine(
    patient: &Patient<'_>,
    resource: &Resource,
    config: &Config,
    findings: &mut Findings,
) -> Option<Listing> {
    let subject = patient.subject();
    let (client, reach) = patient.open(findings).await?;
    let endpoint = client.endpoint().clone();
    clock(patient, &endpoint, reach, findings).await;
    let (kind, spec) = (resource.kind, &resource.spec);
    let settings = config.plain().map(|(name, _)| name);
    let kept = Kept::only(settings);
    let connectors = client.connectors(kind.collection, spec.connector_type(), kept);
    let sources = match connectors.list().await {
        Ok(sources) => sources,
        Err(error) => {
            patient.unanswered(&endpoint, &error, findings);
            return None;
        }
    };
    let accepted = format!("{endpoint} accepts the API key");
    findings.right(&subject, WORKSPACE, accepted);
    let fingerprint = client.fingerprint();
    connector(
        patient,
        resource,
        (&connectors, fingerprint, &sources),
        config,
        findings,
    )
    .await;
    Some(Listing {
        endpoint,
        fingerprint: fingerprint.to_string(),
        shelf: (kind.collection, spec.connector_type().to_owned()),
        sources,
    })
}

async fn connector(
    patient: &Patient<'_>,
    resource: &Resource,
    (connectors, fingerprint, sources): (&Connectors, &Fingerprint, &[Connector]),
    config: &Config,
    findings: &mut Findings,
) {
    const CHECK: &str = "connector";
    let subject = patient.subject();
    let status = resource.status();
    let home = status.and_then(|status| status.workspace.as_ref());
    let other_key = is_other(home, fingerprint);
    let id: Option<ConnectorId> = status
        .and_then(|status| status.id.as_deref())
        .and_then(|id| id.parse().ok());
    let Some(id) = id else {
        return findings.wrong(
            &subject,
            CHECK,
            "no connector belongs to this resource yet",
            patient.cure(),
        );
    };
    let Some(source) = sources.iter().find(|source| source.id == id) else {
        let (message, next) = patient.gone(&format!("connector {id}"), other_key);
        return findings.wrong(&subject, CHECK, message, next);
    };
    let differing = config.drift(&source.settings);
    if differing.is_empty() {
        findings.right(
            &subject,
            CHECK,
            format!(
                "connector {id} is there, and equal as far as the API shows it (it masks secrets)"
            ),
        );
    } else {
        findings.wrong(
            &subject,
            CHECK,
            format!(
                "connector {id} differs from the resource in {}; the operator puts it right at its next look, unless it is suspended",
                differing.join(", ")
            ),
            patient.look_again(),
        );
    }
    let namesakes = sources
        .iter()
        .filter(|other| other.name == source.name)
        .count();
    if namesakes > 1 {
        findings.unknown(
            &subject,
            "namesakes",
            format!("{namesakes} connectors of the workspace have the name of this one"),
            "look at them in the Unstructured UI: those that nothing uses can be deleted there",
        );
    }
    let collection = resource.kind.collection;
    check(patient, connectors, (collection, id), config, findings).await;
}

async fn check(
    patient: &Patient<'_>,
    connectors: &Connectors,
    (collection, id): (Collection, ConnectorId),
    config: &Config,
    findings: &mut Findings,
) {
    const CHECK: &str = "connection";
    let subject = &patient.subject();
    let other = match collection {
        Collection::Sources => "the source",
        Collection::Destinations => "the destination",
    };
    match connectors.latest_check(&id).await {
        Ok(Some(check)) if check.status == CheckStatus::Success => {
            findings.right(
                subject,
                CHECK,
                format!("Unstructured reached {other} when it last tried"),
            );
        }
        Ok(Some(check)) if check.status == CheckStatus::Failure => {
            let reason = check.reason.as_deref().unwrap_or("no reason given");
            findings.wrong(
                subject,
                CHECK,
                format!(
                    "Unstructured did not reach {other} when it last tried: {}",
                    config.scrub(reason)
                ),
                patient.look_again(),
            );
        }
        Ok(Some(_)) => findings.unknown(
            subject,
            CHECK,
            "a connection check is under way",
            patient.run_again(),
        ),
        Ok(None) => findings.unknown(
            subject,
            CHECK,
            "there was no connection check; spec.verify makes the operator start one after each change",
            patient.set("verify", "true"),
        ),
        Err(error) => {
            findings.unknown(
                subject,
                CHECK,
                format!("the connection check cannot be read: {error}"),
                patient.run_again(),
            );
        }
    }
}

/// Compares this machine's clock with the API's, which tells it in every answer; one without a key is enough.
async fn clock(patient: &Patient<'_>, endpoint: &Endpoint, reach: Reach, findings: &mut Findings) {
    const CHECK: &str = "clock";
    let subject = patient.subject();
    let Some(theirs) = their_time(patient, endpoint, reach).await else {
        return findings.unknown(
            &subject,
            CHECK,
            format!("{endpoint} does not tell its time"),
            "compare the output of date -u with another clock",
        );
    };
    let apart = Timestamp::now().duration_since(theirs).unsigned_abs();
    if apart <= TOLERANCE {
        findings.right(
            &subject,
            CHECK,
            "this machine's clock agrees with the API's",
        );
    } else {
        findings.wrong(
            &subject,
            CHECK,
            format!("this machine's clock is {} s away from the API's", apart.as_secs()),
            "set it by NTP: timedatectl set-ntp true; and look at the clocks of the cluster's nodes",
        );
    }
}

async fn their_time(patient: &Patient<'_>, endpoint: &Endpoint, reach: Reach) -> Option<Timestamp> {
    let base = BaseUrl::parse(&endpoint.to_string(), true).ok()?;
    let timeout = patient.means.network.request_timeout;
    let client = http::client(&base, timeout, USER_AGENT, reach).ok()?;
    let request = client.get(base.join("/sources/")).timeout(timeout);
    let answer = request.send().await.ok()?;
    let date = answer.headers().get(DATE)?.to_str().ok()?;
    rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}
