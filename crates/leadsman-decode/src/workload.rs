/// The letters of generated names: no vowels and none that look alike.
/// Source: `k8s.io/apimachinery/pkg/util/rand`.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The workload that a pod belongs to, by its name.
///
/// Strips what controllers append: `-<hash>-<5 letters>` (Deployment), `-<5 letters>` (DaemonSet, Job; with
/// `-<schedule time>` before it for a CronJob) and `-<ordinal>` (StatefulSet). A name without such an end is
/// its own workload. It is a guess: a StatefulSet whose name happens to end like a hash loses that end too.
#[must_use]
pub fn workload_of_pod(pod: &str) -> &str {
    let Some((owner, last)) = split(pod) else { return pod };
    if last.len() == 5 && is_generated(last) {
        return match split(owner) {
            Some((deployment, hash)) if (6..=10).contains(&hash.len()) && is_generated(hash) => deployment,
            Some((cron_job, time)) if (8..=10).contains(&time.len()) && is_number(time) => cron_job,
            _ => owner,
        };
    }
    if last.len() <= 4 && is_number(last) { owner } else { pod }
}

fn split(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('-').filter(|(owner, _)| !owner.is_empty())
}

fn is_generated(text: &str) -> bool {
    text.bytes().all(|b| ALPHABET.contains(&b))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
