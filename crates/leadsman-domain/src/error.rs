/// Whose fault an error is, and so what a client should do about it.
///
/// Library errors map onto these five; `leadsman-api` turns a kind into an HTTP status in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller sent something that can never succeed.
    InvalidInput,
    /// The named thing does not exist.
    NotFound,
    /// The state has moved on since the caller looked.
    Conflict,
    /// A dependency is down or full; the same call may succeed later.
    Unavailable,
    /// A defect of ours.
    Internal,
}

impl ErrorKind {
    /// Whether repeating the same call unchanged can help.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Unavailable => true,
            Self::InvalidInput | Self::NotFound | Self::Conflict | Self::Internal => false,
        }
    }
}
