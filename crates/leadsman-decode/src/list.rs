//! The list that the API server's webhook posts, cut where it stands.

use crate::envelope::Kernel;

/// How it begins. Source: `audit.k8s.io/v1`, type `EventList`, as Go's encoder writes it.
const OPENING: &[u8] = br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#;

/// The items of a list of this form, of at most `max` bytes each; `None` says only that [`Splitter`] decides. Where both
/// cut, they cut the same.
///
/// Takes time linear in `bytes`, and copies nothing.
///
/// [`Splitter`]: crate::split::Splitter
pub(crate) fn items(bytes: &[u8], max: usize) -> Option<Vec<&[u8]>> {
    if !bytes.starts_with(OPENING) || memchr::memchr(b'\n', bytes).is_some() {
        return None;
    }
    let (json, kernel) = (std::str::from_utf8(bytes).ok()?, Kernel::best());
    let (mut items, mut at) = (Vec::new(), OPENING.len());
    while bytes.get(at) == Some(&b'{') {
        let end = kernel.container_end(json, at)?;
        items.push(bytes.get(at..end).filter(|item| item.len() <= max)?);
        match bytes.get(end..)? {
            b"]}" => return Some(items),
            [b',', ..] => at = end + 1,
            _ => return None,
        }
    }
    None
}
