//! Networks of their own, with a router on the way that loses packets.
//!
//! A relay holds back bytes that were acknowledged already; here it is the kernel's TCP that has to bear it.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::LazyLock;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use super::process::Process;
use super::{DEADLINE, Result, tail, wait_until};

/// A router between this machine's network and one of servers; dropping it removes both.
pub(crate) struct Router {
    router: Namespace,
    servers: Namespace,
    address: Ipv4Addr,
}

/// A network namespace; it lasts as long as the process that holds it.
struct Namespace {
    pid: u32,
    #[expect(dead_code, reason = "its end is that of the namespace")]
    holder: Process,
    #[expect(dead_code, reason = "it is removed with the namespace")]
    logs: TempDir,
}

/// Why there can be no networks of their own here: one is made, once.
pub(crate) fn unavailable() -> Option<String> {
    static REASON: LazyLock<Option<String>> = LazyLock::new(|| {
        let tried = Router::start().and_then(|router| router.lose(0.5));
        let said = tried.err()?.message().unwrap_or_default().to_owned();
        Some(format!(
            "needs root, network namespaces and iptables (Debian: iptables iproute2 procps util-linux): {said}"
        ))
    });
    REASON.clone()
}

impl Router {
    pub(crate) fn start() -> Result<Self> {
        let (router, servers) = (Namespace::new()?, Namespace::new()?);
        // Of the addresses for benchmarks of networks (RFC 2544), eight that no other test run has.
        let first = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + router.pid % (1 << 14) * 8;
        let [here, hop, inner, address] = [1, 2, 5, 6].map(|place| Ipv4Addr::from(first + place));
        // Interfaces vanish with the namespace at one of their ends.
        let outer = format!("leadsman{}", router.pid);
        run(&format!("ip link add {outer} type veth peer name outer netns {}", router.pid))?;
        run(&format!("ip address add {here}/30 dev {outer}"))?;
        run(&format!("ip link set {outer} up"))?;
        router.run(&format!("ip address add {hop}/30 dev outer"))?;
        router.run("ip link set outer up")?;
        router.run(&format!("ip link add inner type veth peer name outer netns {}", servers.pid))?;
        router.run(&format!("ip address add {inner}/30 dev inner"))?;
        router.run("ip link set inner up")?;
        router.run("sysctl -q -w net.ipv4.ip_forward=1")?;
        servers.run(&format!("ip address add {address}/30 dev outer"))?;
        servers.run("ip link set outer up")?;
        servers.run(&format!("ip route add default via {inner}"))?;
        run(&format!("ip route add {address} via {hop}"))?;
        Ok(Self { router, servers, address })
    }

    /// Listens on any port among the servers. What it accepts is served from this process, in this machine's network.
    pub(crate) fn listen(&self) -> Result<TcpListener> {
        let network = File::open(self.servers.path())?;
        let address = (self.address, 0);
        // A thread belongs to a network, and so does what it opens: this one ends with that.
        let opened = std::thread::spawn(move || -> io::Result<TcpListener> {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            TcpListener::bind(address)
        });
        Ok(opened.join().map_err(|_| "the thread in the namespace panicked")??)
    }

    /// From now on it loses this share of the packets, in either direction; all at 1.
    pub(crate) fn lose(&self, share: f64) -> Result<()> {
        self.router.run("iptables -F FORWARD")?;
        self.router.run(&format!("iptables -A FORWARD -m statistic --mode random --probability {share} -j DROP"))?;
        Ok(())
    }

    /// Packets that were lost since [`Router::lose`].
    pub(crate) fn lost(&self) -> Result<u64> {
        let rules = self.router.run("iptables -n -v -x -L FORWARD")?;
        let counted =
            rules.lines().filter(|line| line.contains("DROP")).filter_map(|line| line.split_whitespace().next());
        Ok(counted.map(str::parse::<u64>).sum::<std::result::Result<_, _>>()?)
    }
}

impl Namespace {
    fn new() -> Result<Self> {
        let logs = TempDir::new()?;
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo $$; exec sleep infinity"]);
        let mut holder = Process::spawn(&command, "holder", logs.path())?;
        let pid = wait_until("the namespace is there", DEADLINE, || {
            if let Some(code) = holder.exit_code()? {
                return Err(format!("unshare ended with {code}: {}", tail(&holder.stderr())).into());
            }
            Ok(holder.stdout().trim().parse().ok())
        })?;
        Ok(Self { pid, holder, logs })
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.pid)
    }

    /// Runs a command within.
    fn run(&self, command: &str) -> Result<String> {
        run(&format!("nsenter --net={} {command}", self.path()))
    }
}

/// Runs a command of words without spaces to its end; what it wrote.
fn run(command: &str) -> Result<String> {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap_or_default()).args(words).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("`{command}`: {}", tail(&String::from_utf8_lossy(&output.stderr))).into())
}
