use bytes::{Bytes, BytesMut};

/// Bytes of a page: some thirty events.
const PAGE: usize = 32 << 10;

/// Where payloads are copied to: consecutive records share a piece of memory, which is free again when the last of them
/// is. One page serves one partition, whose records go in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Page(BytesMut);

impl Page {
    /// A copy of `payload`.
    pub(crate) fn copy(&mut self, payload: &[u8]) -> Bytes {
        if self.0.capacity() < payload.len() {
            self.0 = BytesMut::with_capacity(payload.len().max(PAGE));
        }
        self.0.extend_from_slice(payload);
        self.0.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_stay_as_they_were() {
        let mut page = Page::default();
        let payloads: Vec<Vec<u8>> = (0..200_usize).map(|n| vec![n as u8; (n * n) % 5_000]).collect();
        let large = page.copy(&vec![9; 3 * PAGE]);
        let copies: Vec<Bytes> = payloads.iter().map(|payload| page.copy(payload)).collect();
        assert!(copies.iter().eq(&payloads));
        assert_eq!(large, vec![9; 3 * PAGE]);
    }
}
