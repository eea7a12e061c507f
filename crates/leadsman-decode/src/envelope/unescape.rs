//! What a JSON string means, written into memory that is there already.

/// Bytes copied at once.
const PIECE: usize = 16;
const EACH: u128 = u128::from_le_bytes([1; PIECE]);

/// How much room [`unescape`] needs for `raw`.
pub(super) fn room_for(raw: &str) -> usize {
    raw.len() + PIECE
}

/// What `raw` means, at the beginning of `room`; its escapes are known to be well formed. `None` at a surrogate without
/// its other half, and when there is less room than [`room_for`] says.
///
/// Escapes stand close together where they stand at all (quotes in a reason, `&` in a URL). So whole pieces are copied,
/// and what stands behind a backslash is written over: half the cost of a search and a copy per escape.
pub(super) fn unescape<'b>(raw: &str, room: &'b mut [u8]) -> Option<&'b str> {
    let bytes = raw.as_bytes();
    if room.len() < room_for(raw) {
        return None;
    }
    let (mut from, mut to) = (0, 0);
    while from < bytes.len() {
        if let Some(piece) = bytes.get(from..)?.first_chunk::<PIECE>() {
            room.get_mut(to..)?.first_chunk_mut::<PIECE>().map(|r| *r = *piece)?;
            let differs = u128::from_le_bytes(*piece) ^ (EACH * u128::from(b'\\'));
            let equal = differs.wrapping_sub(EACH) & !differs & (EACH << 7);
            let plain = equal.trailing_zeros() as usize / 8;
            from += plain;
            to += plain;
            if plain == PIECE {
                continue;
            }
        } else if bytes[from] != b'\\' {
            room[to] = bytes[from];
            from += 1;
            to += 1;
            continue;
        }
        let (character, width) = escaped_char(bytes.get(from + 1..)?)?;
        if character.is_ascii() {
            room[to] = character as u8;
            to += 1;
        } else {
            to += character.encode_utf8(room.get_mut(to..)?).len();
        }
        from += 1 + width;
    }
    std::str::from_utf8(room.get(..to)?).ok()
}

/// Whether `raw`, whose escapes are known to be well formed, means a text: [`unescape`] without writing it.
pub(super) fn is_text(raw: &str) -> bool {
    let mut rest = raw.as_bytes();
    while let Some(behind) = memchr::memchr(b'\\', rest).and_then(|at| rest.get(at + 1..)) {
        let Some(more) = escaped_char(behind).and_then(|(_, width)| behind.get(width..)) else { return false };
        rest = more;
    }
    true
}

/// The character that stands behind a backslash, and how many bytes it takes there.
fn escaped_char(bytes: &[u8]) -> Option<(char, usize)> {
    let simple = match bytes.first()? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = hex(bytes.get(1..5)?)?;
            if !(0xd800..0xdc00).contains(&high) {
                return char::from_u32(high).map(|c| (c, 5));
            }
            let low = hex(bytes.get(5..11)?.strip_prefix(b"\\u")?)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            return char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + low).map(|c| (c, 11));
        }
        other => char::from(*other),
    };
    Some((simple, 1))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, d| char::from(*d).to_digit(16).map(|d| value << 4 | d))
}
