//! The pure part: words and rules, no clock, no environment, no network.
//!
//! Time and observations come in as arguments, decisions go out as data. `clippy.toml` and
//! `tests/architecture.rs` keep it that way.

pub mod bound;
pub mod check;
pub mod columns;
pub mod decision;
pub mod duration;
pub mod history;
pub mod judge;
pub mod names;
pub mod observed;
mod quoted;
pub mod record;
pub mod sample;
pub mod share;
pub mod stage;
pub mod template;
pub mod tolerance;
pub mod value;
pub mod verdict;
