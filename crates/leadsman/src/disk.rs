//! The disk that the data directory is on.

use std::io;
use std::path::Path;

use rustix::fs::{statfs, statvfs};

/// What is left of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes of the file system.
    pub size: u64,
    /// Bytes that we may still write; the part reserved for root is not among them.
    pub free: u64,
    /// Files that the file system can hold; 0 where it sets no limit.
    pub files: u64,
    /// Files that can still be made.
    pub free_files: u64,
}

/// What is left of the file system that `path` is on.
///
/// Errors: when `path` does not exist or cannot be looked at.
pub fn space(path: &Path) -> io::Result<Space> {
    let found = statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Space {
        size: bytes(found.f_blocks),
        free: bytes(found.f_bavail),
        files: found.f_files,
        free_files: found.f_favail,
    })
}

/// Kinds of file systems that data is not safe on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On another machine. SQLite's locks and shared memory do not hold there.
    Network(&'static str),
    /// In memory: gone after a restart of the machine.
    Memory,
    /// The writable layer of a container: gone with the container.
    Container,
    /// Nothing known against it.
    Ordinary,
}

/// What kind of file system `path` is on.
///
/// Errors: when `path` does not exist or cannot be looked at.
pub fn kind(path: &Path) -> io::Result<Kind> {
    let magic = statfs(path)?.f_type;
    // The numbers are unsigned and of 32 bits; the field is signed and wider, or signed and of 32 bits.
    Ok(kind_of(magic as u32))
}

/// By the magic numbers of `linux/magic.h`, and of the modules' own sources for those that it lacks.
fn kind_of(magic: u32) -> Kind {
    match magic {
        0x6969 => Kind::Network("NFS"),
        0xff53_4d42 => Kind::Network("CIFS"),
        0xfe53_4d42 => Kind::Network("SMB"),
        0x517b => Kind::Network("SMB"),
        0x0102_1997 => Kind::Network("9P"),
        0x5346_414f => Kind::Network("AFS"),
        0x00c3_6400 => Kind::Network("Ceph"),
        0x0bd0_0bd0 => Kind::Network("Lustre"),
        0x0102_1994 | 0x8584_58f6 => Kind::Memory,
        0x794c_7630 => Kind::Container,
        _ => Kind::Ordinary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_told_apart_by_their_magic() {
        assert_eq!(kind_of(0x6969), Kind::Network("NFS"));
        assert_eq!(kind_of(-11_317_950_i64 as u32), Kind::Network("CIFS"), "as a 32-bit field shows it");
        assert_eq!(kind_of(0x0102_1994), Kind::Memory);
        assert_eq!(kind_of(0xef53), Kind::Ordinary, "ext4");
    }

    #[test]
    fn a_directory_has_a_size_and_a_missing_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let found = space(directory.path()).unwrap();
        assert!(found.size > 0 && found.free <= found.size, "{found:?}");
        assert!(space(&directory.path().join("missing")).is_err());
    }
}
