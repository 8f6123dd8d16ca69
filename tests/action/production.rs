//! A production that a container reaches: HAProxy on loopback, its runtime API as a socket in the workspace.

use std::path::Path;

use super::{
    middle::{At, Happens, Middle},
    world::World,
};

/// The first write of a rollout; a look, and what `preflight` asks, do not have it.
pub const HANGS: &str = "api/green 25";

pub struct Production {
    pub world: World,
    middle: Middle,
}

impl Production {
    /// With the socket `haproxy.sock` in this folder. At the first line that holds `hangs_at`, HAProxy never
    /// answers.
    pub fn start(folder: &Path, hangs_at: Option<&'static str>) -> Production {
        let world = World::start();
        let at = At::Line(hangs_at.unwrap_or(HANGS));
        let middle = Middle::start(&world.socket(), folder.join("haproxy.sock"), at, Happens::Hangs);
        middle.caller(rustix::process::getpid());
        if hangs_at.is_none() {
            middle.pass();
        }
        Production { world, middle }
    }

    /// Waits for the line at which it hangs.
    pub fn hung(&self) -> String {
        self.middle.line()
    }

    /// The config of one service, its journal in the same folder; `extra` is added.
    pub fn config(&self, extra: &str) -> String {
        self.with_journal("file: {path: journal, lease: 1s}", extra)
    }

    /// The same, its journal on a branch of the repository: a hosted runner has no files that last.
    pub fn config_on_github(&self, extra: &str) -> String {
        self.with_journal("git: {lease: 1s}", extra)
    }

    fn with_journal(&self, journal: &str, extra: &str) -> String {
        let service = self.world.service(Path::new("haproxy.sock"));
        format!("name: shop\n{service}journal: {{{journal}}}\n{extra}")
    }
}
