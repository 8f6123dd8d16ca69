//! The production that is simulated: services, databases, metrics, the journal, and what happens to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tidegate::{
    domain::{
        history::History,
        names::{SideName, TargetName},
        observed::{Activity, Health, Instance, Observed, Side},
        record::{Artifact, Record},
        share::Share,
    },
    engine::unit::Unit,
    port::Appended,
};

use crate::{
    faults::{Kind, Nature},
    invariants::{self, Fenced},
    runs::What,
};

pub type Shared = Arc<Mutex<World>>;
type Effect = Box<dyn FnOnce(&mut World) + Send>;

/// How long a weight takes until it is seen.
pub const PROPAGATION: Duration = Duration::from_millis(300);
/// How long a deployed side takes until it is healthy.
pub const BOOT: Duration = Duration::from_secs(3);
const REQUESTS_PER_SECOND: f64 = 100.0;
/// The candidate that is bad is bad under load: from this share on.
const BREAKS_AT: u16 = 4000;

pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct World {
    pub now: Duration,
    pub timers: BTreeSet<(Duration, u64)>,
    pub effects: BTreeMap<(Duration, u64), (String, Effect)>,
    /// Processes that start at a time: what, and how wrong their wall clock is.
    pub starts: Vec<(Duration, What, i64)>,
    ids: u64,
    random: u64,

    /// Every port call so far, by name.
    pub calls: Vec<(String, Nature)>,
    pub plan: BTreeMap<usize, Kind>,
    pub fired: Vec<(usize, String)>,
    pub killed: BTreeSet<usize>,
    pub runs: BTreeMap<usize, Run>,

    pub places: BTreeMap<TargetName, Place>,
    /// The version that breaks under load, if there is one.
    pub bad: Option<String>,
    /// Without it, a migration cannot tell whether it ran.
    pub tells_revision: bool,
    pub web: Web,
    /// Sides that are down from one time to another.
    pub flaps: Vec<(TargetName, SideName, Duration, Duration)>,
    /// Times in which metrics cannot be read.
    pub outages: Vec<(Duration, Duration)>,
    /// Times since the share of the first stage was set in which all requests go to the baseline nevertheless.
    pub elsewhere: Vec<(Duration, Duration)>,
    /// What is different in the unit's file.
    pub adjust: fn(&mut Unit),
    /// How long a job may take.
    pub time_limit: Option<Duration>,
    /// The lines that runs printed.
    pub told: Vec<String>,

    pub journal: Vec<Record>,
    pub appended_at: Vec<Duration>,
    pub history: History,
    /// By database and key: how often it was taken.
    pub snapshots: BTreeMap<(String, String), usize>,
    pub revision: usize,
    /// By attempt: how often the migration ran.
    pub migrated: BTreeMap<String, usize>,

    pub log: Vec<String>,
    pub violations: Vec<String>,
}

/// One process, as the world sees it.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub process: String,
    /// Not polled yet.
    pub fresh: bool,
    /// When it last read or wrote the journal, as the journal saw it.
    pub journal_at: Duration,
    pub fenced: Fenced,
    /// What it last saw of the health of sides.
    pub saw: BTreeMap<(TargetName, SideName), bool>,
    /// Writes to anything but the journal, and appends.
    pub writes: usize,
    pub appends: usize,
}

/// How the second service goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Web {
    /// With the other one, stage by stage.
    Split,
    /// At once, in the last stage.
    Whole,
    /// By stages of its own, after the other one.
    Own,
}

/// One service.
#[derive(Clone, Debug)]
pub struct Place {
    /// The share of `green`, and since when; the last one is configured.
    pub changes: Vec<(Duration, Share)>,
    /// When each side is up from; absent: it is down.
    pub up_from: BTreeMap<SideName, Duration>,
    pub versions: BTreeMap<SideName, String>,
    /// Requests and errors per side.
    pub counters: BTreeMap<SideName, (f64, f64)>,
}

pub fn blue() -> SideName {
    SideName::new("blue").unwrap()
}

pub fn green() -> SideName {
    SideName::new("green").unwrap()
}

pub fn services() -> [TargetName; 2] {
    [TargetName::new("api").unwrap(), TargetName::new("web").unwrap()]
}

