//! How tables are written down: in the order of what stands in them, so that equal states give equal bytes.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<'a, T, S>(table: &'a T, to: S) -> Result<S::Ok, S::Error>
where
    &'a T: IntoIterator<Item: Ord + Serialize>,
    S: Serializer,
{
    let mut all: Vec<_> = table.into_iter().collect();
    all.sort_unstable();
    to.collect_seq(all)
}

pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: IntoIterator<Item: Deserialize<'de>> + FromIterator<T::Item>,
    D: Deserializer<'de>,
{
    Ok(Vec::<T::Item>::deserialize(from)?.into_iter().collect())
}
