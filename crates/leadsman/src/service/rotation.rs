//! Certificates that are renewed while the service runs.
//!
//! librdkafka reads them when a client is made and never again. When the files change, the whole service drains and
//! starts anew within the process: state and positions are in the store, so nothing is lost or done twice.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(5);
/// Settings of librdkafka that name a file it reads once.
const LOCATIONS: [&str; 5] =
    ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location", "ssl.crl.location"];

/// Files, by what tells an old content from a new one.
#[derive(Debug)]
pub struct Certificates {
    paths: Vec<PathBuf>,
    /// When the clients were made.
    used: Vec<Option<Stamp>>,
    /// At the last look.
    last: Vec<Option<Stamp>>,
}

/// A renewed file has another time, length or, behind a link that was moved, another number.
type Stamp = (i64, i64, u64, u64);

impl Certificates {
    /// The files that settings of librdkafka name, as they are now.
    #[must_use]
    pub fn of(properties: &BTreeMap<String, String>) -> Self {
        let paths = LOCATIONS.iter().filter_map(|key| properties.get(*key)).map(PathBuf::from).collect();
        let mut files = Self { paths, used: Vec::new(), last: Vec::new() };
        files.used = files.stamps();
        files.last.clone_from(&files.used);
        files
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let stamp = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
        };
        self.paths.iter().map(stamp).collect()
    }

    /// Completes when the files have changed and come to rest.
    pub async fn changed(&mut self) {
        while !self.look() {
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Whether the files differ from those in use and are as they were at the last look: a certificate and its key are
    /// two files, and one that is missing is about to be replaced.
    fn look(&mut self) -> bool {
        let now = self.stamps();
        let at_rest = now == self.last && now.iter().all(Option::is_some);
        self.last = now;
        at_rest && self.last != self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewed_files_are_noticed_once_they_are_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["ca.pem", "client.pem"] {
            std::fs::write(path(name), name).unwrap();
        }
        let properties = BTreeMap::from([
            ("ssl.ca.location".to_owned(), path("ca.pem").display().to_string()),
            ("ssl.certificate.location".to_owned(), path("client.pem").display().to_string()),
            ("sasl.username".to_owned(), "leadsman".to_owned()),
        ]);
        let mut files = Certificates::of(&properties);
        let mut looks = |n: usize| (0..n).map(|_| files.look()).collect::<Vec<_>>();
        assert_eq!(looks(3), [false; 3], "nothing changed");
        std::fs::remove_file(path("client.pem")).unwrap();
        assert_eq!(looks(3), [false; 3], "half of it is missing");
        std::fs::write(path("client.pem"), "renewed").unwrap();
        assert_eq!(looks(2), [false, true], "it must come to rest");
        let mut again = Certificates::of(&properties);
        assert!(!again.look() && !again.look(), "it is in use");
        let mut none = Certificates::of(&BTreeMap::new());
        assert!(!none.look() && !none.look());
    }
}
