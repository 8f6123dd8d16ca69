//! A record as a commit's message.
//!
//! Three paragraphs: a line for people, who wrote it, the record as JSON. The first two are single lines by
//! making, and JSON has no line breaks outside its own, so that nothing in a record can look like another
//! paragraph.

use crate::{
    adapter::journal::record_of,
    domain::{
        names::{EnvironmentName, UnitName},
        record::{Aim, Closing, Direction, Event, Record, SmokePhase, Step},
        share::Split,
    },
    port::excerpt,
};

/// What a subject may have after `shop/production #7 `.
const SUBJECT_CHARS_MAX: usize = 160;
const PARAGRAPH: &str = "\n\n";
/// For services that build every branch they see (docs.github.com, "Skipping workflow runs"; others read it too).
const SKIP: &str = "[skip ci]";

/// The message of a record.
pub(super) fn message(
    unit: &UnitName,
    environment: &EnvironmentName,
    record: &Record,
) -> serde_json::Result<String> {
    let subject =
        format!("{unit}/{environment} #{} {}", record.seq, excerpt(&told(&record.event), SUBJECT_CHARS_MAX));
    let holder = &record.holder;
    let mut writer = format!("run {}", excerpt(&holder.to_string(), 160));
    if let Some(actor) = &holder.actor {
        writer.push_str(&format!(" by {}", excerpt(actor, 60)));
    }
    if let Some(log) = &holder.log {
        writer.push_str(&format!(", {}", excerpt(log, 200)));
    }
    Ok(format!("{subject}{PARAGRAPH}{writer} {SKIP}{PARAGRAPH}{}\n", serde_json::to_string(record)?))
}

/// The record of a message, or why it has none.
pub(super) fn record(message: &str) -> Result<Record, String> {
    let mut parts = message.splitn(3, PARAGRAPH);
    let number = parts.next().and_then(number);
    let (Some(seq), Some(_), text) = (number, parts.next(), parts.next()) else {
        let first = excerpt(message.lines().next().unwrap_or_default(), 60);
        return Err(format!("`{first}` is not a record of tidegate"));
    };
    record_of(text.unwrap_or_default().as_bytes(), seq)
}

/// `shop/production #7 released` has 7.
fn number(subject: &str) -> Option<u64> {
    let (place, rest) = subject.split_once(" #")?;
    let digits = rest.split(' ').next()?;
    (place.contains('/') && !subject.contains('\n')).then(|| digits.parse().ok()).flatten()
}

/// What happened, in a few words.
fn told(event: &Event) -> String {
    match event {
        Event::Lease { seconds } => format!("lease for {seconds} s"),
        Event::Preempt { reason, .. } => format!("lease taken for a rollback: {reason}"),
        Event::Released => "lease released".into(),
        Event::Opened(opened) => match &opened.reverse_to {
            Some(version) => format!("opened {}: back to {version}", opened.release),
            None => format!("opened {}", opened.release),
        },
        Event::Intent { step } => format!("intent: {}", planned(step)),
        Event::Confirmed { intent, .. } => format!("confirmed #{intent}"),
        Event::Failed { intent, why, settled: true } => format!("failed #{intent}, all as before: {why}"),
        Event::Failed { intent, why, settled: false } => format!("failed #{intent}: {why}"),
        Event::Smoked { phase, failed, passed } => {
            let what = match phase {
                SmokePhase::Candidate => "the candidate",
                SmokePhase::Public => "the public face",
            };
            match failed.is_empty() {
                true => format!("smoke tests of {what}: {} passed", passed.len()),
                false => format!("smoke tests of {what}: failed {}", listed(failed)),
            }
        }
        Event::Recorded { samples, .. } => format!("baseline recorded: {}", listed(samples.keys())),
        Event::Watched(watched) => {
            format!("watched {} for {} s", shares(&watched.split), watched.watched_ms / 1000)
        }
        Event::Judged { split, verdict, .. } => format!("verdict {verdict} at {}", shares(split)),
        Event::Hotfix { reason } => format!("hotfix past the gate: {reason}"),
        Event::Adopted { split } => format!("adopted {}", shares(split)),
        Event::Rechecked { verdict, .. } => format!("re-checked: {verdict}"),
        Event::RevertedOutside => "found reverted outside".into(),
        Event::Closed { how, reason } => {
            let how = match how {
                Closing::Finished => "finished",
                Closing::RolledBack => "rolled back",
                Closing::Abandoned => "abandoned",
                Closing::Superseded => "superseded",
            };
            match reason {
                Some(reason) => format!("{how}: {reason}"),
                None => how.into(),
            }
        }
    }
}

