//! The contracts between the engine and the outside world.
//!
//! Every trait is small and object-safe. A method says what it promises, in what units, and which
//! faults it ends in. All of them run under a [`Context`] whose deadline the engine enforces; an adapter
//! need not watch the time itself, but must be safe to drop at any await.

pub mod adapter;
pub mod clock;
pub mod command;
pub mod context;
pub mod database;
pub mod excerpt;
pub mod fault;
pub mod finding;
pub mod journal;
pub mod metric;
pub mod notifier;
pub mod progress;
pub mod secret;
pub mod shared;
pub mod target;
pub mod veil;

pub use clock::Clock;
pub use command::{Command, Output, Task};
pub use context::Context;
pub use database::{Database, Found, SqlAddress};
pub use excerpt::excerpt;
pub use fault::{Fault, Treat};
pub use finding::{Finding, Findings, Grade};
pub use journal::{Appended, Journal};
pub use metric::{Ask, Metric, Reach, Window};
pub use notifier::{News, Notifier, Occasion, Posted};
pub use progress::{Progress, Silent, Watching};
pub use secret::Secret;
pub use shared::Shared;
pub use target::{Caps, Change, Pace, Target};
