//! The key by which equal secrets get equal marks.

use std::path::Path;

use anyhow::Result;
use leadsman_decode::RedactionKey;
use leadsman_domain::Store;
use leadsman_store::{AnyStore, StoreSettings};

use super::token;

/// The key of the data directory; in a shared store that of whoever came first, because a partition that changes hands
/// must be decoded alike by all. Made where there is none.
///
/// Errors: when its file or the store cannot be read or written.
pub async fn key(settings: &StoreSettings, store: &AnyStore, data_dir: &Path) -> Result<RedactionKey> {
    let own = token::read_or_make(&data_dir.join("redaction.key"))?;
    let key = match settings {
        StoreSettings::Sqlite(_) => own,
        StoreSettings::Postgres(_) => store.shared_secret("redaction", &own).await?,
    };
    Ok(RedactionKey::new(&key))
}
