use std::error::Error as _;

use leadsman_domain::StoreError;
use tokio_postgres::Error;
use tokio_postgres::error::DbError;

/// What an error of the server, or of the way to it, means to the caller.
///
/// What may pass by itself is `Unavailable`, so that the caller tries again: lost connections, a server that restarts,
/// deadlocks, failed serialization, timeouts, a full disk. Codes: PostgreSQL's documentation, appendix A.
#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` takes")]
pub(super) fn pg_error(error: Error) -> StoreError {
    match error.as_db_error() {
        Some(answer) => answered(answer),
        // The text of this library names the step; its source says what happened.
        None => StoreError::Unavailable(match error.source() {
            Some(source) => format!("PostgreSQL: {error}: {source}"),
            None => format!("PostgreSQL: {error}"),
        }),
    }
}

fn answered(answer: &DbError) -> StoreError {
    let code = answer.code().code();
    let text = format!("PostgreSQL: {} ({code})", answer.message());
    let hint = match code {
        "3D000" => "create the database",
        "3F000" => "create the schema that search_path names",
        "42501" => "grant the user CREATE and USAGE on the schema, and all on its tables",
        "53100" => "free some space",
        "53300" => "raise max_connections, or run fewer processes",
        "25006" => "connect to the primary server",
        "42P07" => "another program uses these names: give Leadsman a database or a schema of its own",
        _ => match code.get(..2) {
            Some("28") => "check user, password and pg_hba.conf",
            Some("40" | "55") => "another process is writing; try again",
            // Data that does not fit, a broken constraint, a missing table or column, a damaged page.
            Some("22" | "23" | "42" | "XX") => return StoreError::Corrupt(format!("{text}: restore a backup")),
            _ => return StoreError::Unavailable(text),
        },
    };
    match code {
        "42P07" => StoreError::Corrupt(format!("{text}: {hint}")),
        _ => StoreError::Unavailable(format!("{text}: {hint}")),
    }
}
