//! Ramps: which services go up together, and by which stages.
//!
//! Services without `stages` of their own share the file's. Each of the others is a ramp of its own, walked
//! by itself in its place in the file; all of them are rolled back together.

use super::{
    Engine,
    unit::{Service, Unit},
};
use crate::domain::{
    history::Release,
    names::TargetName,
    share::Share,
    stage::{Stage, Stages},
};

/// Services that go up together.
#[derive(Clone, Copy)]
pub struct Ramp<'a> {
    /// The one service that has stages of its own; otherwise all that have none.
    pub own: Option<&'a Service>,
    pub stages: &'a Stages,
}

impl Unit {
    /// In the order of the file; the shared ramp stands where the first of its services does.
    pub fn ramps(&self) -> Vec<Ramp<'_>> {
        let mut ramps: Vec<Ramp<'_>> = Vec::new();
        for service in &self.services {
            match &service.stages {
                Some(stages) => ramps.push(Ramp { own: Some(service), stages }),
                None if ramps.iter().any(|ramp| ramp.own.is_none()) => {}
                None => ramps.push(Ramp { own: None, stages: &self.stages }),
            }
        }
        ramps
    }
}

impl Ramp<'_> {
    pub fn has(&self, service: &Service) -> bool {
        match self.own {
            Some(own) => own.name == service.name,
            None => service.stages.is_none(),
        }
    }
}

impl<'a> Engine<'a> {
    /// The same invocation, moving this ramp alone.
    pub(crate) fn on(&self, ramp: Ramp<'a>) -> Engine<'a> {
        Engine { ramp: ramp.own.map(|own| own.name.clone()), ..self.again() }
    }

    /// The ramp that a command moves: the one that was chosen, otherwise the first.
    fn ramp(&self) -> Option<Ramp<'a>> {
        let ramps = self.unit.ramps();
        let named = |name: &TargetName| {
            let service = self.unit.service(name)?;
            ramps.iter().copied().find(|ramp| ramp.has(service))
        };
        match (&self.ramp, self.options.services.first()) {
            (Some(name), _) | (None, Some(name)) => named(name),
            (None, None) => ramps.iter().copied().find(|ramp| ramp.own.is_none()).or(ramps.first().copied()),
        }
    }

    /// The services whose traffic this command moves.
    pub(crate) fn moving(&self) -> impl Iterator<Item = &'a Service> {
        let ramp = self.ramp();
        self.chosen().filter(move |s| ramp.is_some_and(|ramp| ramp.has(s)))
    }

    pub(crate) fn stages(&self) -> &'a Stages {
        self.ramp().map_or(&self.unit.stages, |ramp| ramp.stages)
    }

    /// How far the services of this command have got. One that cannot be split has not fallen behind while
    /// it waits for its stage.
    pub(crate) fn reached(&self, release: &Release) -> Share {
        let at = |s: &Service| release.split.get(&s.name).copied().unwrap_or(Share::NONE);
        let split = self.moving().filter(|s| s.target.caps().splits).map(at).min();
        split.or_else(|| self.moving().map(at).min()).unwrap_or(Share::NONE)
    }

    /// The stage that comes next for the services of this command.
    pub(crate) fn next_stage(&self, release: &Release) -> Option<Stage> {
        let reached = self.reached(release);
        let behind = |stage: &&Stage| {
            self.moving().any(|s| release.split.get(&s.name).is_none_or(|at| *at < s.share_at(stage.to)))
        };
        self.stages().as_slice().iter().filter(|stage| stage.to >= reached).find(behind).copied()
    }

    /// Whether a service's candidate is to be judged: it has traffic, or nothing of the unit has.
    pub(crate) fn under_test(&self, release: Option<&Release>, target: &TargetName) -> bool {
        let Some(release) = release else { return true };
        let moved = |target: &TargetName| {
            let origin = release.opened.targets.get(target).map_or(Share::NONE, |o| o.share);
            release.split.get(target).is_some_and(|at| *at != origin)
        };
        moved(target) || !release.opened.targets.keys().any(moved)
    }
}
