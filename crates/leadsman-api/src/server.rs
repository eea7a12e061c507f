//! The listener: bounded heads, bounded connections, and a drain with an end.
//!
//! `axum::serve` offers no limit for slow or endless request heads, so connections run on hyper directly.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_stream::Stream;
use tower::ServiceExt;

/// Most connections at once; further ones wait in the backlog of the listener.
const MAX_CONNECTIONS: usize = 1_024;
/// How long a client may take to send a request head, and how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long running requests may take after the shutdown signal.
const DRAIN: Duration = Duration::from_secs(10);
/// Pause after a failed accept: running out of file descriptors would otherwise spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener was not set up.
    #[error("the listener has no local address: {0}")]
    Listener(#[from] std::io::Error),
    /// The drain took too long and the rest was cut off.
    #[error("{connections} connections were still open {} s after the shutdown signal and were closed", DRAIN.as_secs())]
    DrainTimeout {
        /// How many.
        connections: usize,
    },
}

/// Serves `router` until `shutdown` resolves, then lets running requests finish for ten seconds.
///
/// Errors: [`ServeError::DrainTimeout`] when connections had to be cut; nothing acknowledged is lost by that.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "api listening");
    let (stop, stopped) = watch::channel(());
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
            // Finished connections are collected as they end, so that the set does not grow.
            Some(_) = connections.join_next() => continue,
        };
        if let Some((stream, slot)) = accepted {
            let connection = connection(stream, router.clone(), stopped.clone());
            connections.spawn(async move {
                connection.await;
                drop(slot);
            });
        }
    }
    drop(listener);
    drop(stopped);
    stop.send_replace(());
    drain(connections).await
}

async fn drain(mut connections: JoinSet<()>) -> Result<(), ServeError> {
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, all).await.is_ok() {
        return Ok(());
    }
    let open = connections.len();
    connections.shutdown().await;
    Err(ServeError::DrainTimeout { connections: open })
}

type Slot = tokio::sync::OwnedSemaphorePermit;

/// The next connection. `None` when the attempt failed; the cause is the client's or passes by itself.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, Slot)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            tracing::warn!(%error, "connection not accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, router: Router, stopped: watch::Receiver<()>) {
    // Without this an answer of two small writes waits for the peer's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection is gone");
        return;
    }
    let shutdown = Shutdown(stopped.clone());
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(shutdown.clone());
        let router = router.clone();
        async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    let mut stop = std::pin::pin!(changed(stopped));
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = stop.as_mut() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn changed(mut stopped: watch::Receiver<()>) {
    // An error means that the server itself is gone, which is a shutdown too.
    let _gone = stopped.changed().await.is_err();
}

/// Tells a long-lived response that the server is going away.
#[derive(Clone)]
pub(crate) struct Shutdown(watch::Receiver<()>);

impl Shutdown {
    /// Ends `stream` at shutdown, so that an open event stream does not hold up the drain.
    pub(crate) fn end<S>(self, stream: S) -> UntilShutdown<S> {
        UntilShutdown { stream, stop: Box::pin(changed(self.0)) }
    }
}

pub(crate) struct UntilShutdown<S> {
    stream: S,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S: Stream + Unpin> Stream for UntilShutdown<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if self.stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.stream).poll_next(cx)
    }
}
