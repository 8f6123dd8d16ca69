//! What a command prints: text for people, JSON for programs, progress for both.

pub mod chart;
pub mod escape;
pub mod github;
pub mod lines;
pub mod live;
pub mod outputs;
pub mod plain;
pub mod result;
pub mod summary;
pub mod text;
