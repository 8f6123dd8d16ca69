//! Servers, their weights and health, what was counted, and who is next.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{HealthCheck, Splitter};

/// The one state behind proxies, checks, runtime API and metrics.
#[derive(Debug)]
pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn new(config: &Splitter) -> Self {
        Self(Mutex::new(State::new(config)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) started: Instant,
    pub(super) backends: Vec<Backend>,
    pub(super) has_metrics: bool,
}

#[derive(Debug)]
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) servers: Vec<Server>,
    pub(super) check: Option<HealthCheck>,
    pub(super) front: Counters,
    pub(super) counters: Counters,
    pub(super) up: bool,
    pub(super) downs: u64,
    pub(super) changed: Instant,
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) weight: u16,
    pub(super) weight_initial: u16,
    pub(super) admin: Admin,
    pub(super) health: Health,
    pub(super) counters: Counters,
    pub(super) up: bool,
    pub(super) downs: u64,
    pub(super) changed: Instant,
    /// Smooth weighted round robin: highest is next.
    credit: i64,
}

/// What an operator decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admin {
    pub(super) mode: Mode,
    /// The configuration said `disabled`; stays told after the server was enabled.
    pub(super) configured_maint: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Ready,
    Drain,
    Maint,
}

/// What the checks know.
#[derive(Debug)]
pub(super) struct Health {
    /// Up from `rise`; never above `rise + fall - 1`.
    pub(super) level: u32,
    pub(super) outcome: Outcome,
    pub(super) duration_ms: u128,
    pub(super) failures: u64,
    pub(super) in_progress: bool,
    pub(super) paused: bool,
}

/// How the last check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Initializing,
    Refused(String),
    ConnectTimeout,
    ResponseTimeout,
    InvalidResponse,
    Passed(u16),
    WrongStatus(u16, String),
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sessions_current: u64,
    /// Server: connections tried; backend: requests; frontend: clients' connections.
    pub(super) sessions: u64,
    pub(super) requests: u64,
    /// 1xx to 5xx, other.
    pub(super) responses: [u64; 6],
    /// Requests given up because no connection came about. A refused connection that was retried is not in here.
    pub(super) connection_errors: u64,
    pub(super) response_errors: u64,
    pub(super) retries: u64,
    pub(super) redispatches: u64,
    pub(super) balanced: u64,
    pub(super) connects: u64,
    pub(super) response_ms: Mean,
    pub(super) total_ms: Mean,
    pub(super) last_session: Option<Instant>,
}

impl Counters {
    pub(super) fn respond(&mut self, status: u16) {
        let class = usize::from(status / 100);
        self.responses[if (1..=5).contains(&class) { class - 1 } else { 5 }] += 1;
    }
}

/// A mean that forgets: over about the last 1024 values.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Mean {
    count: u32,
    value: f64,
}

impl Mean {
    pub(super) fn add(&mut self, value: f64) {
        self.count = (self.count + 1).min(1024);
        self.value += (value - self.value) / f64::from(self.count);
    }

    pub(super) fn value(self) -> f64 {
        self.value
    }
}

impl State {
    fn new(config: &Splitter) -> Self {
        let now = Instant::now();
        let backends = config.backends.iter().map(|backend| Backend::new(backend, now)).collect();
        Self { started: now, backends, has_metrics: config.metrics.is_some() }
    }

    pub(super) fn backend(&mut self, name: &str) -> Option<&mut Backend> {
        self.backends.iter_mut().find(|backend| backend.name == name)
    }

    /// Proxy number as `show stat` has it: 1 is the runtime API, then come the frontends.
    pub(super) fn front_id(&self, backend: usize) -> usize {
        2 + backend
    }

    pub(super) fn backend_id(&self, backend: usize) -> usize {
        2 + self.backends.len() + usize::from(self.has_metrics) + backend
    }
}

impl Backend {
    fn new(config: &super::Backend, now: Instant) -> Self {
        let servers =
            config.servers.iter().map(|server| Server::new(server, config.check.as_ref(), now)).collect();
        let mut backend = Self {
            name: config.name.clone(),
            servers,
            check: config.check.clone(),
            front: Counters::default(),
            counters: Counters::default(),
            up: false,
            downs: 0,
            changed: now,
        };
        let up = backend.active().next().is_some();
        backend.up = up;
        backend
    }

