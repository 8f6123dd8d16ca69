//! Adapters of the `journal` port.

use serde::Deserialize;

use crate::domain::record::{FORMAT, Record};

pub mod file;
#[cfg(feature = "github")]
pub mod git;
#[cfg(feature = "aws")]
pub mod s3;

/// A record larger than this was not written by tidegate.
const RECORD_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The one field that every format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The text that is kept of a record.
fn text_of(record: &Record) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(record)?;
    text.push(b'\n');
    Ok(text)
}

/// The record that was kept under this number, or what is wrong with its text.
fn record_of(text: &[u8], seq: u64) -> Result<Record, String> {
    let format = serde_json::from_slice::<Format>(text).map_err(|e| e.to_string())?.format;
    if format > FORMAT {
        return Err(format!("it has format {format}, which a newer tidegate wrote"));
    }
    let record: Record = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    match record.seq == seq {
        true => Ok(record),
        false => Err(format!("it says that it is record {}", record.seq)),
    }
}
