//! The checksum of a table.
//!
//! Polars takes a Parquet file at its word: where one byte has changed it may ask for more memory than there is, which ends
//! the process. So a table is handed to it only when it is, byte for byte, the one that was written.
//!
//! The checksum, 32 bytes of BLAKE3 over all the others, stands before the footer, where no offset points to: to other
//! readers the file is Parquet like any other. It tells of accidents; whoever may write tables can give them a checksum.

use std::io::{self, Read, Seek, SeekFrom, Write};

use polars::prelude::PolarsError;

use crate::FeatureError;

/// Bytes of a checksum.
const LENGTH: usize = blake3::OUT_LEN;
/// What a Parquet file ends with: the length of the footer before it, and the mark of the format.
const TRAILER: usize = 8;

fn hasher() -> blake3::Hasher {
    blake3::Hasher::new_derive_key("leadsman table checksum v1")
}

/// Bytes of the footer, its trailer included.
fn footer_length(trailer: [u8; TRAILER]) -> usize {
    let [a, b, c, d, ..] = trailer;
    u32::from_le_bytes([a, b, c, d]) as usize + TRAILER
}

/// Writes a table and, before its footer, the checksum.
pub(super) struct SummedWriter<W> {
    to: W,
    hash: blake3::Hasher,
}

impl<W: Write> SummedWriter<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, hash: hasher() }
    }

    /// Writes `data`, in which nothing of the footer stands.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.hash.update(data);
        self.to.write_all(data)
    }

    /// Writes `end`, which ends with the footer.
    pub(super) fn finish(mut self, end: &[u8]) -> Result<(), FeatureError> {
        let footer = end.last_chunk().map(|trailer| footer_length(*trailer));
        let border = footer.and_then(|footer| end.len().checked_sub(footer));
        let border = border.ok_or_else(|| PolarsError::ComputeError("polars wrote a table without a footer".into()))?;
        let (data, footer) = end.split_at(border);
        self.write(data)?;
        self.hash.update(footer);
        self.to.write_all(self.hash.finalize().as_bytes())?;
        self.to.write_all(footer)?;
        Ok(self.to.flush()?)
    }
}

/// Whether `input` is as it was written. It is read once, and stands at its beginning then.
pub(super) fn verify(input: &mut (impl Read + Seek)) -> Result<(), FeatureError> {
    let length = input.seek(SeekFrom::End(0))?;
    let mut trailer = [0; TRAILER];
    input.seek(SeekFrom::Start(length.checked_sub(TRAILER as u64).ok_or(FeatureError::Damaged)?))?;
    input.read_exact(&mut trailer)?;
    let behind = (footer_length(trailer) + LENGTH) as u64;
    let data = length.checked_sub(behind).ok_or(FeatureError::Damaged)?;

    let mut hash = hasher();
    let mut written = [0; LENGTH];
    input.rewind()?;
    hash.update_reader(input.by_ref().take(data))?;
    input.read_exact(&mut written)?;
    hash.update_reader(input.by_ref())?;
    input.rewind()?;
    if hash.finalize() == written { Ok(()) } else { Err(FeatureError::Damaged) }
}
