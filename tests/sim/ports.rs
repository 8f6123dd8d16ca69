//! Every port over the simulated world. One way in, `Door::call`, where the faults are.

use async_trait::async_trait;
use std::{collections::BTreeMap, time::Duration};
use tidegate::{
    domain::{
        names::{EntryName, Role, TargetName},
        observed::Observed,
        record::{Artifact, Record},
        sample::Sample,
        share::Share,
    },
    port::{
        Appended, Ask, Caps, Change, Command, Context, Database, Fault, Finding, Found, Journal, Metric,
        Output, Progress, Reach, Target, Task, Treat, Window, metric::Measured,
    },
};

use crate::{
    clock::sleep,
    faults::{Kind, LANDS, Nature},
    invariants,
    world::{Shared, World, artifact, blue, green, lock},
};

pub const LEASE: u64 = 30;

/// The world as one run reaches it.
#[derive(Clone)]
pub struct Door {
    pub world: Shared,
    pub run: usize,
}

impl Door {
    /// One call: takes its time, has its effect, answers; and may suffer the fault planned for it.
    async fn call<T: Send + 'static>(
        &self,
        cx: &Context,
        name: String,
        nature: Nature,
        takes: Duration,
        effect: impl FnOnce(&mut World, bool) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (index, fault, latency) = {
            let mut world = lock(&self.world);
            let index = world.calls.len();
            world.calls.push((name.clone(), nature));
            world.note(format!("#{index} run {} {name}", self.run));
            let fault = world.plan.get(&index).copied().filter(|kind| kind.fits(nature));
            (index, fault, Duration::from_millis(2 + world.random(8)))
        };
        let fire = |kind: Kind| {
            let mut world = lock(&self.world);
            world.note(format!("FAULT {kind:?} at #{index} {name}"));
            world.fired.push((index, name.clone()));
        };
        let fail = |treat, detail: &str| Err(Fault::new(treat, "sim", name.clone(), "world", detail));
        match fault {
            Some(kind @ Kind::Late(extra)) => {
                fire(kind);
                if nature.sends() {
                    self.later(cx.left() + extra, name.clone(), effect);
                }
                return std::future::pending().await;
            }
            Some(kind @ Kind::Orphan(after)) => {
                fire(kind);
                self.later(after.min(LANDS), name.clone(), effect);
                return self.killed().await;
            }
            Some(kind @ Kind::Second(second)) => {
                fire(kind);
                let mut world = lock(&self.world);
                let now = world.now;
                world.starts.push((now, second.what(), 0));
            }
            _ => {}
        }
        sleep(&self.world, latency / 2 + takes).await;
        match fault {
            Some(kind @ Kind::Refused(treat)) => {
                fire(kind);
                return fail(treat, "refused");
            }
            Some(Kind::KillBefore) => {
                fire(Kind::KillBefore);
                return self.killed().await;
            }
            Some(kind @ (Kind::Stale | Kind::Ignored)) => fire(kind),
            _ => {}
        }
        let answer = effect(&mut lock(&self.world), matches!(fault, Some(Kind::Stale | Kind::Ignored)));
        match fault {
            Some(Kind::KillAfter) => {
                fire(Kind::KillAfter);
                return self.killed().await;
            }
            Some(Kind::Lost) => {
                fire(Kind::Lost);
                return fail(Treat::OutcomeUnknown, "the answer was lost");
            }
            _ => {}
        }
        sleep(&self.world, latency / 2).await;
        answer
    }

    fn later<T>(
        &self,
        after: Duration,
        name: String,
        effect: impl FnOnce(&mut World, bool) -> Result<T, Fault> + Send + 'static,
    ) {
        let mut world = lock(&self.world);
        let key = (world.now + after, world.id());
        let effect = Box::new(move |world: &mut World| drop(effect(world, false)));
        world.effects.insert(key, (name, effect));
    }

    async fn killed<T>(&self) -> T {
        {
            let mut world = lock(&self.world);
            world.note(format!("run {} is killed", self.run));
            world.killed.insert(self.run);
        }
        std::future::pending().await
    }
}

pub struct SimTarget {
    pub door: Door,
    pub name: TargetName,
    pub deploys: bool,
    pub splits: bool,
}

#[async_trait]
impl Target for SimTarget {
    fn caps(&self) -> Caps {
        Caps {
            sides: [blue(), green()],
            deploys: self.deploys,
            retires: true,
            precondition: false,
            splits: self.splits,
        }
    }

    async fn observe(&self, cx: &Context) -> Result<Observed, Fault> {
        let (run, name) = (self.door.run, self.name.clone());
        invariants::not_fenced(&mut lock(&self.door.world), run);
        let effect = move |world: &mut World, stale| Ok(world.observe(run, &name, stale));
        self.door.call(cx, format!("observe {}", self.name), Nature::Look, Duration::ZERO, effect).await
    }

