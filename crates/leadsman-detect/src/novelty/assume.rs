use leadsman_domain::{ActorClass, AuditEvent, identifier};

use super::{EventNovelty, KeyFamily, Keys, NoveltyModel, NoveltyState, observed};

/// Hours of history that make anything a habit: six weeks, day and night.
pub const KNOWN_HOURS: u32 = 1_000;
/// A key this little surprising, in nats, is not worth telling.
const MIN_NATS: f64 = 0.1;

impl NoveltyModel {
    /// How surprising the event behind `judged` would have been, had the actor done `known` for [`KNOWN_HOURS`].
    #[must_use]
    pub fn if_known(
        &self,
        actor: &str,
        class: ActorClass,
        judged: &EventNovelty,
        known: &[(KeyFamily, u64)],
    ) -> EventNovelty {
        let (profile, group) = (self.actor(actor), self.judging(self.group_of(actor, class)));
        let (mut nats, mut first) = (judged.nats, judged.first);
        let mut known_action = None;
        for &(family, key) in known.iter().filter(|(family, key)| judged.keys.get(*family) == Some(*key)) {
            let trained = profile.map_or(0.0, |p| p.families[family as usize].get(key).weight);
            let own = trained + f64::from(KNOWN_HOURS);
            let surprise = self.surprise(profile, group, family, key, own);
            nats[family as usize] = surprise.min(judged.nats[family as usize]);
            first[family as usize] = false;
            if family == KeyFamily::Action {
                known_action = Some(own);
            }
        }
        let hours_before = if judged.sensitivity > 0.0 { judged.weight / judged.sensitivity - 1.0 } else { 0.0 };
        EventNovelty::new(judged.keys, nats, first, judged.weight, known_action.unwrap_or(hours_before))
    }

    /// What there is to tell of each habit that would change how surprising `event` is.
    #[must_use]
    pub fn telling(event: &AuditEvent, judged: &EventNovelty) -> Vec<(KeyFamily, String)> {
        let weighs = judged.sensitivity > MIN_NATS;
        let tells = |f: KeyFamily| judged.nats[f as usize] > MIN_NATS || (weighs && f == KeyFamily::Action);
        let told = |habit: KeyFamily| habit_of(habit).iter().any(|f| judged.keys.get(*f).is_some() && tells(*f));
        HABITS.into_iter().filter(|habit| told(*habit)).map(|habit| (habit, tell(event, habit))).collect()
    }

    /// Lets `state` take what an event shows of `habit` for known: what a counterfactual asks for.
    pub fn assume_known(&self, event: &AuditEvent, habit: KeyFamily, state: &mut NoveltyState) {
        let keys = Keys::of(event, &self.hasher);
        for (family, key) in habit_keys(&keys, habit) {
            state.assume(&event.actor.name, family, key, KNOWN_HOURS, event.event_time.hour());
        }
    }
}

/// Families that name a habit; an action stands for its place and result as well.
const HABITS: [KeyFamily; 6] = [
    KeyFamily::Action,
    KeyFamily::Client,
    KeyFamily::Source,
    KeyFamily::SecretName,
    KeyFamily::Identity,
    KeyFamily::HourOfWeek,
];

fn habit_of(habit: KeyFamily) -> &'static [KeyFamily] {
    match habit {
        KeyFamily::Action | KeyFamily::Namespace | KeyFamily::Outcome => {
            &[KeyFamily::Action, KeyFamily::Namespace, KeyFamily::Outcome]
        }
        KeyFamily::Client => &[KeyFamily::Client],
        KeyFamily::Source => &[KeyFamily::Source],
        KeyFamily::SecretName => &[KeyFamily::SecretName],
        KeyFamily::Identity => &[KeyFamily::Identity],
        KeyFamily::HourOfWeek => &[KeyFamily::HourOfWeek],
    }
}

/// The keys that make up a habit.
pub fn habit_keys(keys: &Keys, habit: KeyFamily) -> impl Iterator<Item = (KeyFamily, u64)> {
    habit_of(habit).iter().filter_map(|f| keys.get(*f).map(|key| (*f, key)))
}

/// What an event shows of a habit, rendered safe for a sentence.
#[must_use]
pub fn tell(event: &AuditEvent, habit: KeyFamily) -> String {
    match (habit, &event.object.namespace) {
        // A failed request is no action, it has a result.
        (KeyFamily::Action, _) if !event.succeeded() && event.code.is_some() => observed(event, KeyFamily::Outcome),
        (KeyFamily::Action, Some(ns)) => [&observed(event, KeyFamily::Action), " in ", &*identifier(ns.raw())].concat(),
        (habit, _) => observed(event, habit),
    }
}
