//! A simulated production behind the ports: one seeded world, a virtual clock, and every fault at every
//! call. A failing case prints what to set to see it again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a simulated world that breaks ends the test")]

mod clock;
mod faults;
mod invariants;
mod ports;
mod runs;
mod schedules;
mod systematic;
mod watches;
mod world;
