use leadsman_domain::{Actor, EventId, Level, ObjectRef, RequestKey, RiskFlags, Stage, Timestamp, Untrusted, Verb};
use proptest::prelude::*;

use super::*;

const DAY: i64 = 86_400;

fn event(actor: &str, second: i64, verb: Verb, resource: &str, namespace: &str) -> AuditEvent {
    AuditEvent {
        id: EventId::new(second as u128),
        request: RequestKey::new(second as u128),
        audit_id: Untrusted::new("id"),
        stage: Stage::ResponseComplete,
        level: Level::Metadata,
        event_time: Timestamp::from_millis(second * 1000),
        actor: Actor { name: actor.into(), class: ActorClass::SaWorkload, impersonated: None },
        verb,
        object: ObjectRef {
            resource: Untrusted::new(resource),
            namespace: (!namespace.is_empty()).then(|| Untrusted::new(namespace)),
            ..ObjectRef::default()
        },
        request_uri: Untrusted::new("/"),
        source_ip: Some(Untrusted::new("10.244.1.7")),
        user_agent: Some(Untrusted::new("app/1.0")),
        code: Some(200),
        forbidden: false,
        risk: RiskFlags::UNKNOWN,
        accounts: Box::default(),
    }
}

/// Twelve accounts over ten days: all read pods and config maps of their namespace every hour, half of them
/// read its secrets once a day.
fn model() -> NoveltyModel {
    poisoned(&[])
}

/// The same with `more` in it.
fn poisoned(more: &[AuditEvent]) -> NoveltyModel {
    let mut builder = NoveltyBuilder::new(1, true);
    for hour in 0..240 {
        for account in 0..12 {
            let (name, ns) = (format!("sa-{account}"), format!("ns-{}", account % 3));
            let at = hour * 3600 + account;
            builder.add(&event(&name, at, Verb::List, "pods", &ns));
            builder.add(&event(&name, at, Verb::Get, "configmaps", &ns));
            if account % 2 == 0 && hour % 24 == 3 {
                builder.add(&event(&name, at, Verb::Get, "secrets", &ns));
            }
        }
    }
    more.iter().for_each(|e| builder.add(e));
    builder.finish().unwrap()
}

fn judge(model: &NoveltyModel, e: &AuditEvent) -> EventNovelty {
    model.judge(e, &NoveltyState::default())
}

#[test]
fn habit_is_calm_novelty_is_not_and_the_order_is_right() {
    let m = model();
    let at = 240 * 3600;
    let habit = judge(&m, &event("sa-1", at, Verb::List, "pods", "ns-1"));
    let peers_do = judge(&m, &event("sa-1", at, Verb::Get, "secrets", "ns-1"));
    let exec = ObjectRef {
        resource: Untrusted::new("pods"),
        subresource: Some(Untrusted::new("exec")),
        namespace: Some(Untrusted::new("ns-1")),
        ..ObjectRef::default()
    };
    let nobody_does = judge(&m, &AuditEvent { object: exec, ..event("sa-1", at, Verb::Exec, "pods", "ns-1") });
    let newcomer = |verb, resource| judge(&m, &event("sa-new", at, verb, resource, "ns-1")).total;
    let stolen = judge(
        &m,
        &AuditEvent {
            source_ip: Some(Untrusted::new("203.0.113.7")),
            user_agent: Some(Untrusted::new("kubectl/v1.33.2")),
            ..event("sa-1", at, Verb::List, "secrets", "")
        },
    );
    assert!(habit.total < peers_do.total, "{} {}", habit.total, peers_do.total);
    assert!(peers_do.total <= nobody_does.total, "{} {}", peers_do.total, nobody_does.total);
    assert!(newcomer(Verb::List, "pods") < newcomer(Verb::Delete, "pods") - 3.0, "a newcomer is judged by its peers");
    assert!(stolen.total > 4.0 * habit.total && stolen.total > 15.0, "{}", stolen.total);
    assert_eq!(stolen.first_seen(), 5, "action, namespace, client, source and outcome: {stolen:?}");
}

#[test]
fn missing_fields_are_not_strange() {
    let m = model();
    let at = 240 * 3600;
    let full = event("sa-1", at, Verb::List, "pods", "ns-1");
    let bare = AuditEvent { source_ip: None, user_agent: None, ..full.clone() };
    assert!(judge(&m, &bare).total <= judge(&m, &full).total + 1e-9);
}

#[test]
fn what_a_failed_request_names_is_not_learned_and_not_scored() {
    let m = model();
    let failed = |name: &str, second| AuditEvent { code: Some(403), ..event("sa-1", second, Verb::Get, name, "ns-1") };
    let (a, b) = (judge(&m, &failed("xyzzy", 240 * 3600)), judge(&m, &failed("pods", 240 * 3600)));
    assert!(a.keys.get(KeyFamily::Action).is_none() && b.keys.get(KeyFamily::Action).is_none());
    let mut state = NoveltyState::default();
    for day in 0..9 {
        let e = failed("secrets", (10 + day) * DAY);
        let novelty = m.judge(&e, &state);
        m.learn(&e, &novelty, &mut state);
    }
    let read = m.judge(&event("sa-1", 20 * DAY, Verb::Get, "secrets", "ns-1"), &state);
    assert!(read.first[KeyFamily::Action as usize], "403s do not make the access a habit");
}

