//! A backend of HAProxy, split by the weights of its servers.
//!
//! A share is what the weights say, not where requests happen to go: a side that is down keeps its share,
//! and its health says why nothing arrives there. Weights of servers in maintenance, in drain or `backup`
//! count as nothing, because HAProxy ignores them.

mod config;
mod look;
mod preflight;
mod state_file;
#[cfg(test)]
mod tests;
mod weights;

pub use config::{Config, HaproxyName, SideServers, Sides};

use async_trait::async_trait;
use std::path::PathBuf;

use crate::{
    adapter::haproxy_api::{PROVIDER, Socket, outcomes},
    domain::{
        names::SideName,
        observed::{Activity, Instance, Observed, Side},
        share::Share,
    },
    port::{
        Caps, Change, Context, Fault, Finding, Target,
        adapter::{Adapter, Setting, TargetAdapter},
    },
};
use look::{Look, Member, Weighing, look};
use weights::{Scale, order};

/// HAProxy reads a line into a buffer of 16 KiB.
const LINE_BYTES_MAX: usize = 12 * 1024;

pub struct Haproxy {
    socket: Socket,
    backend: HaproxyName,
    sides: Sides,
    scale: Scale,
    state_file: Option<PathBuf>,
}

impl Adapter for Haproxy {
    const NAME: &'static str = "haproxy";
    const SUMMARY: &'static str = "servers of a HAProxy backend, split by their weights";
    type Config = Config;
}

impl TargetAdapter for Haproxy {
    const DEFAULT_CHECKS: &'static [(&'static str, &'static str)] = &[
        ("healthy", "{target: instances, fail: below 50%}"),
        ("errors", "{haproxy: errors, fail: above 5%}"),
    ];

    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Target>, String> {
        let servers = [0, 1].map(|side: usize| config.sides.0[side].servers.len());
        let scale = Scale::new(servers).ok_or_else(|| {
            let [a, b] = servers;
            format!("sides: {a} and {b} servers cannot be split evenly with weights up to 256")
        })?;
        Ok(Box::new(Haproxy {
            socket: Socket::parse(&config.socket, &setting.base)?,
            state_file: config.state_file.map(|path| setting.base.join(path)),
            backend: config.backend,
            sides: config.sides,
            scale,
        }))
    }
}

#[async_trait]
impl Target for Haproxy {
    fn caps(&self) -> Caps {
        Caps {
            sides: [0, 1].map(|side: usize| self.side(side).clone()),
            deploys: false,
            retires: false,
            precondition: false,
            splits: true,
        }
    }

    /// A share above 0 % and below 100 % stays so, however small: 0.01 % becomes 0.39 %.
    fn nearest(&self, share: Share) -> Share {
        self.scale.nearest(share)
    }

    /// Only where HAProxy stops in the middle of a line, or refuses a part of it.
    fn between(&self, from: Share, to: Share) -> Vec<Share> {
        let mut seen = self.scale.between(from, to);
        let mirrored = self.scale.between(from.rest(), to.rest()).into_iter().map(Share::rest);
        for share in mirrored {
            if !seen.contains(&share) {
                seen.push(share);
            }
        }
        seen
    }

    async fn observe(&self, cx: &Context) -> Result<Observed, Fault> {
        let look = self.look(cx).await?;
        let mut notes = self.notes(&look);
        notes.extend(self.lost_by_reload(&look).await);
        let shares = look.shares(|m| m.weight);
        let side = |index: usize| Side {
            elastic: false,
            name: self.side(index).clone(),
            version: None,
            share: shares[index],
            labels: Default::default(),
            instances: look.members.iter().filter(|m| m.side == index).map(instance).collect(),
        };
        Ok(Observed { sides: vec![side(0), side(1)], activity: Activity::Idle, notes })
    }

    async fn apply(&self, cx: &Context, change: &Change) -> Result<(), Fault> {
        match change {
            Change::Share(split) => {
                let share = self.share_of_first(split).map_err(|why| self.refusal(why))?;
                let look = self.look(cx).await?;
                self.set_weights(cx, &look, share).await?;
                if let Some(file) = &self.state_file
                    && let Err(why) = state_file::write(cx, &self.socket, file).await
                {
                    // the traffic is where it should be; `observe` notes that the file is old
                    tracing::warn!("failed to write {}: {why}", file.display());
                }
                Ok(())
            }
            Change::Deploy { .. } => Err(Fault::permanent(
                PROVIDER,
                "deploy",
                self.object(),
                "HAProxy does not start or stop what it balances",
            )
            .hint("give the service `deploy: {run: …}`")),
            Change::Revive { side } | Change::Retire { side } => Err(Fault::permanent(
                PROVIDER,
                format!("start or stop {side}"),
                self.object(),
                "HAProxy does not start or stop what it balances",
            )),
        }
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        preflight::preflight(self, cx).await
    }
}