impl Place {
    fn new() -> Self {
        Place {
            changes: vec![(Duration::ZERO, Share::NONE)],
            up_from: BTreeMap::from([(blue(), Duration::ZERO)]),
            versions: BTreeMap::from([(blue(), "v1.0.0".to_string())]),
            counters: BTreeMap::new(),
        }
    }

    /// The share of `green` that was set last.
    pub fn configured(&self) -> Share {
        self.changes.last().unwrap().1
    }

    /// The share of `side` that was set last.
    pub fn configured_of(&self, side: &SideName) -> Share {
        if *side == green() { self.configured() } else { self.configured().rest() }
    }

    fn visible(&self, now: Duration, ago: usize) -> Share {
        let seen = self.changes.iter().rposition(|(at, _)| *at + PROPAGATION <= now).unwrap_or(0);
        self.changes[seen.saturating_sub(ago)].1
    }
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            now: Duration::from_secs(1000),
            timers: BTreeSet::new(),
            effects: BTreeMap::new(),
            starts: Vec::new(),
            ids: 0,
            random: seed,
            calls: Vec::new(),
            plan: BTreeMap::new(),
            fired: Vec::new(),
            killed: BTreeSet::new(),
            runs: BTreeMap::new(),
            places: services().into_iter().map(|s| (s, Place::new())).collect(),
            bad: None,
            tells_revision: true,
            web: Web::Split,
            flaps: Vec::new(),
            outages: Vec::new(),
            elsewhere: Vec::new(),
            adjust: |_| {},
            time_limit: None,
            told: Vec::new(),
            journal: Vec::new(),
            appended_at: Vec::new(),
            history: History::default(),
            snapshots: BTreeMap::new(),
            revision: 0,
            migrated: BTreeMap::new(),
            log: Vec::new(),
            violations: Vec::new(),
        }
    }

    pub fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// The next of a seeded sequence, below `limit` (SplitMix64).
    pub fn random(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    pub fn note(&mut self, line: String) {
        self.log.push(format!("{:>9.3} {line}", self.now.as_secs_f64()));
    }

    pub fn violation(&mut self, what: String) {
        self.note(format!("VIOLATION {what}"));
        self.violations.push(what);
    }

    pub fn begin(&mut self, what: &What, skew: i64) -> usize {
        let run = self.runs.len() + 1;
        self.note(format!("run {run} {what:?} starts (clock off by {skew} s)"));
        let state = Run { process: format!("process-{run}"), fresh: true, ..Run::default() };
        self.runs.insert(run, state);
        run
    }

    /// What is to start now.
    pub fn due(&mut self) -> Vec<(What, i64)> {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.starts).into_iter().partition(|(at, _, _)| *at <= now);
        self.starts = later;
        let due: Vec<(Duration, What, i64)> = due;
        due.into_iter().map(|(_, what, skew)| (what, skew)).collect()
    }

    /// Jumps to the next thing that happens; `false` if nothing ever will.
    pub fn advance(&mut self) -> bool {
        // A timer that is due was polled, or belongs to a future that nobody polls just now.
        let timer = self.timers.iter().map(|(at, _)| *at).find(|at| *at > self.now);
        let effect = self.effects.keys().next().map(|(at, _)| *at);
        let start = self.starts.iter().map(|(at, _, _)| *at).min();
        let Some(next) = [timer, effect, start].into_iter().flatten().min() else { return false };
        self.advance_to(next.max(self.now));
        true
    }

    pub fn advance_to(&mut self, until: Duration) {
        while let Some(entry) = self.effects.first_entry()
            && entry.key().0 <= until
        {
            let ((at, _), (name, effect)) = entry.remove_entry();
            self.flow(at.max(self.now));
            self.note(format!("LANDS LATE {name}"));
            effect(self);
        }
        self.flow(until);
    }

    /// Requests arrive until then, split as it is seen.
    fn flow(&mut self, until: Duration) {
        let seconds = (until - self.now).as_secs_f64();
        let bad = self.bad.clone();
        for place in self.places.values_mut() {
            let since = self.now.saturating_sub(place.changes.last().unwrap().0);
            let elsewhere = place.configured().basis_points() < BREAKS_AT
                && self.elsewhere.iter().any(|(from, to)| (*from..*to).contains(&since));
            let share = if elsewhere { Share::NONE } else { place.visible(self.now, 0) };
            for (side, part) in [(green(), share), (blue(), share.rest())] {
                let broken = bad.is_some()
                    && place.versions.get(&side) == bad.as_ref()
                    && part.basis_points() >= BREAKS_AT;
                let requests = seconds * REQUESTS_PER_SECOND * part.fraction();
                let counter = place.counters.entry(side).or_default();
                counter.0 += requests;
                counter.1 += requests * if broken { 0.4 } else { 0.001 };
            }
        }
        self.now = until;
    }

    pub fn up(&self, target: &TargetName, side: &SideName) -> bool {
        let flap = self
            .flaps
            .iter()
            .any(|(t, s, from, to)| t == target && s == side && (*from..*to).contains(&self.now));
        !flap && self.places[target].up_from.get(side).is_some_and(|at| *at <= self.now)
    }

    pub fn observe(&mut self, run: usize, target: &TargetName, stale: bool) -> Observed {
        let place = &self.places[target];
        let share = place.visible(self.now, usize::from(stale));
        let mut sides = Vec::new();
        for (name, share) in [(blue(), share.rest()), (green(), share)] {
            let up = self.up(target, &name);
            let health = if up { Health::Up } else { Health::Down { why: "no answer".into() } };
            let instance = |n: u8| Instance {
                name: format!("{name}-{n}"),
                address: Some(format!("10.0.0.{n}:80")),
                health: health.clone(),
            };
            let version = self.places[target].versions.get(&name).cloned();
            sides.push(Side {
                elastic: false,
                instances: vec![instance(1), instance(2)],
                labels: BTreeMap::new(),
                name,
                version,
                share,
            });
        }
        for side in &sides {
            if let Some(state) = self.runs.get_mut(&run) {
                state.saw.insert((target.clone(), side.name.clone()), side.ready().is_ok());
            }
        }
        Observed { sides, activity: Activity::Idle, notes: Vec::new() }
    }

    pub fn set_share(&mut self, target: &TargetName, share: Share) {
        let now = self.now;
        self.note(format!("{target}: green is set to {share}"));
        let place = self.places.get_mut(target).unwrap();
        if place.configured() != share {
            place.changes.push((now, share));
        }
    }

    pub fn bring_up(&mut self, target: &TargetName, side: &SideName, version: &str) {
        self.note(format!("{target}: {side} is deployed with {version}"));
        let up = self.now + BOOT;
        let place = self.places.get_mut(target).unwrap();
        place.up_from.insert(side.clone(), up);
        place.versions.insert(side.clone(), version.to_string());
    }

    pub fn append(&mut self, record: &Record) -> Appended {
        let next = self.journal.len() as u64 + 1;
        if record.seq != next {
            return Appended::Conflict;
        }
        let event = serde_json::to_value(&record.event).unwrap();
        let mut text = event.to_string();
        text.truncate(text.char_indices().nth(260).map_or(text.len(), |(i, _)| i));
        self.note(format!("JOURNAL {next} by {}: {text}", record.holder.process));
        invariants::appending(self, record);
        self.journal.push(record.clone());
        self.appended_at.push(self.now);
        if let Err(corrupt) = self.history.push(record) {
            self.violation(format!("the journal cannot be replayed: {corrupt}"));
        }
        Appended::Done
    }

    pub fn snapshot(&mut self, database: &str, key: &str) -> Artifact {
        self.note(format!("snapshot {database} {key}"));
        let taken = self.snapshots.entry((database.to_string(), key.to_string())).or_default();
        *taken += 1;
        if *taken > 1 {
            self.violation(format!("the snapshot {key} of {database} was taken twice"));
        }
        artifact(key, self.now)
    }

    /// Whether the migration of the open attempt ran.
    pub fn migration_ran(&self) -> bool {
        let open = self.history.open().map(|r| r.attempt.opened.to_string());
        open.is_some_and(|attempt| self.migrated.contains_key(&attempt))
    }

    pub fn migrate(&mut self, attempt: &str) {
        self.note(format!("migration of attempt {attempt} runs"));
        self.revision += 1;
        let ran = self.migrated.entry(attempt.to_string()).or_default();
        *ran += 1;
        if *ran > 1 {
            self.violation(format!("the migration of attempt {attempt} ran twice"));
        }
    }
}

pub fn artifact(key: &str, now: Duration) -> Artifact {
    Artifact {
        id: key.to_string(),
        bytes: Some(1 << 20),
        checksum: None,
        source: "simulated".into(),
        at: crate::clock::wall(now, 0),
    }
}
