//! A lake, or a part of one, as input.

use std::path::Path;

use anyhow::Result;
use leadsman_decode::DecodeContext;
use leadsman_domain::Decoded;

use crate::exit::Exit;
use crate::lake::{Access, Contents, Filter, Lake, LakeReader};

/// How lakes among the inputs are reached, and which part of them is read.
#[derive(Debug, Clone, Default)]
pub struct LakeOptions {
    /// How object storage is reached.
    pub access: Access,
    /// The part.
    pub filter: Filter,
}

/// A lake that is read.
pub(super) struct LakeInput {
    lake: Lake,
    contents: Contents,
    filter: Filter,
}

impl LakeInput {
    /// The lake at `path`, which is a URL or a directory.
    ///
    /// Errors: when it cannot be listed, or the part asked for is empty.
    pub(super) fn find(path: &Path, options: &LakeOptions) -> Result<Self> {
        let lake = Lake::open(&path.to_string_lossy(), &options.access)?;
        let contents = lake.contents(&options.filter)?;
        if contents.files.is_empty() {
            return Err(Exit::Usage(format!(
                "there is nothing in the lake {}, or nothing of the cluster and the time asked for; `leadsman lake list` shows what there is",
                lake.url()
            ))
            .into());
        }
        Ok(Self { lake, contents, filter: options.filter.clone() })
    }

    /// Where it is.
    pub(super) fn name(&self) -> &str {
        self.lake.url()
    }

    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        self.contents.bytes()
    }

    /// Begins to read.
    ///
    /// Errors: when a file cannot be read, or several clusters are meant.
    pub(super) fn open(&self) -> Result<LakeItems<'_>> {
        Ok(LakeItems { reader: self.lake.read(&self.contents, &self.filter)?, input: self })
    }
}

/// The items of a lake, in chunks.
pub(super) struct LakeItems<'a> {
    reader: LakeReader,
    input: &'a LakeInput,
}

impl LakeItems<'_> {
    /// The next items, at most `max`, as if they had been decoded in `context`; `None` at the end.
    ///
    /// Errors: when a file cannot be read, or was removed meanwhile.
    pub(super) fn next_chunk(&mut self, context: &DecodeContext, max: usize) -> Result<Option<Decoded>> {
        let Some(chunk) = self.reader.next_chunk(max)? else { return Ok(None) };
        let mut decoded = Decoded { events: chunk.events, samples: chunk.samples, ..Decoded::default() };
        for event in &mut decoded.events {
            // Classes are those of whoever reads, as with every other input.
            event.actor.class = context.rules.classify(&event.actor.name);
        }
        Ok(Some(decoded))
    }

    /// How many of the bytes are read, roughly.
    pub(super) fn bytes_done(&self) -> u64 {
        let files = self.input.contents.files.len() as u64;
        self.input.bytes().saturating_mul(self.reader.files_begun().min(files)) / files.max(1)
    }
}
