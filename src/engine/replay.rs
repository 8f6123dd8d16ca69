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
        record::{Event, Evidence, Record, Series, Watched},
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

    /// Whether something is stored that this check can be asked of: numbers of another kind are another question's.
    fn has(&self, check: &Check) -> bool {
        let stored = self.judged().and_then(|(_, _, watched)| watched.series.get(&check.name));
        let mut samples =
            stored.into_iter().flat_map(BTreeMap::values).flat_map(|s| [&s.candidate, &s.baseline]);
        stored.is_some() && samples.all(|sample| sample.answers(check.measure))
    }

    /// All its judgements anew, under these checks. What no check asked for, and what could not be read, stays as it
    /// was. So many tests share the false alarms that are accepted: as many as these checks have, or as did then.
    fn again(&self, checks: &[Check], tests: Tests) -> Vec<Judgement> {
        let Some((_, before, watched)) = self.judged() else { return Vec::new() };
        let moment = Moment { watched: std::time::Duration::from_millis(watched.watched_ms), last: true };
        let checks = || checks.iter().filter(|check| self.has(check));
        let decided: usize = checks()
            .map(|c| c.deciding_tests(false) * watched.series.get(&c.name).map_or(0, BTreeMap::len))
            .sum();
        let mut all = Vec::new();
        for check in checks() {
            for (target, series) in watched.series.get(&check.name).into_iter().flatten() {
                let old = find(before, &check.name, target);
                if let Some(unread) = old.filter(|old| old.verdict == Verdict::Error) {
                    all.push(unread.clone());
                    continue;
                }
                let then = old.and_then(|old| old.tested.as_ref()).filter(|_| tests == Tests::OfThen);
                let sharing = then.map_or(decided, |tested| tested.tests);
                let frame = Frame::of(check, target, &self.recorded, &self.before, sharing);
                let at_the_end = judge(&frame, target, &series.replayed(&frame), moment);
                let ended = (tests == Tests::OfNow && at_the_end.verdict != Verdict::Fail)
                    .then(|| failed_before(&frame, target, series));
                all.push(ended.flatten().unwrap_or(at_the_end));
            }
        }
        let asked = |judged: &&Judgement| watched.series.contains_key(&judged.check);
        all.extend(before.iter().filter(|judged| !asked(judged)).cloned());
        all
    }
}

/// The failure that would have ended the watch earlier: a level that lasts may be broken in the middle of it.
fn failed_before(frame: &Frame<'_>, target: &TargetName, series: &Series) -> Option<Judgement> {
    (1..=series.batches.len()).find_map(|count| {
        let upto = series.upto(count, frame.check.measure);
        let watched = std::time::Duration::from_millis(upto.batches.last()?.to_ms);
        let judged = judge(frame, target, &upto.replayed(frame), Moment { watched, last: false });
        Some(judged).filter(|judged| judged.verdict == Verdict::Fail)
    })
}

/// Which tests share the false alarms that are accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tests {
    /// Those that did when it was judged.
    OfThen,
    /// Those of the checks that judge now.
    OfNow,
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
            let checks = match checks_of(&verdict.config) {
                Ok(checks) => checks,
                Err(why) => {
                    other += 1;
                    lines.push(format!(
                        "{}: {before}, and not judged again: this version cannot read the config that was recorded with it: {why}",
                        verdict.name()
                    ));
                    continue;
                }
            };
            let again = verdict.again(&checks, Tests::OfThen);
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
                format!(
                    "{other} of {count} verdicts of {release} came out differently, or could not be judged again; nothing was changed"
                ),
                "another version of tidegate judged then, the config was another one in the middle of the release, or the journal was edited",
            ))),
        }
    }

    /// What was stored of all releases (or of one) judged under other checks.
    pub async fn judge_with(&self, release: Option<&ReleaseName>, checks: &[Check]) -> Result<Done, Failure> {
        let past = self.past(release).await?;
        let (mut lines, mut back, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        let mut unasked = 0usize;
        for verdict in &past {
            let Some((before, judgements, _)) = verdict.judged() else { continue };
            let name = verdict.name();
            if !checks.iter().any(|check| verdict.has(check)) {
                lines.push(format!(
                    "{name}: was {before}; nothing is stored that these checks could be asked of"
                ));
                unasked += 1;
                continue;
            }
            let again = verdict.again(checks, Tests::OfNow);
            let now = worst(&again);
            let unknown = checks.iter().filter(|check| !verdict.has(check));
            let unknown: Vec<&str> = unknown.map(|check| check.name.as_str()).collect();
            // a pass that the file had made of too little evidence
            let taken = before == Verdict::Pass && worst(judgements) == Verdict::Insufficient;
            lines.push(match now {
                Verdict::Insufficient if taken => {
                    format!("{name}: {now}, and taken for a pass by the file, as it was")
                }
                now if before == now => format!("{name}: {now}, as it was"),
                Verdict::Pass if !unknown.is_empty() => {
                    format!(
                        "{name}: was {before}, and cannot be told: nothing is stored of {}",
                        unknown.join(", ")
                    )
                }
                Verdict::Fail => format!("{name}: was {before}, and WOULD HAVE GONE BACK"),
                now => format!("{name}: was {before}, and would have been {now}"),
            });
            let telling = again.iter().filter(|j| {
                j.verdict != Verdict::Pass
                    || find(judgements, &j.check, &j.target).is_none_or(|o| o.verdict != j.verdict)
            });
            lines.extend(telling.map(|j| format!("  {} {}", j.target, j.sentence)));
            if !unknown.is_empty() {
                lines.push(format!("  nothing is stored of {}", unknown.join(", ")));
            }
            let list = match (before, now) {
                (Verdict::Fail, Verdict::Fail) => continue,
                (_, Verdict::Fail) => &mut back,
                // what is not stored may have been what failed
                (Verdict::Fail, Verdict::Pass) if !unknown.is_empty() => continue,
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
            "{} verdict{} judged under the other checks: {} would have gone back that did not{}{}{}",
            past.len() - unasked,
            plural(past.len() - unasked),
            back.len(),
            told(&back, "these"),
            told(&kept, "these did and would not have"),
            match unasked {
                0 => String::new(),
                n => format!("; of {n} nothing is stored that these checks could be asked of"),
            }
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
