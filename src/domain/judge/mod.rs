//! The judge: from what was seen to what it means. Pure.
//!
//! `series` gathers polls; `threshold` compares them with the sentences of the file. Sequential tests
//! get a file of their own each, beside `threshold`.

pub mod series;
pub mod threshold;

pub use threshold::judge;
