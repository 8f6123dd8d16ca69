//! `verify-metrics --recheck`: the same checks once more when a release has been finished for a while.
//!
//! Some harm shows late: a leak, a nightly job, a cache that runs empty. The checks are asked what the side
//! that serves shows now, against what was recorded before the shift; a `warn` counts as a `fail`. It moves
//! nothing: the release is over, and going back is another one.

use std::{ops::RangeInclusive, time::Duration};

use super::{Engine, ledger::Ledger, outcome::Done, run::Run};
use crate::{
    domain::{
        duration::spoken,
        history::{Closed, Release},
        record::{Closing, Event},
        verdict::{Judgement, Verdict, worst},
    },
    error::Failure,
};

/// Bounds without a window of their own get at least so long to show something.
const LOOK_LEAST: Duration = Duration::from_secs(30);

/// A re-check that comes to no verdict is asked again for as long as it came after the finish, within these.
const PATIENCE: RangeInclusive<Duration> = Duration::from_secs(30 * 60)..=Duration::from_secs(6 * 3600);

fn patience(after: Duration) -> Duration {
    after.clamp(*PATIENCE.start(), *PATIENCE.end())
}

impl Engine<'_> {
    /// Asks the checks again if that is due, for `time` (what the longest bound looks back over if absent).
    pub async fn recheck(&self, time: Option<Duration>) -> Result<Done, Failure> {
        self.whole_unit("verify-metrics --recheck")?;
        let mut ledger = Ledger::load(self).await?;
        let Some((release, closed)) = self.finished(&ledger) else {
            return Ok(Done::new("no finished release is the newest one here: nothing to re-check"));
        };
        let age = Duration::try_from(self.clock.now().duration_since(closed.at)).unwrap_or_default();
        let open = self.unit.finish.recheck.iter().map(|after| after.get());
        let open = open.filter(|after| !release.rechecked.contains(&after.as_secs()));
        let (due, later): (Vec<Duration>, Vec<Duration>) = open.partition(|after| *after <= age);
        if due.is_empty() {
            return Ok(self.not_yet(&release, later.into_iter().min().map(|after| after - age)));
        }
        let time = time.unwrap_or_else(|| self.longest_window());
        self.progress.line(&format!(
            "{} was finished {} ago: its checks are asked again for {}",
            release.attempt,
            spoken(age),
            spoken(time)
        ));
        let (verdict, judgements) = self.watch_again(&release, time).await?;
        let decided = matches!(verdict, Verdict::Pass | Verdict::Fail);
        let (over, open): (Vec<Duration>, Vec<Duration>) =
            due.into_iter().partition(|after| decided || *after + patience(*after) <= age);
        if !over.is_empty() {
            let after_seconds = over.iter().map(Duration::as_secs).collect();
            let event = Event::Rechecked { after_seconds, verdict, judgements };
            ledger.append_after(release.attempt.opened, event).await?;
        }
        let next = later.into_iter().min().map(|after| after.saturating_sub(age));
        match verdict {
            Verdict::Pass => {
                let sentence = format!("still good {} after its finish", spoken(age));
                Ok(Done { sentence, ..self.not_yet(&release, next) })
            }
            _ if over.is_empty() => {
                let until = open.into_iter().map(|after| (after + patience(after)).saturating_sub(age)).min();
                Ok(self.once_more(&release, verdict, until.unwrap_or_default()))
            }
            verdict => Err(self.late_harm(&release, verdict, next)),
        }
    }

    /// Nobody can tell yet: the next run asks again.
    fn once_more(&self, release: &Release, verdict: Verdict, left: Duration) -> Done {
        let why = self.verdict_failure(verdict).to_string();
        Done {
            next: Some("tidegate verify-metrics --recheck".into()),
            next_at: Some(self.clock.now()),
            ..Done::new(format!(
                "the re-check of {} is not judged yet ({why}); it is asked again by every run for {} more",
                release.attempt,
                spoken(left)
            ))
        }
    }

    /// The newest release, if it was finished and is the one that is asked for.
    fn finished(&self, ledger: &Ledger<'_>) -> Option<(Release, Closed)> {
        let release = ledger.history.release.as_ref()?;
        // one that went back is what served before: nothing that came new is in it
        let back = release.opened.reverse_to.is_some();
        let asked = !back && self.options.release.as_ref().is_none_or(|name| name == release.name());
        let closed = release.closed.as_ref().filter(|closed| closed.how == Closing::Finished)?;
        asked.then(|| (release.clone(), closed.clone()))
    }

    fn not_yet(&self, release: &Release, left: Option<Duration>) -> Done {
        let Some(left) = left else {
            return Done::new(format!("{} has no re-check left", release.attempt));
        };
        Done {
            next: Some("tidegate verify-metrics --recheck, then".into()),
            next_at: self.clock.now().checked_add(left).ok(),
            ..Done::new(format!("the next re-check of {} is due in {}", release.attempt, spoken(left)))
        }
    }

    fn longest_window(&self) -> Duration {
        let windows = self.unit.checks.iter().filter_map(|entry| entry.check.windows().max());
        let least = self.bake_or_least(Duration::ZERO).max(LOOK_LEAST);
        windows.max().unwrap_or_default().max(least)
    }

    async fn watch_again(
        &self,
        release: &Release,
        time: Duration,
    ) -> Result<(Verdict, Vec<Judgement>), Failure> {
        let release = &Release { watched: None, ..release.clone() };
        let mut run = Run::begin(self, release);
        let poll = self.poll_interval(time);
        loop {
            let world = self.look(release, &mut run).await?;
            self.poll(release, &mut run, world.as_ref()).await;
            run.note_health(release, world.as_ref());
            let left = time.saturating_sub(run.watched(self));
            let mut judgements = self.judge_all(release, &mut run, left.is_zero());
            judgements.iter_mut().filter(|judged| judged.warned && !judged.shadow).for_each(count_warning);
            let verdict = worst(&judgements);
            {
                let mut facts = self.facts();
                (facts.judgements, facts.verdict) = (judgements.clone(), Some(verdict));
            }
            self.show(release, &run, left, &judgements);
            if left.is_zero() || self.options.dry_run {
                return Ok((verdict, judgements));
            }
            self.stop.pause(self.clock.as_ref(), poll.min(left)).await?;
        }
    }

    /// `next`: in what time another re-check is due.
    fn late_harm(&self, release: &Release, verdict: Verdict, next: Option<Duration>) -> Failure {
        let hint = match (verdict, release.opened.baseline_version()) {
            (Verdict::Fail, Some(version)) if !version.contains([',', '=']) => {
                format!(
                    "the release is finished; `tidegate rollback --to {version}` goes back by a release of its own"
                )
            }
            (Verdict::Fail, _) => "the release is finished; release the version before again".into(),
            (_, _) => match next {
                Some(left) => format!("the checks are asked again at the next re-check, in {}", spoken(left)),
                None => "it was the last re-check: look at what the checks measure yourself".into(),
            },
        };
        let judged = if verdict == Verdict::Fail { "" } else { "not judged, " };
        match self.verdict_failure(verdict) {
            Failure::Verdict { verdict, sentence, .. } => Failure::Verdict {
                verdict,
                sentence: format!("{} after its finish: {judged}{sentence}", release.attempt),
                hint: Some(hint),
            },
            other => other,
        }
    }
}

/// Nobody watches any more: what would only be told is taken for harm.
fn count_warning(judged: &mut Judgement) {
    judged.decides = true;
    judged.verdict = Verdict::Fail;
}
