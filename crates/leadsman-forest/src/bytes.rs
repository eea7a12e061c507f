//! The stored form of a forest.
//!
//! Little-endian: magic, version, counts, the grid of each column, the categories, the histograms of a guided forest, each
//! tree in preorder, and a CRC-32C of all that. A split is its threshold, its column and, in a guided forest, its
//! edge; a leaf is a 0, which no threshold is, and its rows. All else follows from these, so that stored and
//! computed values cannot contradict each other.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::category::{Category, VIEWS};
use crate::encode::Encoder;
use crate::error::MAX_FEATURES;
use crate::grid::Grid;
use crate::profile::PROFILE_ROWS;
use crate::tails::Tails;
use crate::tree::{LEAVES, Node, WHOLE_EDGE};
use crate::{ForestError, IsolationForest, MAX_SUBSAMPLE_SIZE, MAX_TREES, Missing};

const MAGIC: [u8; 8] = *b"ISOFORST";
const VERSION: u16 = 1;
const LEAF: u8 = 0;
/// Most nodes of a tree of eight levels.
const MAX_NODES: usize = 2 * LEAVES - 1;
/// Columns that are named by one byte.
const SHORT_COLUMNS: usize = 256;

impl IsolationForest {
    /// The forest as bytes: the same forest always gives the same ones.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let encoder = self.encoder();
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        for count in [self.n_features(), self.subsample_size(), self.n_trees(), encoder.categories().len()] {
            // all are checked to be far below 2^32
            out.extend((count as u32).to_le_bytes());
        }
        out.push(u8::from(encoder.missing() == Missing::Typical));
        for grid in encoder.grids() {
            out.extend(grid.centre.to_le_bytes());
            out.extend(grid.scale.to_le_bytes());
        }
        for category in encoder.categories() {
            out.extend((category.feature() as u32).to_le_bytes());
            out.extend((category.values().len() as u32).to_le_bytes());
            out.extend((category.typical() as u32).to_le_bytes());
            category.values().iter().for_each(|value| out.extend(value.to_le_bytes()));
            category.positions().iter().for_each(|positions| out.extend(positions));
        }
        out.push(u8::from(self.tails().is_some()));
        if let Some(tails) = self.tails() {
            out.extend(tails.weight().to_le_bytes());
            tails.histograms().iter().flatten().for_each(|count| push_varint(&mut out, *count));
        }
        let short = encoder.n_columns() <= SHORT_COLUMNS;
        for node in self.trees().iter().flat_map(|tree| tree.nodes()) {
            match *node {
                Node::Split { column, threshold, edge } => {
                    out.push(threshold);
                    let [low, high] = column.to_le_bytes();
                    out.push(low);
                    out.extend((!short).then_some(high));
                    out.extend(self.tails().map(|_| edge));
                }
                Node::Leaf { rows } => {
                    out.push(LEAF);
                    push_varint(&mut out, rows);
                }
            }
        }
        out.extend(crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// The checksum finds accidents, not attackers: bytes from somebody else must be authenticated first. Still no
    /// bytes can make a forest that panics, loops or reads outside its tables.
    ///
    /// Errors: `Foreign`, `UnknownVersion`, `Damaged`, `Malformed`, and those of the parameters.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ForestError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(ForestError::Foreign)?;
        let mut reader = Reader { rest };
        let version = reader.u16()?;
        if version != VERSION {
            return Err(ForestError::UnknownVersion { version });
        }
        let (body, checksum) = reader.rest.split_last_chunk().ok_or(CUT_OFF)?;
        if crc32c::crc32c(&bytes[..bytes.len() - checksum.len()]) != u32::from_le_bytes(*checksum) {
            return Err(damaged("its checksum does not fit its content"));
        }
        reader.rest = body;
        let forest = reader.forest()?;
        if reader.rest.is_empty() { Ok(forest) } else { Err(damaged("bytes follow after the last tree")) }
    }
}

fn push_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

const CUT_OFF: ForestError = damaged("it ends early");

const fn damaged(what: &'static str) -> ForestError {
    ForestError::Damaged { what }
}

