//! The pure part: words and rules, no clock, no environment, no network.
//!
//! Time and observations come in as arguments, decisions go out as data. `clippy.toml` and
//! `tests/architecture.rs` keep it that way.

/// What has a text of its own is that text in files and records: read as it is written.
macro_rules! written_as_text {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = <$type as std::str::FromStr>::Err;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}

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
