//! Several calls at a time.

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};

use crate::port::Fault;

const AT_ONCE: usize = 8;

/// Does the work for each, some at a time; the first fault ends it. The answers come in any order.
pub async fn each<'w, T, R>(
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> BoxFuture<'w, Result<R, Fault>>,
) -> Result<Vec<R>, Fault> {
    let mut running = FuturesUnordered::new();
    let mut done = Vec::new();
    for item in items {
        if running.len() >= AT_ONCE
            && let Some(answer) = running.next().await
        {
            done.push(answer?);
        }
        running.push(work(item));
    }
    while let Some(answer) = running.next().await {
        done.push(answer?);
    }
    Ok(done)
}
