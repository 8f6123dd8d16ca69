//! How long evidence takes at today's rates: what `plan` tells, and a watch when it has seen a little.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Engine,
    measure::{Asking, Scene},
    unit::CheckEntry,
};
use crate::domain::{
    bound::Bound,
    check::Check,
    duration::spoken,
    judge::{Frame, forecast::Outlook, gauge::values_at_the_end},
    names::{EntryName, TargetName},
    record::Cursors,
    sample::{Measure, Sample},
    share::Share,
};

/// What sources with a memory are asked for.
const LOOK_BACK: Duration = Duration::from_secs(15 * 60);
/// How long sources without one are watched.
const COUNTED_FOR: Duration = Duration::from_secs(5);

/// What all traffic of one target showed, by check and target, and in how many seconds.
pub(crate) type Rates = BTreeMap<(EntryName, TargetName), (Sample, f64)>;

impl Engine<'_> {
    /// Today's rates, where they can be read within a moment; why not otherwise.
    pub(crate) async fn rates_soon(&self) -> Result<Rates, String> {
        let cx = self.within(self.timing.call + COUNTED_FOR);
        let answer = cx.bounded(self.rates()).await;
        answer.unwrap_or_else(|late| Err(format!("no answer within {} s", late.0.as_secs())))
    }

    async fn rates(&self) -> Result<Rates, String> {
        let world = self.observe_all().await.map_err(|failure| failure.to_string())?;
        let origins = (world.iter())
            .filter_map(|(name, seen)| Some((name.clone(), super::open::origin(seen).ok()?)))
            .collect();
        let scene = Scene { release: None, origins: &origins, world: &world, asking: Asking::Standing };
        let from = self.clock.now().checked_sub(LOOK_BACK).unwrap_or_else(|_| self.clock.now());
        let first = self.measure(&scene, &|_| from, &Cursors::new()).await;
        let mut rates = Rates::new();
        let mut take = |samples: BTreeMap<_, super::measure::Pair>, seconds: f64| {
            for (of, pair) in samples {
                if pair.baseline.requests().is_some_and(|requests| requests > 0) {
                    rates.entry(of).or_insert((pair.baseline, seconds));
                }
            }
        };
        take(first.samples, LOOK_BACK.as_secs_f64());
        let counts = |entry: &CheckEntry| first.cursors.contains_key(&entry.source);
        if self.unit.checks.iter().any(counts) {
            let begun = self.clock.now();
            if self.stop.pause(self.clock.as_ref(), COUNTED_FOR).await.is_err() {
                return Err("interrupted".into());
            }
            let second = self.measure(&scene, &|_| begun, &first.cursors).await;
            let took = Duration::try_from(self.clock.now().duration_since(begun)).unwrap_or(COUNTED_FOR);
            take(second.samples, took.as_secs_f64().max(0.001));
        }
        match (rates.is_empty(), first.unreadable.into_iter().next()) {
            (true, Some((check, fault))) => Err(format!("{check}: {fault}")),
            _ => Ok(rates),
        }
    }

    /// One line per check that is tested: what a watch of `bake` can show where the candidate has this share.
    pub(crate) fn outlooks(
        &self,
        rates: &Rates,
        share: &dyn Fn(&TargetName) -> Share,
        bake: Duration,
        tests: usize,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in &self.unit.checks {
            let frame = Frame { check: &entry.check, recorded: None, before: None, tests };
            if entry.check.measure == Measure::Gauge && entry.check.fail.contains(&Bound::Worse) {
                let reached = self.reached_by(entry);
                lines.extend(reached.map(|s| self.outlook_of_gauge(&frame, &s.name, share(&s.name), bake)));
                continue;
            }
            let tested = entry.check.fail.iter().find_map(|bound| Some((bound, frame.trial(bound)?)));
            let Some((bound, trial)) = tested else { continue };
            for ((_, target), (seen, seconds)) in
                rates.iter().filter(|((check, _), _)| *check == entry.check.name)
            {
                let (share, bake) = (share(target).fraction(), bake.as_secs_f64());
                let outlook = Outlook::of(&frame, trial, seen, *seconds, share, bake);
                lines.extend(outlook.map(|outlook| sentence(entry, bound, target, seen, *seconds, &outlook)));
            }
        }
        lines
    }

    /// A gauge is compared once, by as many values as the watch has polls.
    fn outlook_of_gauge(
        &self,
        frame: &Frame<'_>,
        target: &TargetName,
        share: Share,
        bake: Duration,
    ) -> String {
        let recorded = share == Share::ALL || frame.check.against_recorded;
        let poll = self.poll_interval(bake);
        let (values, needed) =
            ((bake.as_secs_f64() / poll.as_secs_f64()) as usize, values_at_the_end(frame, recorded));
        let against = if recorded { "what was recorded of the baseline" } else { "the baseline's" };
        let told = match values < needed {
            true => format!(
                "this stage is too short: it has about {values} values, and {needed} are needed, which takes {}",
                spoken(poll * needed as u32)
            ),
            false => format!("compared once, at the end of this stage, about {values} values with {against}"),
        };
        format!("{} of {target}: {told}", frame.check.name)
    }
}

fn sentence(
    entry: &CheckEntry,
    bound: &Bound,
    target: &TargetName,
    seen: &Sample,
    seconds: f64,
    outlook: &Outlook,
) -> String {
    let check = &entry.check;
    let today = seen.number(check.measure).unwrap_or_default();
    let none = matches!(seen, Sample::Counts { bad: 0, .. });
    let rate = seen.events() as f64 / seconds;
    let rate = if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") };
    let takes = |seconds: Option<f64>| match seconds {
        Some(seconds) => format!("takes about {}", spoken(Duration::from_secs_f64(seconds.min(1e9)))),
        None => "cannot be shown, however long it is watched".into(),
    };
    let smallest = match outlook.smallest {
        Some(number) => format!("can show {} or worse", shown(check, today, number)),
        None => "is too short to show anything".into(),
    };
    let (find, proof) = (takes(outlook.find), takes(outlook.proof));
    let more = match bound {
        Bound::Worse if none => {
            let (find, tolerate) = (check.find, check.tolerate);
            format!("how long {find} takes, and to rule out {tolerate}, cannot be told before some are bad")
        }
        Bound::Worse => format!("{} {find}; to rule out {} {proof}", check.find, check.tolerate),
        _ => format!("to rule out `{bound}` {proof}"),
    };
    let today = match none {
        true => format!("none of {} bad", seen.events()),
        false => check.kind.show(today),
    };
    format!("{} of {target}: {rate} events/s, {today}: this stage {smallest}; {more}", check.name)
}

/// What today's number may become, and how many times as much it is.
fn shown(check: &Check, today: f64, number: f64) -> String {
    let factor = number / today;
    let shown = check.kind.show(number);
    match factor.is_finite() && factor >= 1.0 {
        true if factor < 10.0 => format!("{factor:.1}x ({shown})"),
        true => format!("{factor:.0}x ({shown})"),
        false => shown,
    }
}