    async fn apply(&self, cx: &Context, change: &Change) -> Result<(), Fault> {
        let (run, name) = (self.door.run, self.name.clone());
        invariants::writing(&mut lock(&self.door.world), run, &name, change);
        let label = match change {
            Change::Share(shares) => {
                format!("share {} green {}", self.name, shares.get(&green()).copied().unwrap_or_default())
            }
            Change::Deploy { side, .. } => format!("deploy {} {side}", self.name),
            Change::Revive { side } => format!("revive {} {side}", self.name),
            Change::Retire { side } => format!("retire {} {side}", self.name),
        };
        let change = change.clone();
        let nature = if matches!(change, Change::Share(_)) { Nature::Share } else { Nature::Write };
        let effect = move |world: &mut World, ignored| {
            match &change {
                Change::Share(_) if ignored => {}
                Change::Share(shares) => {
                    world.set_share(&name, shares.get(&green()).copied().unwrap_or(Share::NONE));
                }
                Change::Deploy { side, artifact, .. } => {
                    let version = artifact.clone().unwrap_or_default();
                    world.bring_up(&name, side, &version);
                }
                Change::Revive { side } => {
                    world.note(format!("{name}: {side} is scaled up"));
                    let up = world.now + crate::world::BOOT;
                    let place = world.places.get_mut(&name).unwrap();
                    place.up_from.entry(side.clone()).or_insert(up);
                }
                Change::Retire { side } => {
                    world.note(format!("{name}: {side} is retired"));
                    invariants::retired(world, &name, side);
                    world.places.get_mut(&name).unwrap().up_from.remove(side);
                }
            }
            Ok(())
        };
        self.door.call(cx, label, nature, Duration::ZERO, effect).await
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        let name = format!("preflight {}", self.name);
        let found = self.door.call(cx, name, Nature::Read, Duration::ZERO, |_, _| Ok(())).await;
        match found {
            Ok(()) => Vec::new(),
            Err(fault) => {
                vec![Finding::new(tidegate::port::Grade::Unknown, self.name.to_string(), fault.to_string())]
            }
        }
    }
}

pub struct SimDatabase {
    pub door: Door,
    pub name: String,
}

#[async_trait]
impl Database for SimDatabase {
    async fn find(&self, cx: &Context, key: &str) -> Result<Found, Fault> {
        let (database, key) = (self.name.clone(), key.to_string());
        let effect = move |world: &mut World, _| {
            let taken = world.snapshots.contains_key(&(database, key.clone()));
            Ok(if taken { Found::Ready(artifact(&key, world.now)) } else { Found::Absent })
        };
        self.door.call(cx, "find the snapshot".into(), Nature::Read, Duration::ZERO, effect).await
    }

    async fn snapshot(&self, cx: &Context, key: &str, _: &dyn Progress) -> Result<Artifact, Fault> {
        let (database, key, run) = (self.name.clone(), key.to_string(), self.door.run);
        invariants::working(&mut lock(&self.door.world), run, "snapshot");
        let effect = move |world: &mut World, _| Ok(world.snapshot(&database, &key));
        self.door.call(cx, "take the snapshot".into(), Nature::Work, Duration::from_secs(3), effect).await
    }

    async fn verify(&self, _: &Context, _: &Artifact) -> Result<(), Fault> {
        Ok(())
    }

    async fn restore(
        &self,
        _: &Context,
        _: &Artifact,
        _: &str,
        _: &dyn Progress,
    ) -> Result<Vec<String>, Fault> {
        Ok(Vec::new())
    }

    async fn list(&self, cx: &Context) -> Result<Vec<Artifact>, Fault> {
        self.door
            .call(cx, "list the snapshots".into(), Nature::Read, Duration::ZERO, |_, _| Ok(Vec::new()))
            .await
    }

    async fn delete(&self, _: &Context, _: &Artifact) -> Result<(), Fault> {
        Ok(())
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        let call = self.door.call(cx, "preflight main".into(), Nature::Read, Duration::ZERO, |_, _| Ok(()));
        drop(call.await);
        Vec::new()
    }
}

pub struct SimMetric {
    pub door: Door,
}

type Cursor = BTreeMap<String, (f64, f64)>;

#[async_trait]
impl Metric for SimMetric {
    fn reach(&self, _: &EntryName, _: &TargetName) -> Reach {
        Reach::Sides
    }