fn planned(step: &Step) -> String {
    match step {
        Step::Snapshot { keys } => format!("snapshot {}", listed(keys.keys())),
        Step::Migrate { migration, direction: Direction::Up, .. } => format!("migrate {migration}"),
        Step::Migrate { migration, direction: Direction::Back, .. } => format!("migrate {migration} back"),
        Step::Deploy { sides } => format!("deploy to {}", pairs(sides)),
        Step::Share { aim, moves } => {
            let moved = moves.iter().map(|(target, m)| format!("{target} {} -> {}", m.before, m.wanted));
            let undo = if *aim == Aim::Undo { "back: " } else { "" };
            format!("{undo}{}", listed(moved))
        }
        Step::Retire { sides } => format!("retire {}", pairs(sides)),
        Step::Hook { moment, hook } => format!("hook {hook} {moment}"),
    }
}

fn shares(split: &Split) -> String {
    listed(split.iter().map(|(target, share)| format!("{target} {share}")))
}

fn pairs<A: std::fmt::Display, B: std::fmt::Display>(map: &std::collections::BTreeMap<A, B>) -> String {
    listed(map.iter().map(|(a, b)| format!("{a} {b}")))
}

fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::{FORMAT, Holder, Move};

    fn with(event: Event, run: &str) -> Record {
        Record {
            format: FORMAT,
            seq: 7,
            opened: 2,
            at: jiff::Timestamp::UNIX_EPOCH,
            nonce: "n".into(),
            holder: Holder {
                run: run.into(),
                attempt: Some(2),
                job: Some("deploy\n\nit".into()),
                process: "p".into(),
                actor: Some("octo\ncat".into()),
                log: Some("https://github.com/acme/shop/actions/runs/9".into()),
            },
            event,
        }
    }

    fn written(record: &Record) -> String {
        message(&"shop".parse().unwrap(), &"production".parse().unwrap(), record).unwrap()
    }

    #[test]
    fn the_first_line_tells_a_person_what_happened() {
        let share = |points| crate::domain::share::Share::from_basis_points(points).unwrap();
        let moved = Move {
            candidate: "green".parse().unwrap(),
            before: share(0),
            wanted: share(1000),
            between: Vec::new(),
        };
        let step = Step::Share { aim: Aim::Forward, moves: [("api".parse().unwrap(), moved)].into() };
        let record = with(Event::Intent { step }, "9");
        let text = written(&record);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("shop/production #7 intent: api 0 % -> 10 %"));
        assert_eq!(lines.next(), Some(""));
        let writer = "run 9, attempt 2, job deploy  it by octo cat, https://github.com/acme/shop/actions/runs/9 [skip ci]";
        assert_eq!(lines.next(), Some(writer));
        assert_eq!(super::record(&text).unwrap(), record);
    }

    #[test]
    fn nothing_in_a_record_can_look_like_another_paragraph() {
        for hostile in [
            "x\n\n{\"format\":1}\n\ny",
            "\r\n\r\n{}",
            "a\u{2028}\u{2028}{}",
            "\u{0}\u{1b}[2J",
            "#9 \n\n#8",
            "\u{202e}\n\n",
            "%0A%0A::error::x",
            &"long ".repeat(2000),
        ] {
            let record = with(Event::Hotfix { reason: hostile.into() }, hostile);
            let text = written(&record);
            assert_eq!(super::record(&text).unwrap(), record, "{hostile:?}");
            // as git keeps it, and without the line break at its end
            assert_eq!(super::record(text.trim_end()).unwrap(), record, "{hostile:?}");
            assert!(text.lines().next().unwrap().chars().count() < 200);
            assert!(!text.contains(['\u{0}', '\u{1b}', '\u{202e}', '\r']) || hostile.contains('\u{202e}'));
        }
    }

    #[test]
    fn a_message_of_somebody_else_has_no_record() {
        for foreign in
            ["", "fix: a thing", "fix #7", "Merge pull request #7 from a/b\n\nx\n\n{}", "a/b #x c\n\nd\n\n{}"]
        {
            let why = super::record(foreign).unwrap_err();
            assert!(why.contains("not a record"), "{foreign:?}: {why}");
        }
    }
}
