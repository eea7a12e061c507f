//! Peers that live in Python: a virtual environment of their own, and a process that answers line by line.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::report::{Failure, scratch};

/// Packages of the isolation forests that ours is compared with.
pub(crate) const PEERS_OF_FORESTS: &[&str] =
    &["numpy==2.4.6", "scipy==1.17.1", "pandas==3.1.1", "scikit-learn==1.9.1", "isotree==0.6.1.post10", "pyod==3.6.7"];

/// A running script.
pub(crate) struct Peer {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts `script`; `None`, after saying so, where its packages cannot be installed.
    pub(crate) fn start(requirements: &[&str], script: &Path, args: &[&str]) -> Result<Option<Self>, Failure> {
        let Some(python) = environment(requirements)? else { return Ok(None) };
        let mut child =
            Command::new(python).arg(script).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Some(Self { child, questions, answers }))
    }

    /// Sends a line and waits for the answer.
    pub(crate) fn ask(&mut self, question: &str) -> Result<String, Failure> {
        writeln!(self.questions, "{question}")?;
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            return Err(format!("the peer ended at `{question}`").into());
        }
        Ok(answer.trim().to_owned())
    }

    pub(crate) fn number(&mut self, question: &str) -> Result<f64, Failure> {
        Ok(self.ask(question)?.parse()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // it may have ended by itself
        let _already_ended = self.child.kill();
        let _nothing_left = self.child.wait();
    }
}

/// The interpreter of a virtual environment that has `requirements`; `None`, after saying so, where that cannot be.
pub(crate) fn environment(requirements: &[&str]) -> Result<Option<PathBuf>, Failure> {
    let folder = scratch()?.join("python");
    let python = folder.join("bin/python");
    let run = |program: &Path, args: &[&str]| -> bool {
        Command::new(program).args(args).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let made = python.exists() || run(Path::new("python3"), &["-m", "venv", &folder.display().to_string()]);
    let install = [&["-m", "pip", "install", "--quiet", "--disable-pip-version-check"], requirements].concat();
    if made && run(&python, &install) {
        return Ok(Some(python));
    }
    eprintln!("SKIPPED: the peers in Python, because their packages cannot be installed ({})", requirements.join(" "));
    Ok(None)
}
