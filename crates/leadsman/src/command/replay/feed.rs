//! How items reach the service: through its inbox while it stands still, through its API while it runs.

use std::time::Duration;

use anyhow::{Context, Result};
use leadsman_domain::PayloadKind;

use crate::clock;
use crate::config::Config;
use crate::exit::Exit;
use crate::sources::inbox::{Inbox, InboxError, InboxLimits, InboxWriter};

/// How long the service may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

pub(super) enum Feed {
    Inbox(InboxWriter),
    Api { agent: ureq::Agent, base: String, token: Option<String> },
}

impl Feed {
    /// Opens the inbox of the data directory, or remembers the URL and its token.
    ///
    /// Errors: when a service runs on the data directory, or the URL is none that can be posted to.
    pub(super) fn open(url: Option<&str>, token: Option<String>, config: &Config) -> Result<Self> {
        let Some(url) = url else {
            let limits = InboxLimits { max_record: config.server.max_body, ..InboxLimits::default() };
            return match Inbox::open(&config.data_dir.join("inbox"), limits) {
                Ok(writer) => Ok(Self::Inbox(writer)),
                Err(error @ InboxError::Locked { .. }) => {
                    Err(Exit::Failed(format!("{error}; or post to it with --to http://{}", config.server.listen))
                        .into())
                }
                Err(error) => Err(error.into()),
            };
        };
        let base = url.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") {
            return Err(Exit::Usage(format!("--to {url}: give a URL such as http://127.0.0.1:8080")).into());
        }
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_WITHIN))
            .build()
            .into();
        let token = token.map_or_else(|| stored_token(config), |token| Ok(Some(token)))?;
        Ok(Self::Api { agent, base, token })
    }

    /// Hands an item over; when it returns, the item is durable there.
    ///
    /// Errors: when it is not taken.
    pub(super) async fn give(&mut self, kind: PayloadKind, bytes: Vec<u8>) -> Result<()> {
        match self {
            Self::Inbox(writer) => {
                writer.append(kind, bytes, clock::now()).await?;
                Ok(())
            }
            Self::Api { agent, base, token } => post(agent, base, token.as_deref(), kind, &bytes),
        }
    }
}

fn post(agent: &ureq::Agent, base: &str, token: Option<&str>, kind: PayloadKind, bytes: &[u8]) -> Result<()> {
    let (path, content_type, encoding) = match kind {
        PayloadKind::K8sAudit | PayloadKind::Canonical => ("k8s-audit", "application/json", None),
        PayloadKind::MetricJson => ("metrics", "application/x-ndjson", None),
        PayloadKind::PrometheusRemoteWrite => ("prometheus", "application/x-protobuf", Some("snappy")),
    };
    let url = format!("{base}/v1/ingest/{path}");
    let mut request = agent.post(&url).content_type(content_type);
    if let Some(encoding) = encoding {
        request = request.header("content-encoding", encoding);
    }
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = request.send(bytes).with_context(|| format!("{url} does not answer: is the service up?"))?;
    let status = answer.status().as_u16();
    match status {
        200..=299 => Ok(()),
        401 | 403 => Err(Exit::Failed(format!("{url} answered {status}: set LEADSMAN_TOKEN to its token")).into()),
        _ => {
            Err(Exit::Failed(format!("{url} answered {status}: what was fed so far is deleted, the rest stays")).into())
        }
    }
}

/// The token of the service in the file that the configuration names.
fn stored_token(config: &Config) -> Result<Option<String>> {
    let path = config.server.token_file.clone().unwrap_or_else(|| config.data_dir.join("token"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