/// Reads from the front of `rest`.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn forest(&mut self) -> Result<IsolationForest, ForestError> {
        let (columns, rows) = (self.u32()? as usize, self.u32()?);
        let (n_trees, n_categories) = (self.u32()? as usize, self.u32()? as usize);
        if rows == 0 || columns == 0 {
            return Err(ForestError::NoData { rows: rows as usize, columns });
        }
        if rows as usize > MAX_SUBSAMPLE_SIZE {
            return Err(ForestError::SubsampleSize { subsample_size: rows as usize });
        }
        if !(1..=MAX_TREES).contains(&n_trees) {
            return Err(ForestError::NumberOfTrees { n_trees });
        }
        if columns > MAX_FEATURES || n_categories > columns || columns + (VIEWS - 1) * n_categories > MAX_FEATURES {
            return Err(ForestError::TooWide { columns });
        }
        let missing = match self.u8()? {
            0 => Missing::Refused,
            1 => Missing::Typical,
            _ => return Err(damaged("it treats missing values in a way that is not known")),
        };
        let grids = (0..columns).map(|_| self.grid()).collect::<Result<_, _>>()?;
        let categories: Vec<Category> = (0..n_categories).map(|_| self.category(columns)).collect::<Result<_, _>>()?;
        if !categories.is_sorted_by(|a, b| a.feature() < b.feature()) {
            return Err(damaged("its categorical columns are not in order"));
        }
        let encoder = Encoder::new(grids, categories, missing);
        let tails = match self.u8()? {
            0 => None,
            1 => Some(self.tails(&encoder)?),
            _ => return Err(damaged("it was grown in a way that is not known")),
        };
        let short = encoder.n_columns() <= SHORT_COLUMNS;
        let trees: Vec<Vec<Node>> =
            (0..n_trees).map(|_| self.tree(short, tails.is_some())).collect::<Result<_, _>>()?;
        IsolationForest::link(rows, encoder, tails, trees.into_iter())
    }

    fn grid(&mut self) -> Result<Grid, ForestError> {
        let (centre, scale) = (self.f64()?, self.f64()?);
        Grid::new(centre, scale).ok_or(damaged("the grid of a column is impossible"))
    }

    fn category(&mut self, columns: usize) -> Result<Category, ForestError> {
        let (feature, count, typical) = (self.u32()?, self.u32()? as usize, self.u32()?);
        // a value has at least one byte: no more than there can be is reserved
        if feature as usize >= columns || count > self.rest.len() {
            return Err(damaged("its categories do not fit its columns"));
        }
        let values = (0..count).map(|_| self.f64()).collect::<Result<_, _>>()?;
        let positions = (0..count).map(|_| self.take::<VIEWS>()).collect::<Result<_, _>>()?;
        Category::new(feature, values, positions, typical).ok_or(damaged("its categories are not in order"))
    }

    fn tails(&mut self, encoder: &Encoder) -> Result<Tails, ForestError> {
        let weight = self.f64()?;
        let mut histograms = Vec::new();
        for _ in 0..encoder.n_columns() {
            let mut histogram = [0; 256];
            for count in &mut histogram {
                *count = self.varint()?;
            }
            if histogram.iter().sum::<u32>() as usize > PROFILE_ROWS {
                return Err(damaged("the histogram of a column holds too many rows"));
            }
            histograms.push(histogram);
        }
        Tails::new(encoder, histograms, weight).ok_or(damaged("the tails of its columns have an impossible weight"))
    }

    fn tree(&mut self, short: bool, guided: bool) -> Result<Vec<Node>, ForestError> {
        let mut nodes = Vec::new();
        // subtrees still to come
        let mut open = 1;
        while open > 0 && nodes.len() < MAX_NODES {
            let node = match self.u8()? {
                LEAF => Node::Leaf { rows: self.varint()? },
                threshold => {
                    let column = if short { u16::from(self.u8()?) } else { self.u16()? };
                    let edge = if guided { self.u8()? } else { WHOLE_EDGE };
                    Node::Split { column, threshold, edge }
                }
            };
            open = if matches!(node, Node::Leaf { .. }) { open - 1 } else { open + 1 };
            nodes.push(node);
        }
        Ok(nodes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ForestError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, ForestError> {
        self.take().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, ForestError> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, ForestError> {
        self.take().map(u32::from_le_bytes)
    }

    fn f64(&mut self) -> Result<f64, ForestError> {
        self.take().map(f64::from_le_bytes)
    }

    fn varint(&mut self) -> Result<u32, ForestError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(damaged("a leaf holds an impossible number of rows"))
    }
}

// === serde: the same bytes ===

impl Serialize for IsolationForest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.to_bytes())
    }
}

impl<'de> Deserialize<'de> for IsolationForest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = IsolationForest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of an isolation forest")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<IsolationForest, E> {
        IsolationForest::from_bytes(bytes).map_err(E::custom)
    }

    /// Formats for people, such as JSON, hold bytes as a list of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<IsolationForest, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = numbers.next_element()? {
            bytes.push(byte);
        }
        IsolationForest::from_bytes(&bytes).map_err(A::Error::custom)
    }
}
