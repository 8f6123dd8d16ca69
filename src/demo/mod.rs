//! A miniature production: a service to release, a traffic splitter that speaks HAProxy's runtime API, and load.

pub mod acts;
pub mod folder;
mod http;
pub mod load;
pub mod service;
pub mod splitter;
