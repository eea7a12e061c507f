use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use tempfile::NamedTempFile;
use tokio::runtime::Runtime;
use tokio_stream::StreamExt;

use super::{Storage, Stored};
use crate::lake::error::LakeError;

/// A file is sent in parts of this size when it has more than one.
const PART: usize = 8 << 20;

/// How object storage is reached.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// URL of a server other than Amazon's.
    pub endpoint: Option<String>,
    /// Region; where none is named, that of `AWS_REGION`, else `us-east-1`.
    pub region: Option<String>,
    /// Whether an endpoint without TLS may be used.
    pub allow_http: bool,
    /// `AWS_` variables, for credentials above all.
    pub variables: BTreeMap<String, String>,
}

/// Shows the names of the variables only: their values may be secret.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("allow_http", &self.allow_http)
            .field("variables", &self.variables.keys())
            .finish()
    }
}

/// A lake in S3-compatible object storage.
#[derive(Debug)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// In front of every key; empty or ends in a slash.
    prefix: String,
    /// Drives the requests; `None` once it is shut down.
    runtime: Option<Runtime>,
}

impl Bucket {
    /// The part of the bucket `bucket` below `prefix`.
    ///
    /// Errors: [`LakeError::Settings`] when bucket and access do not fit together.
    pub fn open(bucket: &str, prefix: &str, access: &Access) -> Result<Self, LakeError> {
        let wrong = |cause| LakeError::Settings { bucket: bucket.to_owned(), cause };
        let mut builder = AmazonS3Builder::new();
        for (name, value) in &access.variables {
            // Variables that mean nothing here belong to other programs.
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        builder = builder.with_bucket_name(bucket).with_allow_http(access.allow_http);
        if let Some(endpoint) = &access.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(region) = &access.region {
            builder = builder.with_region(region);
        }
        Self::with(Arc::new(builder.build().map_err(wrong)?), prefix)
    }

    /// Any object store, for tests.
    ///
    /// Errors: [`LakeError::Io`] when there is no room for a thread.
    pub fn with(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, LakeError> {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("lake")
            .enable_all()
            .build()
            .map_err(LakeError::io("start a thread for", std::path::Path::new(&prefix)))?;
        Ok(Self { store, prefix, runtime: Some(runtime) })
    }

    fn wait<T>(
        &self,
        what: &'static str,
        key: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, LakeError> {
        let Some(runtime) = &self.runtime else { return Err(shut_down(what, key)) };
        runtime.block_on(work).map_err(LakeError::bucket(what, key))
    }

    fn path(&self, key: &str) -> Result<Path, Error> {
        Ok(Path::parse(format!("{}{key}", self.prefix))?)
    }
}

/// A runtime must not end inside of another one while it waits for its threads.
impl Drop for Bucket {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Storage for Bucket {
    fn draft(&self) -> Result<NamedTempFile, LakeError> {
        NamedTempFile::new().map_err(LakeError::io("write to", &std::env::temp_dir()))
    }

    fn publish(&self, draft: NamedTempFile, key: &str) -> Result<(), LakeError> {
        let mut file = draft.reopen().map_err(LakeError::io("read", draft.path()))?;
        let mut read = || -> Result<Vec<u8>, Error> {
            let mut part = Vec::new();
            Read::by_ref(&mut file).take(PART as u64).read_to_end(&mut part).map_err(local)?;
            Ok(part)
        };
        self.wait("write", key, async {
            let (path, first) = (self.path(key)?, read()?);
            if first.len() < PART {
                return self.store.put(&path, first.into()).await.map(drop);
            }
            let mut upload = self.store.put_multipart(&path).await?;
            let mut part = first;
            let sent = async {
                while !part.is_empty() {
                    upload.put_part(part.into()).await?;
                    part = read()?;
                }
                upload.complete().await
            };
            if let Err(error) = sent.await {
                // Parts that nobody asks for again cost money until somebody removes them. The first error is the one
                // to tell.
                drop(upload.abort().await);
                return Err(error);
            }
            Ok(())
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<Stored>, LakeError> {
        self.wait("list", prefix, async {
            let below = self.path(prefix.trim_end_matches('/'))?;
            let mut objects = self.store.list(Some(&below));
            let mut found = Vec::new();
            while let Some(object) = objects.next().await {
                let object = object?;
                if let Some(key) = object.location.as_ref().strip_prefix(&self.prefix) {
                    found.push(Stored { key: key.to_owned(), bytes: object.size });
                }
            }
            found.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(found)
        })
    }

    fn open(&self, key: &str) -> Result<Option<File>, LakeError> {
        self.wait("read", key, async {
            let found = match self.store.get(&self.path(key)?).await {
                Err(Error::NotFound { .. }) => return Ok(None),
                found => found?,
            };
            // On disk rather than in memory: it is read a row group at a time.
            let mut file = tempfile::tempfile().map_err(local)?;
            let mut bytes = found.into_stream();
            while let Some(part) = bytes.next().await {
                file.write_all(&part?).map_err(local)?;
            }
            file.rewind().map_err(local)?;
            Ok(Some(file))
        })
    }

    fn remove(&self, key: &str) -> Result<(), LakeError> {
        self.wait("remove", key, async {
            match self.store.delete(&self.path(key)?).await {
                Err(Error::NotFound { .. }) => Ok(()),
                removed => removed,
            }
        })
    }

    fn tidy(&self) -> Result<(), LakeError> {
        Ok(())
    }
}

/// A failure of the local disk in the middle of a request.
fn local(cause: io::Error) -> Error {
    Error::Generic { store: "temporary file", source: Box::new(cause) }
}

fn shut_down(action: &'static str, key: &str) -> LakeError {
    let cause = local(io::Error::other("the lake was closed"));
    LakeError::Bucket { action, key: key.to_owned(), cause }
}
