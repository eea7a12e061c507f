//! A TCP proxy that loses what it is told to lose.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to the next `COMMIT` that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fate {
    /// It passes, and so does its answer.
    Pass,
    /// The server never gets it, and the connection ends.
    LoseCommit,
    /// The server gets it; the connection ends instead of bringing the answer.
    LoseAnswer,
    /// Neither side hears of the other again, and the connection stays.
    Stall,
}

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    fate: Arc<AtomicU8>,
}

impl Proxy {
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fate = Arc::new(AtomicU8::new(Fate::Pass as u8));
        let next = Arc::clone(&fate);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(relay(client, upstream, Arc::clone(&next)));
            }
        });
        Self { address, fate }
    }

    /// Decides about the next `COMMIT`; those after it pass.
    pub(crate) fn next_commit(&self, fate: Fate) {
        self.fate.store(fate as u8, Ordering::SeqCst);
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, fate: Arc<AtomicU8>) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            Ok(n) = client.read(&mut up) => {
                if n == 0 { return; }
                let chunk = &up[..n];
                let is_commit = chunk.windows(7).any(|window| window == b"COMMIT\0");
                let now = if is_commit { fate.swap(Fate::Pass as u8, Ordering::SeqCst) } else { Fate::Pass as u8 };
                if now == Fate::LoseCommit as u8 { return; }
                if now == Fate::Stall as u8 { std::future::pending::<()>().await; }
                if server.write_all(chunk).await.is_err() { return; }
                if now == Fate::LoseAnswer as u8 {
                    // Once the server answers, it has committed.
                    let answered = server.read(&mut down).await.unwrap();
                    assert!(answered > 0);
                    return;
                }
            }
            Ok(n) = server.read(&mut down) => {
                if n == 0 || client.write_all(&down[..n]).await.is_err() { return; }
            }
            else => return,
        }
    }
}