    /// Servers that get new requests.
    pub(super) fn active(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| server.takes_requests())
    }

    /// Smooth weighted round robin: in any `sum of weights` picks each server comes as often as its weight says, evenly
    /// spread. `avoid` is picked only when there is nobody else.
    pub(super) fn pick(&mut self, avoid: Option<usize>) -> Option<usize> {
        let mut total = 0;
        for server in self.servers.iter_mut().filter(|server| server.takes_requests()) {
            total += i64::from(server.weight);
            server.credit += i64::from(server.weight);
        }
        let candidates = self.servers.iter().enumerate().filter(|(_, server)| server.takes_requests());
        // max_by_key takes the last of equals; the first is wanted
        let best = candidates.rev().max_by_key(|(index, server)| (Some(*index) != avoid, server.credit))?.0;
        self.servers[best].credit -= total;
        self.servers[best].counters.balanced += 1;
        self.counters.balanced += 1;
        Some(best)
    }

    pub(super) fn set_weight(&mut self, server: usize, weight: u16) {
        self.servers[server].weight = weight;
        for server in &mut self.servers {
            server.credit = 0;
        }
        self.settle();
    }

    /// Maintenance stops the checks; leaving it gives the server the benefit of the doubt until they say otherwise.
    pub(super) fn set_mode(&mut self, server: usize, mode: Mode) {
        let rise = self.check.as_ref().map(|check| check.rise);
        let server = &mut self.servers[server];
        let before = std::mem::replace(&mut server.admin.mode, mode);
        if before == mode {
            return;
        }
        server.changed = Instant::now();
        if mode == Mode::Maint {
            server.health.level = 0;
            server.health.paused |= rise.is_some();
        } else if let (Mode::Maint, Some(rise)) = (before, rise) {
            server.health.level = rise;
            server.health.paused = false;
        }
        self.settle();
    }

    /// Counts a check, unless the server went into maintenance while it ran.
    pub(super) fn checked(&mut self, server: usize, outcome: Outcome, duration_ms: u128) {
        let Some(HealthCheck { rise, fall, .. }) = self.check else {
            return;
        };
        let health = &mut self.servers[server].health;
        health.in_progress = false;
        if health.paused {
            return;
        }
        if matches!(outcome, Outcome::Passed(_)) {
            health.level += 1;
            if health.level >= rise {
                health.level = rise + fall - 1;
            }
        } else if health.level > 0 {
            health.failures += 1;
            health.level -= 1;
            if health.level < rise {
                health.level = 0;
            }
        }
        health.outcome = outcome;
        health.duration_ms = duration_ms;
        self.settle();
    }

    /// Brings up/down flags in line with modes, health and weights, and counts the changes.
    fn settle(&mut self) {
        let now = Instant::now();
        let rise = self.check.as_ref().map(|check| check.rise);
        for server in &mut self.servers {
            let healthy = rise.is_none_or(|rise| server.health.level >= rise);
            let up = server.admin.mode != Mode::Maint && healthy;
            if up != server.up {
                server.up = up;
                server.changed = now;
                server.downs += u64::from(!up);
                server.credit = 0;
            }
        }
        let up = self.active().next().is_some();
        if up != self.up {
            self.up = up;
            self.changed = now;
            self.downs += u64::from(!up);
        }
    }
}

impl Server {
    fn new(config: &super::Server, check: Option<&HealthCheck>, now: Instant) -> Self {
        let mode = if config.disabled { Mode::Maint } else { Mode::Ready };
        Self {
            name: config.name.clone(),
            address: config.address,
            weight: config.weight,
            weight_initial: config.weight,
            admin: Admin { mode, configured_maint: config.disabled },
            health: Health {
                level: if config.disabled { 0 } else { check.map_or(2, |check| check.rise) },
                outcome: Outcome::Initializing,
                duration_ms: 0,
                failures: 0,
                in_progress: false,
                paused: config.disabled,
            },
            counters: Counters::default(),
            up: !config.disabled,
            downs: 0,
            changed: now,
            credit: 0,
        }
    }

    pub(super) fn takes_requests(&self) -> bool {
        self.up && self.admin.mode == Mode::Ready && self.weight > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(weights: &[u16], check: Option<HealthCheck>) -> Backend {
        let servers = weights.iter().enumerate().map(|(index, weight)| super::super::Server {
            name: format!("s{index}"),
            address: ([127, 0, 0, 1], 1).into(),
            weight: *weight,
            disabled: false,
        });
        let bind = ([127, 0, 0, 1], 0).into();
        let config = super::super::Backend { name: "api".into(), bind, servers: servers.collect(), check };
        Backend::new(&config, Instant::now())
    }

    fn picks(backend: &mut Backend, count: usize) -> Vec<usize> {
        (0..count).filter_map(|_| backend.pick(None)).collect()
    }

    #[test]
    fn every_window_of_picks_follows_the_weights() {
        let mut backend = backend(&[225, 25], None);
        let order = picks(&mut backend, 1000);
        for window in order.windows(10) {
            assert_eq!(window.iter().filter(|index| **index == 1).count(), 1);
        }
    }

    #[test]
    fn a_weight_of_zero_gets_nothing_and_all_zero_is_down() {
        let mut backend = backend(&[100, 0], None);
        assert!(picks(&mut backend, 100).iter().all(|index| *index == 0));
        backend.set_weight(0, 0);
        assert_eq!(backend.pick(None), None);
        assert_eq!((backend.up, backend.downs), (false, 1));
    }

    #[test]
    fn the_avoided_server_is_the_last_resort() {
        let mut backend = backend(&[200, 1], None);
        assert_eq!(backend.pick(Some(0)), Some(1));
        backend.set_mode(1, Mode::Drain);
        assert_eq!(backend.pick(Some(0)), Some(0));
    }

    #[test]
    fn health_falls_at_once_from_the_brink_and_rises_after_enough_passes() {
        let mut backend =
            backend(&[100], Some(HealthCheck { rise: 2, fall: 3, ..HealthCheck::get("/health") }));
        let levels: Vec<(u32, bool)> = [true, false, false, false, true, false, true, true]
            .map(|passed| {
                let outcome = if passed { Outcome::Passed(200) } else { Outcome::ConnectTimeout };
                backend.checked(0, outcome, 1);
                (backend.servers[0].health.level, backend.servers[0].up)
            })
            .into();
        let down = (0, false);
        assert_eq!(levels, [(4, true), (3, true), (2, true), down, (1, false), down, (1, false), (4, true)]);
        assert_eq!((backend.downs, backend.servers[0].downs, backend.servers[0].health.failures), (1, 1, 4));
    }

    #[test]
    fn a_check_that_ends_in_maintenance_does_not_count() {
        let mut backend = backend(&[100], Some(HealthCheck::get("/health")));
        backend.set_mode(0, Mode::Maint);
        backend.checked(0, Outcome::Passed(200), 1);
        assert_eq!((backend.servers[0].health.level, backend.servers[0].up), (0, false));
    }
}
