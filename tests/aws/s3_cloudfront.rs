//! Static sites: released, switched and taken back, and what becomes of them in trouble.

mod killed;
mod preflight;
mod release;
mod same;
mod trouble;
mod world;
