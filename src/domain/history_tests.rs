//! Legal and illegal sequences, and what a legal one says.

use super::*;
use crate::domain::{
    observed::Side,
    record::{Cursors, Move, Origin},
};

fn name<T: std::str::FromStr<Err = crate::domain::names::BadName>>(text: &str) -> T {
    text.parse().unwrap()
}

fn share(points: u16) -> Share {
    Share::from_basis_points(points).unwrap()
}

/// Records in a row, by one process unless told otherwise.
#[derive(Default)]
struct Tape {
    records: Vec<Record>,
    opened: u64,
}

impl Tape {
    fn add(mut self, process: &str, event: Event) -> Self {
        let seq = self.records.len() as u64 + 1;
        if matches!(event, Event::Opened(_)) {
            self.opened = seq;
        }
        self.records.push(Record {
            format: FORMAT,
            seq,
            opened: self.opened,
            at: Timestamp::UNIX_EPOCH,
            nonce: format!("n{seq}"),
            holder: Holder { run: process.into(), process: process.into(), ..Holder::default() },
            event,
        });
        self
    }

    fn and(self, events: impl IntoIterator<Item = Event>) -> Self {
        events.into_iter().fold(self, |tape, event| tape.add("a", event))
    }

    fn history(&self) -> Result<History, Corrupt> {
        History::replay(&self.records)
    }

    fn release(&self) -> Release {
        self.history().unwrap().release.unwrap()
    }