fn instance(member: &Member) -> Instance {
    Instance { name: member.name.clone(), address: member.address.clone(), health: member.health.clone() }
}

impl Haproxy {
    fn side(&self, index: usize) -> &SideName {
        &self.sides.0[index].name
    }

    fn object(&self) -> String {
        format!("backend {} at {}", self.backend, self.socket)
    }

    fn refusal(&self, why: impl std::fmt::Display) -> Fault {
        Fault::permanent(PROVIDER, "set the weights", self.object(), format!("{why}; nothing was changed"))
    }

    async fn look(&self, cx: &Context) -> Result<Look, Fault> {
        look(cx, &self.socket, self.backend.as_str(), &self.sides).await
    }

    /// What the change wants the first side to have.
    fn share_of_first(&self, split: &std::collections::BTreeMap<SideName, Share>) -> Result<Share, String> {
        if let Some(stranger) = split.keys().find(|name| ![self.side(0), self.side(1)].contains(name)) {
            return Err(format!("there is no side {stranger}"));
        }
        match [0, 1].map(|side| split.get(self.side(side)).copied()) {
            [Some(first), Some(second)] if first == second.rest() => Ok(first),
            [Some(first), Some(second)] => Err(format!("{first} and {second} are not the whole")),
            [Some(first), None] => Ok(first),
            [None, Some(second)] => Ok(second.rest()),
            [None, None] => Err("no side was named".into()),
        }
    }

    async fn set_weights(&self, cx: &Context, look: &Look, share: Share) -> Result<(), Fault> {
        let weights = self.wanted(look, share)?;
        let wanted = |m: &Member| weights(m);
        if look.members.iter().all(|m| m.weight == wanted(m)) {
            return Ok(());
        }
        let steps = order(look.sums(|m| m.weight), look.sums(wanted)).map(|side| {
            let servers = look.members.iter().filter(|m| m.side == side);
            servers.map(|m| format!("set weight {}/{} {}", self.backend, m.name, wanted(m))).collect()
        });
        // HAProxy goes on with a line after a refused command: where it may refuse to raise a side, the
        // other one is lowered only afterwards
        let lines = match look.weighing() {
            Weighing::Dynamic => lines(&[steps.concat()]),
            _ => lines(&steps),
        };
        let mut changed = 0;
        for line in lines {
            changed += self.send(cx, &line, changed).await?;
        }
        Ok(())
    }

    /// Every server's weight for this share of the first side, or why it would not come true.
    fn wanted(&self, look: &Look, share: Share) -> Result<impl Fn(&Member) -> u64 + use<>, Fault> {
        let weights = self.scale.weights(share);
        let whole = share == Share::ALL || share == Share::NONE;
        let configured = match look.weighing() {
            Weighing::Dynamic | Weighing::Unknown => false,
            Weighing::Static if !whole => {
                let algorithm = look.algorithm.as_deref().unwrap_or_default();
                let why = format!("`balance {algorithm}` takes 0 % and 100 % only");
                return Err(self
                    .refusal(why)
                    .hint("`balance roundrobin` takes any share; or give the service `stages: [100%]`"));
            }
            Weighing::Static | Weighing::Hashed => whole,
        };
        // a static algorithm takes the configured weight and no other
        let wanted = move |m: &Member| match weights[m.side] {
            weight if configured && weight > 0 && m.weight_configured > 0 => m.weight_configured,
            weight => weight,
        };
        let (predicted, meant) = (look.shares(wanted)[0], self.scale.nearest(share));
        if predicted == meant && look.sums(wanted) != [0, 0] {
            return Ok(wanted);
        }
        let out: Vec<_> = look.members.iter().filter(|m| !m.counts()).map(why_not).collect();
        let why = format!("{} would not have {meant} of the traffic: {}", self.side(0), out.join(", "));
        let ready: Vec<_> = look.members.iter().filter(|m| m.admin != look::Admin::Ready).collect();
        let fault = self.refusal(why);
        Err(match ready.first() {
            Some(m) => fault.hint(format!(
                "`set server {}/{} state ready`, if whoever took it out is done with it",
                self.backend, m.name
            )),
            None => fault.hint("remove `backup` from the server's line"),
        })
    }

