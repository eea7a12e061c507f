//! A server of object storage that checks signatures, over HTTP on this machine, with its objects in a directory.

use std::collections::BTreeMap;
use std::fs;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use leadsman::lake::Access;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const KEY_ID: &str = "tester";
const KEY: &str = "tester-secret";

/// A server with the bucket `telemetry`; it ends when it is dropped.
pub(crate) struct Server {
    endpoint: String,
    _objects: TempDir,
    _runtime: Runtime,
}

impl Server {
    /// Starts it on a free port.
    pub(crate) fn start() -> Self {
        let objects = tempfile::tempdir().expect("a directory");
        fs::create_dir(objects.path().join("telemetry")).expect("a bucket");
        let service = {
            let mut builder = S3ServiceBuilder::new(FileSystem::new(objects.path()).expect("a place for objects"));
            builder.set_auth(SimpleAuth::from_single(KEY_ID, KEY));
            builder.build()
        };
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    // A client that leaves in the middle is no failure of the server.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(socket), service).await);
                });
            }
        });
        Self { endpoint, _objects: objects, _runtime: runtime }
    }

    /// How it is reached.
    pub(crate) fn access(&self) -> Access {
        let credentials = [("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", KEY)];
        Access {
            endpoint: Some(self.endpoint.clone()),
            region: None,
            allow_http: true,
            variables: credentials
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
        }
    }

    /// The same for the program.
    pub(crate) fn variables(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("LEADSMAN_LAKE__ENDPOINT", &self.endpoint),
            ("LEADSMAN_LAKE__ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", KEY),
        ]
    }
}