    /// Why the last record cannot follow those before it.
    fn illegal(&self) -> &'static str {
        let before = Tape { records: self.records[..self.records.len() - 1].to_vec(), opened: 0 };
        before.history().expect("only the last record is illegal");
        match self.history() {
            Err(Corrupt::Illegal { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }
}

fn lease() -> Event {
    Event::Lease { seconds: 60 }
}

fn opened() -> Event {
    let origin = Origin {
        baseline: name("blue"),
        candidate: name("green"),
        share: Share::NONE,
        sides: Vec::<Side>::new(),
    };
    Event::Opened(Opened {
        unit: name("shop"),
        environment: name("production"),
        release: name("v1"),
        targets: [(name("api"), origin)].into(),
        config_digest: String::new(),
        config: String::new(),
        cursors: Cursors::new(),
        reverse_to: None,
    })
}

fn intent(step: Step) -> Event {
    Event::Intent { step }
}

fn moving(aim: Aim, before: u16, wanted: u16) -> Event {
    let m =
        Move { candidate: name("green"), before: share(before), wanted: share(wanted), between: Vec::new() };
    intent(Step::Share { aim, moves: [(name("api"), m)].into() })
}

fn up(points: u16) -> Event {
    moving(Aim::Forward, 0, points)
}

fn undo() -> Event {
    moving(Aim::Undo, 1000, 0)
}

fn hook(moment: &str) -> Event {
    intent(Step::Hook { moment: moment.into(), hook: name("tell") })
}

fn migrate(direction: Direction) -> Event {
    intent(Step::Migrate { migration: name("schema"), direction, contract: true, revision: None })
}

fn confirmed(intent: u64) -> Event {
    Event::Confirmed { intent, outcome: Outcome::default() }
}

fn failed(intent: u64, settled: bool) -> Event {
    Event::Failed { intent, why: "no".into(), settled }
}

fn closed() -> Event {
    Event::Closed { how: Closing::RolledBack, reason: None }
}

fn judged(since: u64, points: u16, verdict: Verdict) -> Event {
    let split: Split = [(name("api"), share(points))].into();
    let watched = Watched { split: split.clone(), since, ..Watched::default() };
    Event::Judged { split, verdict, judgements: Vec::new(), watched }
}

#[test]
fn what_a_baseline_shows_with_little_traffic_does_not_replace_what_it_showed_with_much() {
    use super::super::{record::Series, sample::Sample};
    let seen = |total: u64| {
        let series = Series { baseline: Sample::Counts { bad: 0, total }, ..Series::default() };
        let Event::Judged { split, verdict, judgements, mut watched } =
            judged(4, 1000, Verdict::Insufficient)
        else {
            unreachable!()
        };
        watched.series.entry(name("errors")).or_default().insert(name("api"), series);
        Event::Judged { split, verdict, judgements, watched }
    };
    let recorded = |tape: &Tape| tape.history().unwrap().release.unwrap().recorded;
    for (events, kept) in
        [(vec![9000, 5000], 5000), (vec![9000, 1000], 9000), (vec![9000, 1000, 4600, 2400], 2400)]
    {
        let tape = events
            .into_iter()
            .fold(open().and([up(1000), confirmed(3)]), |tape, total| tape.and([seen(total)]));
        let expected = Sample::Counts { bad: 0, total: kept };
        assert_eq!(recorded(&tape)[&name::<EntryName>("errors")][&name::<TargetName>("api")], expected);
    }
}

/// A lease and an opening: the next record has number 3.
fn open() -> Tape {
    Tape::default().and([lease(), opened()])
}

#[test]
fn sequences_that_no_tidegate_writes_are_refused() {
    for (tape, why) in [
        (Tape::default().and([lease(), up(1000)]), "no attempt is open"),
        (open().and([opened()]), "another attempt is open"),
        (open().and([up(1000), up(5000)]), "the step before has no answer"),
        (open().and([up(1000), closed()]), "a step is still open"),
        (open().and([confirmed(2)]), "it answers no intent"),
        (open().and([up(1000), confirmed(2)]), "it answers another intent"),
        (open().and([up(1000), confirmed(3), confirmed(3)]), "it answers no intent"),
        (open().and([undo(), confirmed(3), up(1000)]), "a forward step after a rollback began"),
        (
            open().and([hook("before_rollback"), confirmed(3), up(1000)]),
            "a forward step after a rollback began",
        ),
        (open().and([closed(), up(1000)]), "the attempt is closed"),
    ] {
        assert_eq!(tape.illegal(), why);
    }
}

#[test]
fn a_gap_and_a_newer_format_are_refused() {
    let mut gap = open().and([up(1000), confirmed(3)]);
    gap.records.remove(2);
    assert_eq!(gap.history().unwrap_err(), Corrupt::Gap { last: 2, found: 4 });
    let mut newer = open();
    newer.records[1].format = FORMAT + 1;
    assert!(matches!(newer.history(), Err(Corrupt::Newer { seq: 2, .. })));
}

#[test]
fn a_rollback_may_begin_in_the_middle_of_any_step() {
    for step in [
        up(1000),
        migrate(Direction::Up),
        hook("before_deploy"),
        intent(Step::Deploy { sides: BTreeMap::new() }),
    ] {
        let tape = open().and([step, undo(), confirmed(4), closed()]);
        assert!(tape.release().closed.is_some());
    }
}

#[test]
fn a_confirmed_move_is_the_split_and_a_failed_one_is_not() {
    let moved = open().and([up(1000), confirmed(3)]).release();
    assert_eq!((moved.reached(), moved.split_since), (share(1000), 4));
    let settled = open().and([up(1000), failed(3, true)]).release();
    assert_eq!(settled.reached(), Share::NONE);
    assert!(settled.pending.is_none() && settled.failed.is_some() && settled.stuck.is_none());
}

#[test]
fn what_nobody_knows_the_end_of_stays_open() {
    for step in [up(1000), migrate(Direction::Up)] {
        let release = open().and([step.clone(), failed(3, false)]).release();
        assert_eq!(release.pending.map(|p| p.seq), Some(3), "{step:?}");
    }
    let deploy = open().and([intent(Step::Deploy { sides: BTreeMap::new() }), failed(3, false)]).release();
    assert!(deploy.pending.is_none());
}

#[test]
fn an_undo_that_failed_is_stuck_until_one_succeeds() {
    let stuck = open().and([up(1000), confirmed(3), undo(), failed(5, false)]);
    assert!(stuck.release().stuck.is_some() && stuck.release().undoing);
    let mended = stuck.and([confirmed(5)]).release();
    assert!(mended.stuck.is_none() && mended.reached() == Share::NONE && mended.undoing);
}

#[test]
fn a_verdict_counts_for_the_split_it_watched_and_a_fail_for_good() {
    let tape = open().and([up(1000), confirmed(3), judged(4, 1000, Verdict::Pass)]);
    assert!(tape.release().verdict_here().is_some());
    let moved = tape.and([up(5000), confirmed(6)]);
    assert!(moved.release().verdict_here().is_none());
    let late = moved.and([judged(4, 1000, Verdict::Fail)]);
    assert!(late.release().verdict_here().is_none() && late.release().failure().is_some());
}

#[test]
fn the_lease_is_with_whoever_took_it_last_and_only_its_holder_releases_it() {
    let holder = |tape: &Tape| tape.history().unwrap().lease.map(|l| l.holder.process);
    let tape = open();
    assert_eq!(holder(&tape).as_deref(), Some("a"));
    let tape = tape.add("b", Event::Preempt { seconds: 60, reason: String::new() });
    assert_eq!(holder(&tape).as_deref(), Some("b"));
    let tape = tape.add("a", Event::Released);
    assert_eq!(holder(&tape).as_deref(), Some("b"));
    let tape = tape.add("b", Event::Released);
    assert_eq!(holder(&tape), None);
}

#[test]
fn replayed_from_its_opening_an_attempt_says_the_same() {
    let first = open().and([up(1000), confirmed(3), undo(), confirmed(5), closed()]);
    let tape = first.and([opened(), up(1000), confirmed(9)]);
    let whole = tape.history().unwrap();
    let short = History::replay(&tape.records[7..]).unwrap();
    assert_eq!(short.last, whole.last);
    assert_eq!(short.lease.map(|l| l.holder), whole.lease.map(|l| l.holder));
    assert_eq!(short.release.unwrap().split, whole.release.unwrap().split);
}

#[test]
fn traffic_that_was_reverted_outside_or_adopted_ends_the_open_step() {
    let reverted = open().and([up(1000), Event::RevertedOutside]).release();
    assert!(reverted.pending.is_none() && reverted.reached() == Share::NONE);
    let split: Split = [(name("api"), share(2000))].into();
    let adopted = open().and([up(1000), Event::Adopted { split }]).release();
    assert!(adopted.pending.is_none() && adopted.reached() == share(2000));
}

#[test]
fn migrations_are_remembered_until_they_are_taken_back() {
    let done = open().and([migrate(Direction::Up), confirmed(3)]);
    assert!(done.release().has_migrated(&name("schema")) && done.release().frozen_by().is_some());
    let back = done.and([undo(), confirmed(5), migrate(Direction::Back), confirmed(7)]).release();
    assert!(!back.has_migrated(&name("schema")) && back.frozen_by().is_none());
}

#[test]
fn a_watch_holds_while_nothing_moves() {
    let still = open().and([up(1000), confirmed(3)]);
    assert!(still.release().watched_still(4) && !still.release().watched_still(3));
    assert!(!still.and([up(5000)]).release().watched_still(4));
}

#[test]
fn a_re_check_follows_a_finish_and_nothing_else() {
    let recheck = || Event::Rechecked {
        after_seconds: vec![1800, 3600],
        verdict: Verdict::Pass,
        judgements: Vec::new(),
    };
    let finished = || Event::Closed { how: Closing::Finished, reason: None };
    assert_eq!(open().and([recheck()]).illegal(), "a re-check of an attempt that is open");
    assert_eq!(open().and([closed(), recheck()]).illegal(), "the attempt is closed");
    let again = open().and([finished(), recheck(), recheck()]);
    assert_eq!(again.release().rechecked, BTreeSet::from([1800, 3600]));
    assert_eq!(
        again.and([intent(Step::Deploy { sides: BTreeMap::new() })]).illegal(),
        "the attempt is closed"
    );
}
