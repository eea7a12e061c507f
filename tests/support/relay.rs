//! A TCP relay between a client and a server: it passes, stands still, cuts or loses.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::Result;

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They pass.
    Pass,
    /// No byte passes and none is closed, as when packets are dropped on the way. What was sent meanwhile comes later.
    Stall,
    /// They end, and new ones end at once.
    Cut,
    /// Chunks come late, and every so many bytes a connection ends.
    Lossy,
}

/// Bytes that pass before a lossy connection ends, in one direction: each time another number of these.
const UNTIL_CUT: std::ops::Range<u64> = 500_000..2_000_000;
/// A chunk of a lossy connection comes later by less than this.
const DELAY_MS: u64 = 8;
/// The most that is passed on at a time.
const CHUNK: usize = 16 << 10;

/// A running relay; dropping it ends every connection.
pub(crate) struct Relay {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    cuts: watch::Receiver<u64>,
    _runtime: Runtime,
}

impl Relay {
    /// Passes on from `listener` to `server`. The dice of a lossy relay follow `seed`.
    pub(crate) fn start(listener: TcpListener, server: String, seed: u64) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let listener = runtime.block_on(async { tokio::net::TcpListener::from_std(listener) })?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let (count, cuts) = watch::channel(0);
        runtime.spawn(async move {
            let mut dice = ChaCha8Rng::seed_from_u64(seed);
            while let Ok((client, _)) = listener.accept().await {
                let ends = [dice.random(), dice.random()].map(ChaCha8Rng::seed_from_u64);
                tokio::spawn(relay(client, server.clone(), modes.clone(), ends, count.clone()));
            }
        });
        Ok(Self { address, mode, cuts, _runtime: runtime })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Connections that were lost, so that a test can tell that there was something to bear.
    pub(crate) fn lost(&self) -> u64 {
        *self.cuts.borrow()
    }
}

async fn relay(
    client: TcpStream,
    server: String,
    mut mode: watch::Receiver<Mode>,
    [up, down]: [ChaCha8Rng; 2],
    cuts: watch::Sender<u64>,
) {
    if not_stalled(&mut mode).await == Some(Mode::Cut) {
        return;
    }
    let Ok(upstream) = TcpStream::connect(server).await else { return };
    // Small answers must not wait for an acknowledgement.
    if client.set_nodelay(true).and_then(|()| upstream.set_nodelay(true)).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), upstream.into_split());
    let (up, down) = (pump(from_client, to_server, mode.clone(), up), pump(from_server, to_client, mode.clone(), down));
    let lost = tokio::select! {
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => true,
        lost = up => lost,
        lost = down => lost,
    };
    if lost {
        cuts.send_modify(|count| *count += 1);
    }
}

/// Passes on until an end closes or the connection is lost; tells whether it was lost.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    mut dice: ChaCha8Rng,
) -> bool {
    let mut chunk = vec![0; CHUNK];
    let mut left = dice.random_range(UNTIL_CUT);
    loop {
        let read = from.read(&mut chunk).await;
        // That an end has closed must not get through either.
        let now = not_stalled(&mut mode).await;
        let Ok(n @ 1..) = read else { return false };
        if now == Some(Mode::Lossy) {
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..DELAY_MS))).await;
            left = left.saturating_sub(n as u64);
            if left == 0 {
                return true;
            }
        }
        if to.write_all(&chunk[..n]).await.is_err() {
            return false;
        }
    }
}

/// The mode, once it is not to stand still; `None` when the relay is gone.
async fn not_stalled(mode: &mut watch::Receiver<Mode>) -> Option<Mode> {
    mode.wait_for(|mode| *mode != Mode::Stall).await.ok().map(|mode| *mode)
}
