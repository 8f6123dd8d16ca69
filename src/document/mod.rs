//! Text to typed values without losing the place: a YAML tree whose nodes know line and column, and a
//! serde deserializer over it whose errors do too.

pub mod de;
pub mod nearest;
pub mod node;
