//! A real Prometheus that scrapes itself and writes on to a URL.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::http::Http;
use super::process::Process;
use super::{DEADLINE, Result, free_port, tail, wait_until};

/// A running Prometheus. Dropping it stops the process and removes its data.
pub(crate) struct Prometheus {
    process: Process,
    http: Http,
    _directory: Option<TempDir>,
}

/// Why Prometheus cannot run here.
pub(crate) fn unavailable() -> Option<String> {
    let runs = |program| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    let all = runs("prometheus") && runs("promtool");
    (!all).then(|| "needs the programs prometheus and promtool (Debian: prometheus)".to_owned())
}

impl Prometheus {
    /// Starts it, scraping itself every second and writing to `remote_write` with a bearer token.
    pub(crate) fn start(remote_write: &str, token: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let address = format!("127.0.0.1:{}", free_port()?);
        fs::write(directory.path().join("token"), token)?;
        fs::write(
            directory.path().join("prometheus.yml"),
            format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{cluster: test}}}}\n\
                 scrape_configs: [{{job_name: self, static_configs: [{{targets: ['{address}']}}]}}]\n\
                 remote_write:\n\
                 - url: '{remote_write}'\n\
                 \x20 authorization: {{credentials_file: token}}\n\
                 \x20 queue_config: {{batch_send_deadline: 1s}}\n"
            ),
        )?;
        let mut started = Self::launch(
            &["--config.file=prometheus.yml".to_owned(), "--storage.tsdb.path=data".to_owned()],
            directory.path(),
            &address,
        )?;
        started._directory = Some(directory);
        started.wait_ready()?;
        Ok(started)
    }

    /// Starts it with these arguments in a directory of the caller's, on a port of its own.
    pub(crate) fn start_as(arguments: &[String], directory: &Path) -> Result<Self> {
        let mut started = Self::launch(arguments, directory, &format!("127.0.0.1:{}", free_port()?))?;
        started.wait_ready()?;
        Ok(started)
    }

    fn launch(arguments: &[String], directory: &Path, address: &str) -> Result<Self> {
        let mut command = Command::new("prometheus");
        command
            .args(arguments)
            .args(["--log.level=warn", &format!("--web.listen-address={address}")])
            .current_dir(directory);
        let process = Process::spawn(&command, "prometheus", directory)?;
        Ok(Self { process, http: Http::new(format!("http://{address}"), None), _directory: None })
    }

    fn wait_ready(&mut self) -> Result<()> {
        let Self { process, http, .. } = self;
        wait_until("prometheus is ready", DEADLINE, || {
            if let Some(code) = process.exit_code()? {
                return Err(format!("prometheus ended with {code}:\n{}", tail(&process.stderr())).into());
            }
            Ok(http.get("/-/ready").is_ok_and(|answer| answer.status == 200).then_some(()))
        })
    }

    /// Its own API.
    pub(crate) fn http(&self) -> &Http {
        &self.http
    }
}
