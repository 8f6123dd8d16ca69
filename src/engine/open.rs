//! Opening an attempt, and what becomes of the one before it.

use std::collections::BTreeMap;

use super::{Engine, Supersede, ledger::Ledger};
use crate::{
    domain::{
        decision::{Halt, World},
        history::Release,
        names::ReleaseName,
        observed::{Observed, Side},
        record::{Closing, Cursors, Event, Evidence, Opened, Origin},
        share::Share,
        verdict::Verdict,
    },
    error::{Failure, Told},
};

/// Looks at targets that do not stand still.
const LOOKS_MAX: u32 = 10;

impl Engine<'_> {
    /// Makes sure that the attempt this command speaks of is open: goes on with it, or opens it.
    pub(crate) async fn ensure_open(&self, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        self.still_bound(ledger)?;
        let asked = self.options.release.clone();
        if let Some(open) = ledger.history.open().cloned() {
            match &asked {
                Some(name) if name != open.name() => self.close_other(ledger, &open, name).await?,
                // Another run began it while this one waited for the lease.
                _ if open.undoing => return Err(super::refusal::explain(&Halt::RollingBack)),
                _ => {
                    self.bind(open.attempt.opened);
                    return Ok(());
                }
            }
        }
        let Some(name) = asked else { return Err(no_release()) };
        if let Some(last) = &ledger.history.release
            && last.name() == &name
            && last.closed.as_ref().is_some_and(|c| matches!(c.how, Closing::Finished | Closing::Superseded))
        {
            return Err(Failure::Refused(Told::new(
                format!(
                    "{} is finished: it serves all traffic since attempt {}; nothing was changed",
                    name, last.attempt
                ),
                "give a new release another name; to go back run `tidegate rollback --to VERSION`",
            )));
        }
        self.open(ledger, name, None).await
    }

    /// Opens an attempt with the targets as they are now.
    pub(crate) async fn open(
        &self,
        ledger: &mut Ledger<'_>,
        name: ReleaseName,
        reverse_to: Option<ReleaseName>,
    ) -> Result<(), Failure> {
        let world = self.observe_twice().await?;
        let mut targets = BTreeMap::new();
        for (target, observed) in world {
            let origin = origin(&observed).map_err(|why| {
                Failure::Refused(Told::new(
                    format!("cannot tell which side of {target} is the baseline: {why}; nothing was changed"),
                    "move all its traffic to one side first",
                ))
            })?;
            targets.insert(target, origin);
        }
        let mut opened = Opened {
            unit: self.unit.name.clone(),
            environment: self.unit.environment.clone(),
            release: name,
            targets,
            config_digest: self.unit.digest.clone(),
            config: self.unit.text.clone(),
            cursors: Cursors::new(),
            reverse_to,
        };
        opened.cursors = self.first_cursors(&opened).await;
        ledger.fence().await?;
        ledger.append(Event::Opened(opened)).await?;
        ledger.tell(self);
        if let Some(release) = ledger.history.open() {
            self.bind(release.attempt.opened);
            let sides: Vec<String> = release
                .opened
                .targets
                .iter()
                .map(|(t, o)| format!("{t}: baseline {}, candidate {}", o.baseline, o.candidate))
                .collect();
            self.progress.line(&format!("opened {}   {}", release.attempt, sides.join("; ")));
        }
        Ok(())
    }

    /// Looks at every target until two looks in a row agree: all that follows, and every way back, rests
    /// on which side is the baseline.
    async fn observe_twice(&self) -> Result<World, Failure> {
        let mut before = self.observe_these(self.unit.services.iter()).await?;
        for _ in 0..LOOKS_MAX {
            self.stop.pause(self.clock.as_ref(), self.timing.second_look).await?;
            let world = self.observe_these(self.unit.services.iter()).await?;
            let shares = |world: &World| -> Vec<_> {
                world.values().flat_map(|o| o.sides.iter().map(|s| s.share)).collect()
            };
            if shares(&world) == shares(&before) {
                return Ok(world);
            }
            before = world;
        }
        Err(Failure::Refused(Told::new(
            "the traffic moves while nothing of ours moves it; nothing was changed",
            "find out what does, then run the same command again",
        )))
    }

    /// Another release is open: it closes by itself where nothing is lost, otherwise a person decides.
    async fn close_other(
        &self,
        ledger: &mut Ledger<'_>,
        open: &Release,
        asked: &ReleaseName,
    ) -> Result<(), Failure> {
        let quiet = open.pending.is_none() && !open.undoing && open.stuck.is_none();
        let how = match self.options.supersede {
            _ if quiet && open.stands_at(Share::NONE) => Closing::Abandoned,
            _ if quiet && open.stands_at(Share::ALL) && passed(open) => Closing::Superseded,
            Some(Supersede::Finish) if quiet && open.stands_at(Share::ALL) => Closing::Superseded,
            Some(Supersede::Rollback) => {
                self.undo(ledger, "superseded by another release").await?;
                return Ok(());
            }
            _ => {
                let split: Vec<String> = open.split.iter().map(|(t, s)| format!("{t} at {s}")).collect();
                let who = open.opened.release.clone();
                return Err(Failure::Held(Told::new(
                    format!(
                        "{who} is open since {} ({}); {asked} cannot start beside it; nothing was changed",
                        open.opened_at,
                        split.join(", ")
                    ),
                    format!(
                        "`tidegate rollout --release {who}` goes on with it, `tidegate rollback --release {who}` takes it back; \
                         or `--supersede rollback` (at 100 %: `--supersede finish`) with this command"
                    ),
                )));
            }
        };
        let reason = Some(format!("{asked} came"));
        ledger.append(Event::Closed { how, reason }).await?;
        self.progress.line(&format!(
            "closed {} as {}: {asked} came",
            open.attempt,
            if how == Closing::Abandoned { "abandoned" } else { "superseded" }
        ));
        Ok(())
    }

    /// Before the first traffic moves: what the baseline showed since the release opened.
    pub(crate) async fn record_baseline(&self, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let Some(release) = ledger.history.open().cloned() else { return Ok(()) };
        let needed = self.unit.checks.iter().any(|c| c.check.remembers());
        if !needed || !release.recorded.is_empty() || release.split != release.origin_split() {
            return Ok(());
        }
        let (samples, seconds) = self.measure_baseline(&release).await;
        if !samples.is_empty() {
            ledger.append(Event::Recorded { samples, seconds }).await?;
        }
        Ok(())
    }

    async fn measure_baseline(&self, release: &Release) -> (Evidence, u64) {
        let from = release.opened_at;
        let answers = self.measure_once(release, from, &release.opened.cursors).await;
        let seconds = u64::try_from(self.clock.now().duration_since(from).as_secs()).unwrap_or(0);
        (answers, seconds)
    }
}

fn passed(open: &Release) -> bool {
    open.verdict_here().is_some_and(|j| j.verdict == Verdict::Pass)
}

/// The side that serves is the baseline.
pub(crate) fn origin(observed: &Observed) -> Result<Origin, String> {
    let [first, second] = observed.sides.as_slice() else {
        return Err(format!("it has {} sides", observed.sides.len()));
    };
    let (baseline, candidate): (&Side, &Side) = match first.share.cmp(&second.share) {
        std::cmp::Ordering::Greater => (first, second),
        std::cmp::Ordering::Less => (second, first),
        std::cmp::Ordering::Equal => {
            return Err(format!("{} and {} have {} each", first.name, second.name, first.share));
        }
    };
    Ok(Origin {
        baseline: baseline.name.clone(),
        candidate: candidate.name.clone(),
        share: candidate.share,
        sides: observed.sides.clone(),
    })
}

pub(crate) fn no_release() -> Failure {
    Failure::Usage {
        message: "no release is open, and none was named".into(),
        hint: Some("say which one: `--release v1.2.3`".into()),
    }
}
