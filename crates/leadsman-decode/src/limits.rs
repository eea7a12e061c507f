/// Bounds on what one payload may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest single item (event, sample line), in bytes.
    pub max_item_bytes: usize,
    /// Deepest nesting of JSON arrays and objects in one item.
    pub max_depth: usize,
    /// Largest record after decompression, in bytes. Files are read in pieces and have no such end.
    pub max_decompressed: u64,
    /// Most bytes that one compressed byte may become. Small outputs are exempt: the first MiB of a record,
    /// the first `max_decompressed` bytes of a file.
    pub max_ratio: u64,
}

impl Default for Limits {
    /// 16 MiB, 128, 64 MiB, 100.
    fn default() -> Self {
        Self { max_item_bytes: 16 << 20, max_depth: 128, max_decompressed: 64 << 20, max_ratio: 100 }
    }
}