#[test]
fn repeating_an_attack_in_a_day_does_not_make_it_normal_but_three_days_do() {
    let m = model();
    let mut state = NoveltyState::default();
    let exec = |second| event("sa-1", second, Verb::Exec, "pods", "ns-1");
    let first = m.judge(&exec(10 * DAY), &state).total;
    for minute in 0..600 {
        let e = exec(10 * DAY + minute * 60);
        let novelty = m.judge(&e, &state);
        assert!(novelty.total >= first - 0.5, "minute {minute}: {} against {first}", novelty.total);
        m.learn(&e, &novelty, &mut state);
    }
    for day in 11..14 {
        let novelty = m.judge(&exec(day * DAY), &state);
        m.learn(&exec(day * DAY), &novelty, &mut state);
    }
    assert!(m.judge(&exec(14 * DAY), &state).total < first - 2.0);
}

/// Two servers reorder what happens around midnight; four events in three seconds are not three days.
#[test]
fn days_are_counted_forwards_only() {
    let m = model();
    let mut state = NoveltyState::default();
    let exec = |second| event("sa-1", second, Verb::Exec, "pods", "ns-1");
    let first = m.judge(&exec(11 * DAY), &state).total;
    for second in [11 * DAY - 2, 11 * DAY, 11 * DAY - 1, 11 * DAY + 1] {
        let novelty = m.judge(&exec(second), &state);
        m.learn(&exec(second), &novelty, &mut state);
    }
    // It was seen the day before, which is no news; but it is not known.
    let later = m.judge(&exec(11 * DAY + 36_000), &state).total;
    assert!(later >= 0.45 * first, "{later} against {first}");
}

#[test]
fn acting_as_somebody_else_is_not_the_habit_it_imitates() {
    let m = model();
    let at = 240 * 3600;
    let habit = event("sa-1", at, Verb::List, "pods", "ns-1");
    let mut disguised = habit.clone();
    disguised.actor.impersonated = Some(Untrusted::new("system:admin"));
    assert!(judge(&m, &disguised).total > judge(&m, &habit).total + 10.0);
}

#[test]
fn the_weight_of_a_sensitive_action_fades_with_history() {
    let m = model();
    let at = 240 * 3600;
    let regular = judge(&m, &event("sa-2", at, Verb::Get, "secrets", "ns-2"));
    let first = judge(&m, &event("sa-1", at, Verb::Get, "secrets", "ns-1"));
    assert!((first.sensitivity - 3.0).abs() < 1e-9);
    assert!(regular.sensitivity < 0.5, "{}", regular.sensitivity);
}

#[test]
fn one_actors_past_does_not_touch_another() {
    let m = model();
    let mut state = NoveltyState::default();
    let probe = event("sa-3", 15 * DAY, Verb::Exec, "pods", "ns-0");
    let before = m.judge(&probe, &state).total;
    for day in 10..14 {
        let e = event("sa-1", day * DAY, Verb::Exec, "pods", "ns-0");
        let novelty = m.judge(&e, &state);
        m.learn(&e, &novelty, &mut state);
    }
    assert!((m.judge(&probe, &state).total - before).abs() < 1e-12);
}

#[test]
fn baselines_count_peers_without_the_actor_itself() {
    let m = model();
    let e = event("sa-1", 240 * 3600, Verb::Get, "secrets", "ns-1");
    let parts = m.parts(&e, &judge(&m, &e), &m.standing(&e, &NoveltyState::default()));
    let action = parts.iter().find(|p| p.family == Some(KeyFamily::Action)).unwrap();
    let group = m.group_of("sa-1", ActorClass::SaWorkload).unwrap();
    assert_eq!(action.baseline.peers_of, u64::from(group.members) - 1);
    assert!((action.baseline.own).abs() < 1e-12 && action.first_seen);
    assert!((action.baseline.own_days - 10.0).abs() < 1e-12);
}

proptest! {
    #[test]
    fn parts_sum_to_the_surprise(
        actor in 0usize..14, verb in 0usize..4, resource in "[a-z]{1,12}", ns in "[a-z0-9-]{0,8}", code in prop::option::of(100u16..600),
    ) {
        let m = model();
        let verb = [Verb::Get, Verb::List, Verb::Create, Verb::Exec][verb];
        let e = AuditEvent { code, ..event(&format!("sa-{actor}"), 250 * 3600, verb, &resource, &ns) };
        let novelty = judge(&m, &e);
        let sum: f64 = m.parts(&e, &novelty, &m.standing(&e, &NoveltyState::default())).iter().map(|p| p.nats).sum();
        prop_assert!(novelty.total >= 0.0 && novelty.total.is_finite());
        // A sensitive action that failed carries no weight, so nothing is left over.
        prop_assert!((sum - novelty.total).abs() < 1e-9, "{} {}", sum, novelty.total);
    }
}

