//! What a command prints: text for people, JSON for programs, progress for both.

pub mod lines;
pub mod live;
pub mod plain;
pub mod result;
pub mod text;
