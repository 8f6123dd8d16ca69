//! Verdicts of the past, judged again from what was stored with them.
//!
//! `verify-metrics --replay RELEASE` recomputes each verdict of a release under the config that was recorded with it;
//! it must come out the same. `--with FILE` judges what was stored of all releases, or of one, under the checks of
//! another file, and tells which of them would have gone back. Nothing is asked of any source, nothing is written.

use std::collections::BTreeMap;

use super::{
    Engine,
    outcome::{Done, Shown},
};
use crate::{
    domain::{
        check::Check,
        history::History,
        judge::{Frame, judge, verdict::Moment},
        names::{EntryName, ReleaseName, TargetName},
        record::{Event, Evidence, Record, Watched},
        verdict::{Judgement, Verdict, worst},
    },
    error::{Failure, Told},
};

/// Evidence that is recomputed may differ by this much, as ln E: none of it should.
const SAME: f64 = 1e-9;

/// Reads the checks out of a config's text.
pub type ChecksOf<'a> = &'a (dyn Fn(&str) -> Result<Vec<Check>, Failure> + Sync);

/// One verdict as it stands in the journal.
pub(crate) struct Past {
    pub attempt: String,
    /// The config it was reached under.
    config: String,
    /// What the baseline had shown before the shift, as it was known then.
    recorded: Evidence,
    /// And before any traffic had moved.
    before: Evidence,
    pub record: Record,
}

impl Past {
    pub(crate) fn judged(&self) -> Option<(Verdict, &[Judgement], &Watched)> {
        match &self.record.event {
            Event::Judged { verdict, judgements, watched, .. } => Some((*verdict, judgements, watched)),
            _ => None,
        }
    }

    /// `v1.2.3#12 at 10 %`
    pub(crate) fn name(&self) -> String {
        let at = self.judged().and_then(|(_, _, watched)| watched.split.values().max().copied());
        at.map_or(self.attempt.clone(), |at| format!("{} at {at}", self.attempt))
    }

    /// All its judgements anew, under these checks. What no check asked for, and what could not be read, stays as it
    /// was.
    fn again(&self, checks: &[Check]) -> Vec<Judgement> {
        let Some((_, before, watched)) = self.judged() else { return Vec::new() };
        let moment = Moment { watched: std::time::Duration::from_millis(watched.watched_ms), last: true };
        let decided: usize = checks
            .iter()
            .map(|c| c.deciding_tests() * watched.series.get(&c.name).map_or(0, BTreeMap::len))
            .sum();
        let mut all = Vec::new();
        for check in checks {
            for (target, series) in watched.series.get(&check.name).into_iter().flatten() {
                let old = find(before, &check.name, target);
                if let Some(unread) = old.filter(|old| old.verdict == Verdict::Error) {
                    all.push(unread.clone());
                    continue;
                }
                let tests = old.and_then(|old| old.tested.as_ref()).map_or(decided, |tested| tested.tests);
                let recorded = self.recorded.get(&check.name).and_then(|r| r.get(target));
                let earlier = self.before.get(&check.name).and_then(|r| r.get(target));
                let frame = Frame { check, recorded, before: earlier, tests };
                all.push(judge(&frame, target, &series.replayed(&frame), moment));
            }
        }
        let asked = |judged: &&Judgement| watched.series.contains_key(&judged.check);
        all.extend(before.iter().filter(|judged| !asked(judged)).cloned());
        all
    }
}

fn find<'j>(judgements: &'j [Judgement], check: &EntryName, target: &TargetName) -> Option<&'j Judgement> {
    judgements.iter().find(|j| &j.check == check && &j.target == target)
}