    /// Sends one line and returns how many commands took effect, all of them.
    async fn send(&self, cx: &Context, line: &[String], changed_before: usize) -> Result<usize, Fault> {
        const OPERATION: &str = "set the weights";
        let object = self.object();
        let answer = match self.socket.call(cx, &line.join(";")).await {
            Ok(answer) => answer,
            Err(failed) if changed_before == 0 => return Err(failed.writing(OPERATION, &object)),
            Err(failed) => {
                let fault = failed.reading(OPERATION, &object);
                return Err(Fault::outcome_unknown(PROVIDER, OPERATION, &object, fault.detail));
            }
        };
        let Some(outcomes) = outcomes(&answer, line.len()) else {
            let detail = format!("unexpected answer: {}", answer.trim());
            return Err(Fault::outcome_unknown(PROVIDER, OPERATION, &object, detail));
        };
        let changed = changed_before + outcomes.iter().filter(|o| o.is_ok()).count();
        let refused = line.iter().zip(&outcomes).find_map(|(command, o)| Some((command, o.as_ref().err()?)));
        match refused {
            None => Ok(outcomes.len()),
            Some((command, why)) if changed == 0 => Err(hinted(self.refusal(format!("`{command}`: {why}")))),
            Some((command, why)) => {
                let detail = format!("`{command}`: {why}; other weights were set");
                Err(hinted(Fault::outcome_unknown(PROVIDER, OPERATION, &object, detail)))
            }
        }
    }

    /// Facts of the moment.
    fn notes(&self, look: &Look) -> Vec<String> {
        let mut notes = Vec::new();
        for (name, weight) in &look.strangers {
            notes.push(format!(
                "server {name} of backend {} belongs to no side and takes traffic (weight {weight}); \
                 shares are of what the two sides have",
                self.backend
            ));
        }
        notes.extend(look.members.iter().filter(|m| !m.counts()).map(why_not));
        notes.extend(look.members.iter().filter_map(|m| {
            Some(format!("{} is in a slow start, at {} % of its weight", m.name, m.throttle?))
        }));
        notes
    }

    /// What a reload of HAProxy would do to the weights, as far as that can be seen from here.
    async fn lost_by_reload(&self, look: &Look) -> Option<String> {
        if look.members.iter().all(|m| m.weight == m.weight_configured) {
            return None;
        }
        let [first, second] = look.shares(|m| m.weight_configured);
        let back = format!(
            "sets the configured weights again ({}: {first} on {}, {second} on {})",
            look.listed(|m| m.weight_configured),
            self.side(0),
            self.side(1)
        );
        let Some(file) = &self.state_file else {
            return Some(format!("a reload of HAProxy {back} unless it loads a server-state file"));
        };
        let problem = state_file::compare(file, self.backend.as_str(), &look.members).await.err()?;
        Some(format!("a reload of HAProxy {back}: {problem}"))
    }
}

fn why_not(member: &Member) -> String {
    let why = match member.admin {
        look::Admin::Maintenance => "is in maintenance",
        look::Admin::Drain => "is in drain",
        look::Admin::Ready => "is a backup server",
    };
    format!("{} {why}", member.name)
}

/// Commands in as few lines as they fit in; commands of different steps never share one.
fn lines(steps: &[Vec<String>]) -> Vec<Vec<String>> {
    let mut lines: Vec<Vec<String>> = Vec::new();
    for step in steps {
        let mut bytes = LINE_BYTES_MAX;
        for command in step {
            bytes += command.len() + 1;
            if bytes > LINE_BYTES_MAX {
                lines.push(Vec::new());
                bytes = command.len() + 1;
            }
            if let Some(line) = lines.last_mut() {
                line.push(command.clone());
            }
        }
    }
    lines
}

fn hinted(fault: Fault) -> Fault {
    if fault.detail.contains("Permission denied") {
        return fault.hint("the socket needs `level admin` on its `stats socket` line");
    }
    if fault.detail.contains("static LB algorithm") {
        return fault
            .hint("`balance roundrobin` or `hash-type consistent` takes any share; else `stages: [100%]`");
    }
    fault
}
