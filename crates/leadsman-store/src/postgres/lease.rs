use std::time::Duration;

use deadpool_postgres::{
    Client, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use leadsman_domain::StoreError;
use tokio_postgres::NoTls;

use super::PostgresSettings;
use super::error::pg_error;

/// Connections a process holds at most. Commits of all partitions end one after the other anyway, at the counter.
const CONNECTIONS: usize = 8;
/// How long a call waits for a free connection, and how long making one may take.
const WAIT: Duration = Duration::from_secs(20);
/// How long the calls of one transaction may take. Longer than the server's own timeouts: its answer says more.
const CALL: Duration = Duration::from_secs(40);

/// A pooled connection that goes back only when the call on it came to its end.
///
/// A call that was given up, or whose future was dropped, leaves a connection in an unknown state, perhaps one to a
/// server that is gone: that connection is closed.
pub(super) struct Lease(Option<Object>);

/// What was said to be stored must survive a crash of the server.
const DURABLE: &str =
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

pub(super) fn pool(settings: &PostgresSettings) -> Result<Pool, StoreError> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let (config, connector) = settings.connection().map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let manager = match connector {
        Some(connector) => Manager::from_config(config, connector, recycling),
        None => Manager::from_config(config, NoTls, recycling),
    };
    Pool::builder(manager)
        .max_size(CONNECTIONS)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT))
        .create_timeout(Some(WAIT))
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move { client.batch_execute(DURABLE).await.map_err(HookError::Backend) })
        }))
        .build()
        .map_err(|error| StoreError::Unavailable(format!("the connection pool cannot be made: {error}")))
}

impl Lease {
    pub(super) async fn of(pool: &Pool) -> Result<Self, StoreError> {
        match pool.get().await {
            Ok(object) => Ok(Self(Some(object))),
            Err(PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error))) => {
                Err(pg_error(error))
            }
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                Err(StoreError::Unavailable("every connection to PostgreSQL is busy".to_owned()))
            }
            Err(error) => Err(StoreError::Unavailable(format!("no connection to PostgreSQL: {error}"))),
        }
    }

    /// Waits for `call` and gives the connection back.
    pub(super) async fn run<T, E: From<StoreError>>(
        self,
        call: impl for<'a> FnOnce(&'a mut Client) -> BoxCall<'a, T, E>,
    ) -> Result<T, E> {
        self.run_within(CALL, call).await
    }

    pub(super) async fn run_within<T, E: From<StoreError>>(
        mut self,
        limit: Duration,
        call: impl for<'a> FnOnce(&'a mut Client) -> BoxCall<'a, T, E>,
    ) -> Result<T, E> {
        let gave_up = || StoreError::Unavailable(format!("PostgreSQL did not answer for {} s", limit.as_secs()));
        let Some(client) = self.0.as_mut() else { return Err(gave_up().into()) };
        let ended = tokio::time::timeout(limit, call(client)).await;
        if ended.is_ok() {
            drop(self.0.take());
        }
        ended.unwrap_or_else(|_| Err(gave_up().into()))
    }
}

/// A call on a connection.
pub(super) type BoxCall<'a, T, E> = std::pin::Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            // Taken out of the pool: dropping it closes the connection, and the server rolls back.
            drop(Object::take(object));
        }
    }
}
