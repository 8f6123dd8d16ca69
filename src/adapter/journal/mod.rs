//! Adapters of the `journal` port.

pub mod file;