impl Engine<'_> {
    /// All verdicts of the journal, of one release or of all, oldest first.
    pub(crate) async fn past(&self, release: Option<&ReleaseName>) -> Result<Vec<Past>, Failure> {
        let cx = self.within(self.timing.call * 10);
        let answer = cx.bounded(self.unit.journal.load(&cx, 1)).await;
        let records = match answer {
            Ok(records) => records.map_err(|fault| Failure::before_any_write(&fault))?,
            Err(late) => {
                return Err(Failure::Unreachable(Told::plain(format!(
                    "the journal did not answer within {} s; nothing was changed",
                    late.0.as_secs()
                ))));
            }
        };
        let mut history = History::default();
        let mut past = Vec::new();
        for record in records {
            if let (Event::Judged { .. }, Some(of)) = (&record.event, &history.release)
                && release.is_none_or(|name| name == of.name())
            {
                past.push(Past {
                    attempt: of.attempt.to_string(),
                    config: of.opened.config.clone(),
                    recorded: of.recorded.clone(),
                    before: of.before.clone(),
                    record: record.clone(),
                });
            }
            history.push(&record)?;
        }
        match (past.is_empty(), release) {
            (true, Some(name)) => Err(Failure::usage(format!(
                "the journal has no verdict of a release {name}; `tidegate status` tells what it has"
            ))),
            _ => Ok(past),
        }
    }

    /// Each verdict of `release` once more, under the config that was recorded with it.
    pub async fn replay(&self, release: &ReleaseName, checks_of: ChecksOf<'_>) -> Result<Done, Failure> {
        let past = self.past(Some(release)).await?;
        let (mut lines, mut other) = (Vec::new(), 0usize);
        for verdict in &past {
            let Some((before, judgements, _)) = verdict.judged() else { continue };
            let again = verdict.again(&checks_of(&verdict.config)?);
            let now = worst(&again);
            let taken = before == Verdict::Pass && now == Verdict::Insufficient && worst(judgements) == now;
            let differs = again.iter().filter(|j| !same(j, judgements)).count();
            let same = (now == before || taken) && differs == 0;
            other += usize::from(!same);
            lines.push(match same {
                true => format!("{}: {before}, the same again", verdict.name()),
                false => format!(
                    "{}: {before}, and {now} again; {differs} of {} checks differ",
                    verdict.name(),
                    again.len()
                ),
            });
            for judged in &again {
                let off =
                    find(judgements, &judged.check, &judged.target).map_or(0.0, |old| distance(judged, old));
                lines.push(format!("  {} {}   ln E differs by {off:e}", judged.target, judged.sentence));
            }
        }
        self.facts().details = lines;
        let count = past.len();
        match other {
            0 => Ok(Done::new(format!("{count} verdict{} of {release} came out the same", plural(count)))),
            _ => Err(Failure::Step(Told::new(
                format!("{other} of {count} verdicts of {release} came out differently; nothing was changed"),
                "another version of tidegate judged then, or the journal was edited",
            ))),
        }
    }

    /// What was stored of all releases (or of one) judged under other checks.
    pub async fn judge_with(&self, release: Option<&ReleaseName>, checks: &[Check]) -> Result<Done, Failure> {
        let past = self.past(release).await?;
        let (mut lines, mut back, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for verdict in &past {
            let Some((before, judgements, watched)) = verdict.judged() else { continue };
            let again = verdict.again(checks);
            let now = worst(&again);
            let name = verdict.name();
            lines.push(match (before == now, now) {
                (true, _) => format!("{name}: {now}, as it was"),
                (false, Verdict::Fail) => format!("{name}: was {before}, and WOULD HAVE GONE BACK"),
                (false, _) => format!("{name}: was {before}, and would have been {now}"),
            });
            let telling = again.iter().filter(|j| {
                j.verdict != Verdict::Pass
                    || find(judgements, &j.check, &j.target).is_none_or(|o| o.verdict != j.verdict)
            });
            lines.extend(telling.map(|j| format!("  {} {}", j.target, j.sentence)));
            let unknown =
                checks.iter().filter(|c| !watched.series.contains_key(&c.name)).map(|c| c.name.as_str());
            let unknown: Vec<&str> = unknown.collect();
            if !unknown.is_empty() {
                lines.push(format!("  nothing is stored of {}", unknown.join(", ")));
            }
            let list = match (before, now) {
                (Verdict::Fail, Verdict::Fail) => continue,
                (_, Verdict::Fail) => &mut back,
                (Verdict::Fail, _) => &mut kept,
                _ => continue,
            };
            list.push(name);
        }
        self.facts().details = lines;
        let told = |names: &[String], words: &str| match names {
            [] => String::new(),
            names => format!("; {words}: {}", names.join(", ")),
        };
        Ok(Done::new(format!(
            "{} verdict{} judged under the other checks: {} would have gone back that did not{}{}",
            past.len(),
            plural(past.len()),
            back.len(),
            told(&back, "these"),
            told(&kept, "these did and would not have")
        )))
    }

    /// The evidence of each verdict of a release; of the newest one if none is named.
    pub async fn report(&self, release: Option<&ReleaseName>, in_full: bool) -> Result<Done, Failure> {
        let past = self.past(release).await?;
        let Some(newest) = past.last() else {
            return Ok(Done::new("no release was ever judged here").next("tidegate rollout --release NAME"));
        };
        let of = newest.attempt.clone();
        let (mut lines, mut shown, mut count) = (Vec::new(), Vec::new(), 0);
        for verdict in past.iter().filter(|verdict| release.is_some() || verdict.attempt == of) {
            let Some((said, judgements, watched)) = verdict.judged() else { continue };
            count += 1;
            lines.push(format!(
                "{}: {said}, {} after {}",
                verdict.name(),
                verdict.record.at.strftime("%Y-%m-%d %H:%M:%SZ"),
                crate::domain::duration::spoken(std::time::Duration::from_millis(watched.watched_ms))
            ));
            for judged in judgements {
                lines.push(format!(
                    "  {:<12} {} {}",
                    judged.verdict.to_string(),
                    judged.target,
                    judged.sentence
                ));
                if !in_full {
                    continue;
                }
                let series = watched.series.get(&judged.check).and_then(|s| s.get(&judged.target)).cloned();
                let evidence = Shown {
                    of: verdict.name(),
                    at: verdict.record.at,
                    watched_ms: watched.watched_ms,
                    judgement: judged.clone(),
                    series: series.unwrap_or_default(),
                };
                lines.extend(evidence.table().into_iter().map(|line| format!("      {line}")));
                shown.push(evidence);
            }
        }
        let mut facts = self.facts();
        facts.details = lines;
        facts.evidence = shown;
        Ok(Done::new(format!("{count} verdict{} of {of}", plural(count))))
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Whether a judgement came out as one of these did.
fn same(again: &Judgement, before: &[Judgement]) -> bool {
    find(before, &again.check, &again.target).is_some_and(|old| {
        old.verdict == again.verdict
            && (old.candidate, old.baseline) == (again.candidate, again.baseline)
            && distance(again, old) <= SAME
    })
}

fn distance(again: &Judgement, old: &Judgement) -> f64 {
    match (&again.tested, &old.tested) {
        (Some(a), Some(b)) => (a.harm - b.harm).abs().max((a.well - b.well).abs()),
        (None, None) => 0.0,
        _ => f64::INFINITY,
    }
}
