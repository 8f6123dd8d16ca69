//! Adapters of the `database` port.

use std::path::Path;

use crate::{
    domain::value::Kind,
    platform,
    port::{Finding, Grade},
};

#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "aws")]
pub mod rds;
pub mod run;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod store;

/// Whether `folder` has room for a snapshot of at most `most` bytes that hardly comes below `least`.
pub fn space(about: &str, folder: &Path, most: u64, least: u64) -> Finding {
    let show = |bytes: u64| Kind::Bytes.show(bytes as f64);
    let existing = folder.ancestors().find(|f| f.exists()).unwrap_or(Path::new("."));
    let free = match platform::free_space(existing) {
        Ok(free) => free,
        Err(e) => {
            let text = format!("free space in {} is unknown: {e}", folder.display());
            return Finding::new(Grade::Unknown, about, text);
        }
    };
    let grade = match free {
        free if free < least => Grade::Refuse,
        free if free < most => Grade::Warn,
        _ => Grade::Ok,
    };
    let text = format!("{} free in {} for a database of {}", show(free), folder.display(), show(most));
    Finding::new(grade, about, text)
}
