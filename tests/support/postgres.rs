//! A real PostgreSQL server in a temporary directory. Tests get a schema each.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

use super::process::Process;
use super::{DEADLINE, Result, free_port, tail, wait_until};

const PASSWORD: &str = "not a secret";

/// A small server whose promises are those of a real one: `fsync` stays on.
const SETTINGS: &str = "\n\
    listen_addresses = '127.0.0.1'\n\
    unix_socket_directories = ''\n\
    fsync = on\n\
    max_connections = 300\n\
    shared_buffers = 32MB\n\
    log_min_messages = warning\n";

static SHARED: Mutex<Option<Arc<Postgres>>> = Mutex::new(None);

/// A running server. Dropping it stops the processes and removes the data.
pub(crate) struct Postgres {
    process: Option<Process>,
    programs: PathBuf,
    /// The server refuses to run as root.
    user: Option<User>,
    port: u16,
    schemas: AtomicU32,
    directory: TempDir,
}

#[derive(Debug, Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

/// The server that tests share; started for the first one that asks.
///
/// A test that stops or kills a server must start its own.
pub(crate) fn shared() -> Result<Arc<Postgres>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.as_ref() {
        return Ok(Arc::clone(server));
    }
    let server = Arc::new(Postgres::start()?);
    *shared = Some(Arc::clone(&server));
    Ok(server)
}

/// Stops the shared server, if it runs.
pub(crate) fn stop_shared() {
    drop(SHARED.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Why no server can run here.
pub(crate) fn unavailable() -> Option<String> {
    programs().err().or_else(|| user().err()).map(|failure| failure.message().unwrap_or_default().to_owned())
}

/// The directory of the newest server's programs. Debian keeps them out of the search path.
fn programs() -> Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let path = env::var_os("PATH").unwrap_or_default();
    let candidates = versions.into_iter().map(|(_, bin)| bin).chain(env::split_paths(&path));
    let complete = |bin: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|program| bin.join(program).is_file());
    candidates.into_iter().find(complete).ok_or_else(|| "needs a PostgreSQL server (Debian: postgresql)".into())
}

/// Whom the server runs as, when the tests run as root.
fn user() -> Result<Option<User>> {
    if number(&["-u"])? != 0 {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let (Ok(uid), Ok(gid)) = (number(&["-u", name]), number(&["-g", name])) {
            return Ok(Some(User { uid, gid }));
        }
    }
    Err("needs a user `postgres` or `nobody`: PostgreSQL does not run as root".into())
}

fn number(arguments: &[&str]) -> Result<u32> {
    let output = Command::new("id").args(arguments).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse::<u32>()?)
}

impl Postgres {
    /// Makes a cluster and starts a server of its own.
    pub(crate) fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let user = user()?;
        let path = directory.path();
        fs::write(path.join("password"), PASSWORD)?;
        // Another user works in here.
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        if let Some(User { uid, gid }) = user {
            chown(path, Some(uid), Some(gid))?;
        }
        let mut server = Self {
            process: None,
            programs: programs()?,
            user,
            port: free_port()?,
            schemas: AtomicU32::new(0),
            directory,
        };
        let data = server.data();
        let mut initdb = server.command("initdb");
        initdb.args(["-U", "leadsman", "-A", "scram-sha-256", "--pwfile=password", "-E", "UTF8", "--no-locale", "-N"]);
        let output = initdb.arg("-D").arg(&data).output()?;
        checked("initdb", &output)?;
        let settings = data.join("postgresql.conf");
        fs::write(&settings, fs::read_to_string(&settings)? + SETTINGS)?;
        server.run()?;
        Ok(server)
    }

    /// Starts the server over the data that is there.
    pub(crate) fn run(&mut self) -> Result<()> {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        self.process = Some(Process::spawn(&command, "postgres", self.directory.path())?);
        wait_until("PostgreSQL is ready", DEADLINE, || {
            let process = self.process.as_mut().ok_or("PostgreSQL was not started")?;
            if let Some(code) = process.exit_code()? {
                let errors = process.stderr();
                // Children of a killed server take a moment to leave.
                if tail(&errors).contains("still in use") {
                    self.process = Some(Process::spawn(&command, "postgres", self.directory.path())?);
                    return Ok(None);
                }
                return Err(format!("PostgreSQL ended with {code}:\n{}", tail(&errors)).into());
            }
            Ok(self.sql("SELECT 1").is_ok().then_some(()))
        })
    }

    /// Kills the server; its children see that and leave.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.signal("KILL")?;
            process.wait(DEADLINE)?;
        }
        Ok(())
    }

    /// Runs statements as the owner of everything.
    pub(crate) fn sql(&self, sql: &str) -> Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        psql.args(["-U", "leadsman", "-d", "postgres", "-c", sql])
            .env("PGPASSWORD", PASSWORD)
            .env("PGCONNECT_TIMEOUT", "5");
        let output = psql.output()?;
        checked("psql", &output)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A new schema; its name.
    pub(crate) fn schema(&self) -> Result<String> {
        let name = format!("test_{}", self.schemas.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE SCHEMA {name}"))?;
        Ok(name)
    }

    /// The address of a schema, with the password.
    pub(crate) fn url(&self, schema: &str) -> String {
        self.url_through((Ipv4Addr::LOCALHOST, self.port).into(), schema)
    }

    /// The same through another address, where something stands in between.
    pub(crate) fn url_through(&self, address: SocketAddr, schema: &str) -> String {
        let password = PASSWORD.replace(' ', "%20");
        format!("postgres://leadsman:{password}@{address}/postgres?options=-c%20search_path%3D{schema}")
    }

    /// Switches TLS on, with a certificate and its key as PEM.
    pub(crate) fn encrypt(&self, certificate: &str, key: &str) -> Result<()> {
        for (name, pem) in [("server.crt", certificate), ("server.key", key)] {
            let path = self.data().join(name);
            fs::write(&path, pem)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            self.own(&path)?;
        }
        self.sql("ALTER SYSTEM SET ssl = on")?;
        self.sql("SELECT pg_reload_conf()")?;
        wait_until("the server encrypts", DEADLINE, || Ok((self.sql("SHOW ssl")? == "on").then_some(())))
    }

    /// Lets the server write to a directory.
    pub(crate) fn own(&self, directory: &Path) -> Result<()> {
        match self.user {
            Some(User { uid, gid }) => Ok(chown(directory, Some(uid), Some(gid))?),
            None => Ok(()),
        }
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A program of the server, as a user that it accepts.
    fn command(&self, program: &str) -> Command {
        let program: &Path = &self.programs.join(program);
        let mut command = match self.user {
            None => Command::new(program),
            Some(User { uid, gid }) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
                command.arg(program);
                command
            }
        };
        command.current_dir(self.directory.path());
        command
    }
}

fn checked(program: &str, output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} failed: {}", tail(&String::from_utf8_lossy(&output.stderr))).into())
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // On TERM, which stopping sends, the server would wait for its clients to leave.
        if let Some(process) = &mut self.process
            && let Err(failure) = process.signal("INT")
        {
            eprintln!("PostgreSQL was not told to stop: {}", failure.message().unwrap_or_default());
        }
    }
}
