//! Over a real socket.

use std::net::SocketAddr;
use std::time::Duration;

use leadsman_api::{ApiConfig, ServeError, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fake::{Fake, JOB, TOKEN, api, config};

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ServeError>>,
}

async fn start(fake: Fake, config: ApiConfig) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (router, _) = api(fake, config);
    let shutdown = async move { stopped.await.unwrap_or_default() };
    Running { address, stop, server: tokio::spawn(serve(listener, router, shutdown)) }
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
    }
}

async fn connect(address: SocketAddr, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_posts_and_reads() {
    let running = start(Fake::default(), config()).await;
    let base = format!("http://{}", running.address);
    let statuses = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let token = format!("Bearer {TOKEN}");
        let post = agent.post(format!("{base}/v1/ingest/k8s-audit")).header("authorization", &token);
        let get = agent.get(format!("{base}/v1/findings?limit=2")).header("authorization", &token);
        let mut found = get.call().unwrap();
        let page: serde_json::Value = found.body_mut().read_json().unwrap();
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
        let unknown = agent.get(format!("{base}/v1/findings")).call().unwrap();
        [post.send("{}").unwrap().status(), found.status(), unknown.status()].map(|s| s.as_u16())
    });
    assert_eq!(statuses.await.unwrap(), [200, 200, 401]);
    running.stop().await;
}

#[tokio::test]
async fn an_announced_flood_is_refused_before_it_is_sent() {
    let running = start(Fake::default(), ApiConfig { max_body: 1_000, ..config() }).await;
    let head = format!(
        "POST /v1/ingest/k8s-audit HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 999999999\r\n\r\n"
    );
    let mut stream = connect(running.address, &head).await;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    drop(stream);
    running.stop().await;
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let running = start(Fake::default(), config()).await;
    let head = format!("GET /livez HTTP/1.1\r\n{}\r\n", "x: a\r\n".repeat(65));
    let mut stream = connect(running.address, &head).await;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 431");
    drop(stream);
    running.stop().await;
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let running = start(Fake::default(), config()).await;
    let mut stream = connect(running.address, "GET /livez HTTP/1.1\r\nx: ").await;
    // The server answers 431 and closes; with data of ours unread, that may reach us as a reset.
    let mut sent = 0;
    while sent < 64 << 20 && stream.write_all(&[b'a'; 4096]).await.is_ok() {
        sent += 4096;
    }
    assert!(sent < 64 << 20);
    running.stop().await;
}

#[tokio::test]
async fn shutdown_lets_a_running_request_finish() {
    let (open, gate) = oneshot::channel();
    let (entered, has_entered) = oneshot::channel();
    let fake = Fake { gate: Some(gate).into(), entered: Some(entered).into(), ..Fake::default() };
    let running = start(fake, config()).await;
    let head = format!(
        "POST /v1/ingest/k8s-audit HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 1\r\n\r\nx"
    );
    let mut stream = connect(running.address, &head).await;
    has_entered.await.unwrap();
    running.stop.send(()).unwrap();
    open.send(()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    running.server.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_open_event_stream_does_not_hold_up_the_shutdown() {
    let running = start(Fake { endless_job: true, ..Fake::default() }, config()).await;
    let head = format!("GET /v1/jobs/{JOB}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    let mut stream = connect(running.address, &head).await;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    tokio::time::timeout(Duration::from_secs(5), running.stop()).await.unwrap();
}
