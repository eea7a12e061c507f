//! Everything that is simulated can be read: no record is refused, and identities survive.

use leadsman_decode::{DecodeContext, Limits};
use leadsman_domain::{PayloadKind, RawRecord, Risk};
use leadsman_sim::{
    Attack, Change, ChangeKind, Cluster, ClusterSize, IdentityKind, Payload, SimConfig, SimError, SimRecord,
    Simulation, Style, Technique, Trial, attack,
};

/// Decodes audit records one by one; returns user names, risks, and what was refused.
fn decode<'a>(records: impl IntoIterator<Item = &'a SimRecord>) -> (Vec<String>, Vec<Risk>, Vec<String>) {
    let (context, limits) = (DecodeContext::default(), Limits::default());
    let (mut users, mut risks, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for record in records {
        let Payload::Audit(bytes) = &record.payload else { continue };
        let raw =
            RawRecord { offset: 0, received_at: record.time, kind: PayloadKind::K8sAudit, bytes: bytes.clone().into() };
        let decoded = leadsman_decode::record(&context, &limits, &raw);
        refused.extend(decoded.rejects.iter().map(|r| format!("{r:?}")));
        users.extend(decoded.events.iter().map(|e| e.actor.name.to_string()));
        risks.extend(decoded.events.iter().flat_map(|e| e.risk.iter()));
    }
    (users, risks, refused)
}

#[test]
fn every_technique_of_every_identity_in_every_style_is_read_without_rejects() {
    let cluster = Cluster::new(11);
    let at = SimConfig::default().start.plus(std::time::Duration::from_secs(30 * 86_400 + 36_000));
    for technique in Technique::ALL {
        for (identity, style) in IdentityKind::ALL.into_iter().flat_map(|i| Style::ALL.map(|s| (i, s))) {
            for repeat in 0..3 {
                let trial = Trial { technique, identity, style, at, repeat };
                let Attack { actor, records, .. } = attack(&cluster, &trial);
                let (users, _, refused) = decode(&records);
                assert!(refused.is_empty(), "{trial:?}: {refused:?}");
                assert_eq!(users.len(), records.len(), "{trial:?}");
                assert!(users.contains(&actor), "{trial:?}");
            }
        }
    }
}

/// What the policy lets a reader see of the bodies: the decisive request of these shows its risk.
#[test]
fn bodies_show_what_they_ask_for() {
    let cluster = Cluster::new(12);
    let at = SimConfig::default().start.plus(std::time::Duration::from_secs(30 * 86_400 + 36_000));
    for (technique, wanted) in [
        (Technique::PrivilegedPod, &[Risk::Privileged][..]),
        (Technique::HostPathPod, &[Risk::SensitiveHostPath]),
        (Technique::NodeDebugPod, &[Risk::HostNamespace, Risk::SensitiveHostPath]),
        (Technique::DaemonSet, &[Risk::Privileged, Risk::SensitiveHostPath]),
        (Technique::AdminClusterRole, &[Risk::WildcardRule]),
        (Technique::ClusterAdminBinding, &[Risk::ClusterAdminBinding]),
    ] {
        for (identity, repeat) in IdentityKind::ALL.into_iter().flat_map(|i| (0..4).map(move |r| (i, r))) {
            let trial = Trial { technique, identity, style: Style::Paced, at, repeat };
            let Attack { records, decisive, .. } = attack(&cluster, &trial);
            let risks: Vec<_> = decode(decisive.iter().map(|&i| &records[i])).1;
            for risk in wanted {
                assert!(risks.contains(risk), "{trial:?}: {risks:?}");
            }
        }
    }
}

#[test]
fn a_day_with_every_change_is_read_without_rejects() -> Result<(), SimError> {
    for size in [ClusterSize::Small, ClusterSize::Medium] {
        let changes = ChangeKind::ALL.map(|kind| Change { kind, day: 1 }).into();
        let config = SimConfig { seed: 4, size, from_day: 1, days: 1, changes, ..SimConfig::default() };
        let records: Vec<_> = Simulation::new(&config)?.collect();
        let audit = records.iter().filter(|r| matches!(r.payload, Payload::Audit(_))).count();
        let (users, _, refused) = decode(&records);
        assert!(refused.is_empty(), "{size}: {refused:?}");
        assert_eq!(users.len(), audit);
    }
    Ok(())
}
