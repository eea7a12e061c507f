//! What an event has in common with what others do.

use leadsman_detect::action::minted_account;
use leadsman_domain::{AuditEvent, Link, LinkKind};

use crate::incidents::MAX_SHARING;

/// Longest name of an account or address; what is longer is none.
const MAX_ID: usize = 512;

/// The accounts and the source that `event` touches. A request that failed touched nothing but its source, and a source
/// that more than a few accounts use (`sharing`, in training) says nothing.
pub(crate) fn of_event(event: &AuditEvent, sharing: u32) -> Vec<Link> {
    let mut links = Vec::new();
    let mut link = |kind, id: &str| {
        if id.len() <= MAX_ID {
            links.push(Link { kind, id: id.to_owned() });
        }
    };
    if event.succeeded() {
        if let Some(other) = &event.actor.impersonated {
            link(LinkKind::Impersonation, other.raw());
        }
        if let Some(account) = minted_account(event) {
            link(LinkKind::MintedToken, &account);
        }
        let of_body = if event.object.group.raw() == "rbac.authorization.k8s.io" {
            LinkKind::BoundSubject
        } else {
            LinkKind::WorkloadAccount
        };
        event.accounts.iter().for_each(|account| link(of_body, account.raw()));
    }
    if let Some(source) = event.source_ip.as_ref().filter(|_| sharing as usize <= MAX_SHARING) {
        link(LinkKind::Source, source.raw());
    }
    links
}
