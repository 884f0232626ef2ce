//! The start of a pass: what `observe` gathers.

use unstructured_operator::controller::connector::recall;
use unstructured_operator::controller::connector::report;
use unstructured_operator::controller::connector::situation::{
    Binding, ConnectorName, Debut, DefinitionFate, Deletion, Desired, Grant, Keys, Resend,
    Sighting, Situation, Wanted,
};
use unstructured_operator::engine::outcome::Problem;
use unstructured_operator::unstructured::Collection;

use super::connectors::{Config, number, source_id};
use super::operator::{Flaw, Operator};
use super::process::{Memory, Pass, Queued, claimant, uid};
use super::status::{ELSEWHERE, clock, full, mark, name, workspace};
use super::world::{ApiKey, Installation, World};

impl Operator {
    /// `pass::attempt`, `pass::latest`, `observe::observe`.
    #[expect(
        clippy::too_many_lines,
        reason = "a pass begins with all that there is to know"
    )]
    pub fn begin(&self, world: &mut World, slot: usize) {
        let deletion = Self::deletion(world);
        let desired_secret = world.secret;
        let has_key = world.key == ApiKey::There;
        let now = world.clock;
        let leader = &mut world.instances[world.leader];
        let resources_known =
            leader.has_listed_all() || self.flaw == Some(Flaw::DoesNotWaitForLists);
        let refuses_keys = leader.refuses_keys;
        let mind = &mut leader.minds[slot];
        mind.queued = Queued::No;
        let Some(watched) = mind.cache.clone() else {
            mind.memory = Memory::default();
            return;
        };
        let memory = &mut mind.memory;
        let resource = memory.latest(&watched);
        if self.flaw == Some(Flaw::BelievesAnyStatus) {
            memory.ours = None;
        }
        let ours = memory.ours.clone();
        let status = full(&ours.as_ref().unwrap_or(&resource).status);
        let binding = recall::binding(&status, memory.gone.map(source_id), |create| {
            let started = clock(&create.started_at);
            let known = memory.settling.filter(|(known, _)| *known == started);
            memory.settling.insert(known.unwrap_or((started, false))).1
        });
        let debut = match &binding {
            Binding::Bound(id) if self.flaw != Some(Flaw::BelievesEvery404) => {
                memory.recall(number(*id), world.young)
            }
            _ => Debut::Over,
        };
        let resend = match self.flaw {
            Some(Flaw::NeverSendsAgain) => Resend::No,
            _ => Resend::recorded(status.resend_after.as_ref(), |after| clock(after) < now),
        };
        memory.resend = resend == Resend::Later;
        let key_at_hand = has_key
            || memory.key
                && recall::outlives_its_secret(
                    resource.deleting,
                    &status,
                    &workspace().fingerprint,
                );
        let key_taken = memory.key_taken;
        let waited = recall::has_waited(&status, memory.waited);
        let ask = resource.ask;
        let is_reserved = usize::from(ask.name) == slot;
        let is_meant = !is_reserved || ask.existing.is_some();
        let foreign = recall::foreign_record(&status, is_meant, "here", |recorded| {
            recorded == name(ELSEWHERE)
        })
        .filter(|_| self.flaw != Some(Flaw::BelievesAnyRecord));
        let holder = match &binding {
            Binding::Bound(id) if foreign.is_none() => {
                let claim = leader.claims.recorded(&claimant(slot, resource.uid), *id);
                leader.wake_loser(claim)
            }
            _ => None,
        };
        let was_released = leader.claims.is_released(uid(resource.uid));
        let desired = Config {
            visible: resource.spec,
            secret: desired_secret,
        };
        let taken = key_taken == Some(desired.digest()) && !resource.deleting;
        let place = u8::try_from(slot).expect("few places");
        let situation = Situation {
            wanted: Wanted {
                name: ConnectorName {
                    value: name(ask.name).to_owned(),
                    reserved: is_reserved,
                },
                key: mark(place).to_owned(),
                collection: Collection::Sources,
                existing: ask.existing.map(source_id),
                adopt_by_name: ask.adopt_by_name,
                verify: ask.verify,
                retain: ask.retain,
                suspend: false,
            },
            deletion: resource.deleting.then_some(deletion),
            foreign,
            unlisted: (!resources_known).then(|| "a kind".to_owned()),
            waited,
            finalized: resource.finalized && !was_released,
            binding,
            marked: recall::marked(&status, mark(place)),
            keys: match taken {
                _ if refuses_keys => Keys::Refused,
                true => Keys::Taken {
                    why: "taken".to_owned(),
                    just_now: false,
                },
                false => Keys::Sent,
            },
            held_by: holder.map(|_| "another".to_owned()),
            applied: status
                .applied_digest
                .as_deref()
                .and_then(|d| d.parse().ok()),
            home: status.workspace.as_ref().map(|_| workspace()),
            move_accepted: false,
            workspace: if key_at_hand {
                Ok(workspace())
            } else {
                Err(Problem::KeySecretNotFound("key".to_owned()))
            },
            desired: if resource.deleting {
                Desired::Unread
            } else {
                Desired::Digest(desired.digest())
            },
            forced: false,
            refused: None,
            grant: Grant::Unasked,
            doubted: false,
            connector: Sighting::Unseen,
            debut,
            namesakes: None,
            check: report::recorded_check(status.connection_check.as_ref(), None),
            polled: false,
            failed_now: false,
            check_overdue: false,
            resend,
            lost_creates: status.lost_creates.as_ref().map_or(0, |lost| lost.count),
            lost: None,
            unrecorded: false,
            users: None,
            changes: Vec::new(),
        };
        leader.minds[slot].pass = Some(Pass {
            situation,
            generation: resource.generation,
            resource,
            ours,
            written: None,
            unsure: false,
            fresh: false,
            overtaken: false,
        });
    }

    /// `observe::deletion`, `definition::fate`.
    fn deletion(world: &World) -> Deletion {
        Deletion {
            namespace_terminating: world.key == ApiKey::GoneForGood,
            definition: match world.installation {
                Installation::Whole => DefinitionFate::Stays,
                Installation::WithoutRights => DefinitionFate::Unknown,
                Installation::Going => DefinitionFate::Going,
            },
            rehearsed: false,
        }
    }
}
