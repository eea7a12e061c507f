//! Techniques of MITRE ATT&CK, by id.

use leadsman_domain::Technique;

/// Version of MITRE ATT&CK that ids and tactic names are taken from. v19 split Defense Evasion.
pub const ATTACK_VERSION: &str = "19";

/// Names of the techniques that telemetry of a cluster shows traces of.
const NAMES: [(&str, &str); 29] = [
    ("T1021", "Remote Services"),
    ("T1036.005", "Masquerading: Match Legitimate Resource Name or Location"),
    ("T1053.007", "Scheduled Task/Job: Container Orchestration Job"),
    ("T1069.003", "Permission Groups Discovery: Cloud Groups"),
    ("T1070", "Indicator Removal"),
    ("T1078", "Valid Accounts"),
    ("T1078.001", "Valid Accounts: Default Accounts"),
    ("T1090", "Proxy"),
    ("T1098", "Account Manipulation"),
    ("T1098.006", "Account Manipulation: Additional Container Cluster Roles"),
    ("T1133", "External Remote Services"),
    ("T1136", "Create Account"),
    ("T1190", "Exploit Public-Facing Application"),
    ("T1485", "Data Destruction"),
    ("T1496", "Resource Hijacking"),
    ("T1528", "Steal Application Access Token"),
    ("T1530", "Data from Cloud Storage"),
    ("T1543.005", "Create or Modify System Process: Container Service"),
    ("T1546", "Event Triggered Execution"),
    ("T1550.001", "Use Alternate Authentication Material: Application Access Token"),
    ("T1552.001", "Unsecured Credentials: Credentials In Files"),
    ("T1552.005", "Unsecured Credentials: Cloud Instance Metadata API"),
    ("T1552.007", "Unsecured Credentials: Container API"),
    ("T1557", "Adversary-in-the-Middle"),
    ("T1562", "Impair Defenses"),
    ("T1609", "Container Administration Command"),
    ("T1610", "Deploy Container"),
    ("T1611", "Escape to Host"),
    ("T1613", "Container and Resource Discovery"),
];

/// A technique under one of its tactics. One that is not in the table is named by its id.
#[must_use]
pub fn technique(tactic: &str, id: &str) -> Technique {
    let name = NAMES.iter().find(|(known, _)| *known == id).map_or(id, |(_, name)| name);
    Technique {
        framework: "attack".to_owned(),
        version: ATTACK_VERSION.to_owned(),
        tactic: tactic.to_owned(),
        id: id.to_owned(),
        name: name.to_owned(),
    }
}

/// The techniques of a Sigma rule's tags. Sigma tags tactics and techniques apart: the first tactic counts for all.
pub(crate) fn of_tags(tags: &[&str]) -> Vec<Technique> {
    let names: Vec<&str> = tags.iter().filter_map(|t| t.strip_prefix("attack.")).collect();
    let is_id = |n: &str, letters: &[char]| {
        n.strip_prefix(letters).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    };
    let tactic = names.iter().find(|n| !is_id(n, &['t', 's', 'g'])).map_or_else(String::new, |n| title_case(n));
    let techniques = names.iter().filter(|n| is_id(n, &['t']));
    techniques.map(|n| technique(&tactic, &n.to_ascii_uppercase())).collect()
}

/// `command-and-control` and `command_and_control` to `Command and Control`.
fn title_case(tag: &str) -> String {
    let word = |w: &str| match w {
        "and" => w.to_owned(),
        _ => w.chars().take(1).flat_map(char::to_uppercase).chain(w.chars().skip(1)).collect(),
    };
    tag.split(['-', '_']).map(word).collect::<Vec<String>>().join(" ")
}