/// What an intruder does with an account that never did it.
fn surprises(m: &NoveltyModel) -> [f64; 3] {
    let at = 240 * 3600;
    [
        event("sa-1", at, Verb::Exec, "pods", "ns-1"),
        event("sa-1", at, Verb::List, "secrets", ""),
        event("sa-new", at, Verb::Delete, "events", "ns-0"),
    ]
    .map(|e| judge(m, &e).total)
}

#[test]
fn one_actor_cannot_teach_the_others() {
    let clean = surprises(&model());
    // sa-7 does all of it every ten minutes for ten days: as many events as all the others together.
    let volume: Vec<AuditEvent> = (0..1440)
        .flat_map(|n| {
            [
                event("sa-7", n * 600, Verb::Exec, "pods", "ns-1"),
                event("sa-7", n * 600 + 1, Verb::List, "secrets", ""),
                event("sa-7", n * 600 + 2, Verb::Delete, "events", "ns-0"),
            ]
        })
        .collect();
    // And 5,000 keys nobody has use for, each on four days.
    let invented: Vec<AuditEvent> = (0..20_000)
        .map(|n| event("sa-7", n % 4 * DAY + n, Verb::Get, &format!("thing-{}", n / 4), &format!("ns-{n}")))
        .collect();
    let mut two = volume.clone();
    two.extend(volume.iter().cloned().map(|mut e| {
        e.actor.name = "sa-8".into();
        e
    }));
    let colluding = surprises(&poisoned(&two));
    assert!(colluding.iter().zip(&clean).all(|(after, before)| *after >= 0.7 * before), "{clean:?} {colluding:?}");
    for (how, events) in [("volume", volume), ("invented keys", invented)] {
        let poisoned = surprises(&poisoned(&events));
        for (before, after) in clean.iter().zip(&poisoned) {
            assert!(*after >= 0.98 * before, "{how}: {clean:?} became {poisoned:?}");
        }
    }
}

#[test]
fn a_stored_model_judges_alike() {
    let m = model();
    let stored: NoveltyModel = postcard::from_bytes(&postcard::to_stdvec(&m).unwrap()).unwrap();
    assert_eq!(stored, m);
    let e = event("sa-1", 250 * 3600, Verb::Get, "secrets", "ns-1");
    assert_eq!(judge(&stored, &e), judge(&m, &e));
}

/// What is looked up for an actor that stayed with its habits is what the formula gives.
#[test]
fn the_usual_surprise_is_that_of_the_formula() {
    let m = model();
    for (actor, resource) in [("sa-1", "pods"), ("sa-2", "secrets"), ("sa-3", "configmaps")] {
        let profile = m.actor(actor).unwrap();
        let e = event(actor, 250 * 3600, Verb::List, resource, "ns-1");
        let novelty = judge(&m, &e);
        for family in KeyFamily::ALL {
            let Some(key) = novelty.keys.get(family) else { continue };
            let (i, group) = (family as usize, m.group(Some(profile), profile.class));
            let count = profile.families[i].get(key);
            let nats = m.surprise(Some(profile), group, family, key, count.weight);
            assert_eq!(novelty.nats[i].to_bits(), (nats / (1.0 + f64::from(count.days))).to_bits());
        }
    }
}

/// A memory of keys changes none, however much alike the texts are that it holds, and whoever's keys it held before.
#[test]
fn remembered_keys_are_the_keys() {
    let (one, other) = (KeyHasher::new(1), KeyHasher::new(2));
    let mut memo = KeyMemo::default();
    let texts = ["", "a", "b", "ab", "secrets", "a/b", "a\u{0}b"];
    for round in 0..2 {
        for (group, resource) in texts.iter().flat_map(|g| texts.iter().map(move |r| (g, r))) {
            for (sub, namespace) in [(None, None), (None, Some("a")), (Some(""), None), (Some("b"), Some("a"))] {
                let mut e = event("sa-1", 3600 * round, Verb::Get, resource, "");
                e.object.group = Untrusted::new(*group);
                e.object.subresource = sub.map(Untrusted::new);
                e.object.namespace = namespace.map(Untrusted::new);
                e.object.name = sub.map(Untrusted::new);
                e.user_agent = Some(Untrusted::new(*resource));
                e.source_ip = Some(Untrusted::new(*group));
                e.code = [Some(200), Some(403), None][(round as usize + group.len()) % 3];
                for hasher in [&one, &one, &other] {
                    assert_eq!(Keys::remembering(&e, hasher, &mut memo), Keys::of(&e, hasher), "{e:?}");
                }
            }
        }
    }
}

#[test]
fn invented_texts_do_not_fill_the_memory() {
    let (hasher, mut memo) = (KeyHasher::new(1), KeyMemo::default());
    for i in 0..40_000 {
        let e = event("sa-1", 0, Verb::Get, "pods", &format!("invented-{i}"));
        assert!(Keys::remembering(&e, &hasher, &mut memo).get(KeyFamily::Namespace).is_some());
        assert!(memo.len() <= 2 * memo::MAX_TEXTS);
    }
}
