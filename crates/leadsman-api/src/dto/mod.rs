//! What goes over the wire, apart from what the domain holds: a renamed field in the domain must not change
//! the API, and a new one must be decided on here. Every conversion therefore names every field.

mod finding;
mod job;
mod model;
mod score;

use leadsman_domain::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use finding::{FindingDto, FindingKindDto, SeverityDto};
pub(crate) use job::{JobDto, JobProgressDto, JobRequest};
pub(crate) use model::ModelDto;
pub(crate) use score::ScoreReportDto;

/// A list, or one page of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// Pass it as `cursor` for the next page; null at the end.
    pub(crate) next_cursor: Option<String>,
    /// How many match in all.
    pub(crate) total: u64,
}

impl<T> Page<T> {
    /// A list that fits into one answer.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { total: items.len() as u64, items, next_cursor: None }
    }
}

/// How a probe went.
#[derive(Serialize, ToSchema)]
#[schema(as = Status)]
pub(crate) struct StatusDto {
    /// `ok`.
    pub(crate) status: &'static str,
}

/// What is running.
#[derive(Serialize, ToSchema)]
#[schema(as = Version)]
pub(crate) struct VersionDto {
    /// The product.
    pub(crate) name: &'static str,
    /// Release.
    pub(crate) version: String,
    /// Source revision it was built from, where known.
    pub(crate) commit: Option<String>,
}

/// RFC 3339 in UTC with milliseconds, the one form of time in this API.
fn time(t: Timestamp) -> String {
    t.to_string()
}

/// Mirrors a closed set of the domain; a new member does not compile until it is listed.
macro_rules! mirror {
    ($(#[$meta:meta])* $dto:ident as $schema:ident from $domain:ty { $($variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(serde::Serialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[schema(as = $schema)]
        pub(crate) enum $dto { $($variant),+ }

        impl From<$domain> for $dto {
            fn from(value: $domain) -> Self {
                match value { $(<$domain>::$variant => Self::$variant),+ }
            }
        }
    };
}
use mirror;
