//! A real Prometheus reaches a remote-write receiver.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::support::prometheus::Prometheus;
use crate::support::{Case, Need, Result};

pub(crate) const CASES: &[Case] =
    &[Case { name: "prometheus::writes_with_its_token", needs: &[Need::Prometheus], run: writes_with_its_token }];

fn writes_with_its_token() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("http://{}/write", listener.local_addr()?);
    let prometheus = Prometheus::start(&url, "a-token")?;
    assert_eq!(prometheus.http().get("/api/v1/status/buildinfo")?.json["status"], "success");
    let (headers, body) = receive(listener.accept()?.0)?;
    assert_eq!(headers.get("authorization").map(String::as_str), Some("Bearer a-token"));
    assert_eq!(headers.get("content-encoding").map(String::as_str), Some("snappy"));
    let request = snap::raw::Decoder::new().decompress_vec(&body)?;
    assert!(String::from_utf8_lossy(&request).contains("__name__"));
    Ok(())
}

/// One request: its headers, names in lower case, and its body.
fn receive(stream: TcpStream) -> Result<(BTreeMap<String, String>, Vec<u8>)> {
    stream.set_read_timeout(Some(crate::support::DEADLINE))?;
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let length = headers.get("content-length").ok_or("no content length")?.parse()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    Ok((headers, body))
}
