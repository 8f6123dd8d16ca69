//! The append-only record of a unit in one environment.

use async_trait::async_trait;

use super::{Context, Fault, Finding};
use crate::domain::record::Record;

/// Where records are kept. Creating a number that exists fails: that is the compare-and-swap.
#[async_trait]
pub trait Journal: Send + Sync {
    /// The last record, or `None` in an empty journal. Costs one cheap read.
    async fn head(&self, cx: &Context) -> Result<Option<Record>, Fault>;

    /// The record of this number.
    async fn read(&self, cx: &Context, seq: u64) -> Result<Option<Record>, Fault>;

    /// All records from number `from` on, in order. A gap is a `Permanent` fault.
    async fn load(&self, cx: &Context, from: u64) -> Result<Vec<Record>, Fault>;

    /// Creates the record under its number, durably. An `OutcomeUnknown` is resolved by reading the
    /// number again and comparing the nonce.
    async fn append(&self, cx: &Context, record: &Record) -> Result<Appended, Fault>;

    /// What a person should know of it before a release: permissions. Changes nothing.
    async fn preflight(&self, _cx: &Context) -> Vec<Finding> {
        Vec::new()
    }

    /// Where it is, for messages.
    fn place(&self) -> String;

    /// Seconds a lease lasts without a sign of life.
    fn lease_seconds(&self) -> u64;
}

/// How an append ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    Done,
    /// The number exists already.
    Conflict,
}