    async fn measure(
        &self,
        cx: &Context,
        asks: &[Ask],
        _: Window,
        cursor: Option<&serde_json::Value>,
    ) -> Result<Measured, Fault> {
        let before: Cursor = cursor.map(|c| serde_json::from_value(c.clone()).unwrap()).unwrap_or_default();
        let asks: Vec<Ask> = asks.to_vec();
        let effect = move |world: &mut World, _| {
            let now = world.now;
            if world.outages.iter().any(|(from, to)| (*from..*to).contains(&now)) {
                return Err(Fault::temporary("sim", "measure", "metrics", "outage"));
            }
            let mut cursor = before.clone();
            let mut samples = Vec::new();
            for ask in &asks {
                let key = format!("{}/{}", ask.target, ask.side);
                let seen = world.places[&ask.target].counters.get(&ask.side).copied().unwrap_or_default();
                cursor.insert(key.clone(), seen);
                samples.push(Ok(before.get(&key).map_or(Sample::Empty, |then| Sample::Counts {
                    bad: (seen.1 - then.1).max(0.0).round() as u64,
                    total: (seen.0 - then.0).max(0.0).round() as u64,
                })));
            }
            let candidates = asks.iter().filter(|a| a.role == Role::Candidate).count();
            world.note(format!("measured {} sides, {candidates} of them candidates", asks.len()));
            Ok(Measured { samples, cursor: Some(serde_json::to_value(cursor).unwrap()) })
        };
        self.door.call(cx, "measure".into(), Nature::Read, Duration::ZERO, effect).await
    }
}

pub struct SimJournal {
    pub door: Door,
}

impl SimJournal {
    async fn read_it<T: Send + 'static>(
        &self,
        cx: &Context,
        name: String,
        read: impl FnOnce(&World) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let run = self.door.run;
        let effect = move |world: &mut World, _| {
            invariants::journal_seen(world, run);
            Ok(read(world))
        };
        self.door.call(cx, name, Nature::Read, Duration::ZERO, effect).await
    }
}

#[async_trait]
impl Journal for SimJournal {
    async fn head(&self, cx: &Context) -> Result<Option<Record>, Fault> {
        self.read_it(cx, "journal head".into(), |world| world.journal.last().cloned()).await
    }

    async fn read(&self, cx: &Context, seq: u64) -> Result<Option<Record>, Fault> {
        let read = move |world: &World| world.journal.iter().find(|r| r.seq == seq).cloned();
        self.read_it(cx, format!("journal read {seq}"), read).await
    }

    async fn load(&self, cx: &Context, from: u64) -> Result<Vec<Record>, Fault> {
        let read = move |world: &World| world.journal.iter().filter(|r| r.seq >= from).cloned().collect();
        self.read_it(cx, format!("journal load {from}"), read).await
    }

    async fn append(&self, cx: &Context, record: &Record) -> Result<Appended, Fault> {
        let (record, run) = (record.clone(), self.door.run);
        let name = format!("journal append {}", record.seq);
        let effect = move |world: &mut World, _| {
            let appended = world.append(&record);
            invariants::journal_seen(world, run);
            if let Some(state) = world.runs.get_mut(&run)
                && appended == Appended::Done
            {
                state.appends += 1;
            }
            Ok(appended)
        };
        self.door.call(cx, name, Nature::Write, Duration::ZERO, effect).await
    }

    fn place(&self) -> String {
        "simulated".into()
    }

    fn lease_seconds(&self) -> u64 {
        LEASE
    }
}

/// What a simulated step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    Migrate,
    Revision,
    DeployGreen,
    Nothing,
}

pub struct SimCommand {
    pub door: Door,
    pub does: Does,
}

#[async_trait]
impl Command for SimCommand {
    async fn run(&self, cx: &Context, task: &Task, _: &dyn Progress) -> Result<Output, Fault> {
        let (does, run) = (self.does, self.door.run);
        let takes = Duration::from_secs(if does == Does::Migrate { 2 } else { 0 });
        if does != Does::Revision {
            invariants::working(&mut lock(&self.door.world), run, &task.name);
        }
        let variables = task.variables.clone();
        let variable = move |key: &str| variables.get(key).cloned().unwrap_or_default();
        let effect = move |world: &mut World, _| {
            let mut answer = None;
            match does {
                Does::Migrate => world.migrate(&variable("TIDEGATE_ATTEMPT")),
                Does::Revision => answer = Some(format!("r{}", world.revision)),
                Does::DeployGreen => {
                    let target = TargetName::new(variable("TIDEGATE_SERVICE")).unwrap();
                    let side = variable("TIDEGATE_SIDE").parse().unwrap();
                    world.bring_up(&target, &side, &variable("TIDEGATE_RELEASE"));
                }
                Does::Nothing => {}
            }
            Ok(Output { answer, summary: "exit 0".into() })
        };
        let nature = if does == Does::Revision { Nature::Read } else { Nature::Work };
        self.door.call(cx, format!("run {}", task.name), nature, takes, effect).await
    }
}
