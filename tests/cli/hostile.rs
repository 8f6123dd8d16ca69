//! Text from outside, at its worst, through every way into logs, outputs, annotations and pages.

use indicatif::ProgressDrawTarget;
use std::{
    collections::BTreeSet,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    domain::{
        names::{EntryName, TargetName},
        record::Artifact,
        share::Split,
        value::Kind,
        verdict::{Judgement, Verdict},
    },
    engine::outcome::{Done, Facts},
    error::{Failure, Told},
    port::{Clock, Finding, Grade, Progress, Watching, clock::SystemClock, veil},
    report::{
        github,
        lines::Lines,
        live::Live,
        outputs,
        plain::{Harmless, plain_lines},
        result::CommandResult,
        summary::{self, Around},
        text::{Paint, render},
    },
};

use crate::{corpus::corpus, runner_files};

/// A failed command in which every text is the one given.
fn result(text: &str) -> CommandResult {
    let judgement = Judgement {
        check: EntryName::new("errors").unwrap(),
        target: TargetName::new("web").unwrap(),
        verdict: Verdict::Fail,
        warned: false,
        sentence: text.into(),
        kind: Kind::Ratio,
        candidate: Some(0.1),
        baseline: Some(0.0),
        bound: text.into(),
        limit: None,
        events: 7,
        against_recorded: false,
        shadow: false,
        decides: true,
        tested: None,
        measure: None,
    };
    let artifact = Artifact {
        id: text.into(),
        bytes: None,
        checksum: None,
        source: text.into(),
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    let facts = Facts {
        judgements: vec![judgement],
        verdict: Some(Verdict::Fail),
        findings: vec![Finding::new(Grade::Refuse, text, text)],
        snapshots: [(EntryName::new("main").unwrap(), artifact)].into(),
        baseline_version: Some(text.into()),
        hotfix: Some(text.into()),
        details: vec![text.into()],
        ..Facts::default()
    };
    let failure = failure(text);
    let failed: Result<&Done, &Failure> = Err(&failure);
    CommandResult::new("verify-metrics", failed, facts)
}

fn failure(text: &str) -> Failure {
    Failure::Step(Told::new(text, text))
}

/// What the runner takes for a command of its own, in either form.
fn is_command(line: &str) -> bool {
    line.trim_start().starts_with("::") || line.contains("##[")
}

/// Lines as the least strict reader ends them.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'])
}

#[test]
fn the_corpus_is_large_enough() {
    let all: BTreeSet<String> = corpus().into_iter().collect();
    assert!(all.len() >= 200, "{}", all.len());
}

#[test]
fn a_log_has_no_command_and_no_terminal_sequence_from_outside() {
    for text in corpus() {
        let log = render(&result(&text), Paint { colour: false });
        for line in lines(&log) {
            assert!(!is_command(line), "{text:?} became {line:?}");
        }
        assert!(!log.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{text:?} in {log:?}");
    }
}

/// Whatever reads it ends its lines where it likes: none of them does anything.
#[track_caller]
fn only_shows(text: &str, log: &str) {
    for line in lines(log) {
        assert!(!is_command(line), "{text:?} became {line:?}");
    }
    assert!(!log.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{text:?} in {log:?}");
    assert!(!log.contains(['\u{202e}', '\u{2066}', '\u{2028}']), "{text:?} in {log:?}");
}

/// What was written, for whoever looks later.
#[derive(Clone, Default, Debug)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A terminal that keeps what it is sent, and moves its cursor without a word.
impl indicatif::TermLike for Kept {
    fn width(&self) -> u16 {
        2000
    }
    fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }
    fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }
    fn write_line(&self, text: &str) -> std::io::Result<()> {
        self.write_str(&format!("{text}\n"))
    }
    fn write_str(&self, text: &str) -> std::io::Result<()> {
        self.clone().write_all(text.as_bytes())
    }
    fn clear_line(&self) -> std::io::Result<()> {
        Ok(())
    }
    fn flush(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Has all be told that may be told while a command runs.
fn tell(progress: &dyn Progress, text: &str) {
    progress.line(text);
    progress.output(text, text);
    progress.output(text, text);
    progress.waiting(text, text);
    let checks = result(text).checks;
    progress.watching(&Watching {
        split: &Split::new(),
        left: Duration::ZERO,
        watched: Duration::ZERO,
        judgements: &checks,
        unreadable: &[text.to_string()],
    });
}

#[test]
fn lines_of_steps_and_waits_and_watches_only_show_what_they_say() {
    let paint = Paint { colour: false };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    for text in corpus() {
        let kept = Kept::default();
        let progress = Lines::new(Box::new(kept.clone()), clock.clone(), paint, false);
        tell(&progress, &text);
        progress.clear();
        only_shows(&text, &kept.text());
        let terminal = ProgressDrawTarget::term_like(Box::new(kept.clone()));
        let progress = Live::to(terminal, paint);
        tell(&progress, &text);
        progress.clear();
        let shown = kept.text();
        assert!(shown.contains("unreadable"), "{shown}");
        only_shows(&text, &shown.replace('\r', ""));
    }
}

#[test]
fn groups_are_opened_and_closed_by_us_alone() {
    for text in corpus() {
        let kept = Kept::default();
        let progress = Lines::new(
            Box::new(kept.clone()),
            Arc::new(SystemClock::default()),
            Paint { colour: false },
            true,
        );
        tell(&progress, &text);
        progress.clear();
        let told = kept.text();
        let ours = |line: &&str| line.starts_with("::group::output of ") || *line == "::endgroup::";
        assert_eq!(lines(&told).filter(ours).count(), 2, "{text:?}: {told:?}");
        let others: Vec<&str> = lines(&told).filter(|line| !ours(line)).collect();
        only_shows(&text, &others.join("\n"));
        let group = told.lines().find(|line| line.starts_with("::group::")).unwrap();
        assert!(!group.contains("##["), "{text:?}: {group:?}");
    }
}

#[test]
fn a_mask_is_one_command_whatever_is_hidden() {
    for text in corpus() {
        for line in github::masks(&[text.clone(), format!("{text}\r\n{text}")]).lines() {
            let hidden = line.strip_prefix("::add-mask::").unwrap_or_else(|| panic!("{text:?}: {line:?}"));
            let read = hidden.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%");
            assert!(read.starts_with(&text), "{text:?} is hidden as {read:?}");
            assert!(!line.contains('\r'), "{text:?}: {line:?}");
        }
    }
}

#[test]
fn a_trace_a_panic_and_a_refused_command_line_only_show_what_they_say() {
    for text in corpus() {
        only_shows(&text, &plain_lines(&text));
        let kept = Kept::default();
        let filter = tracing_subscriber::EnvFilter::new("trace");
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Harmless(writer.clone()))
            .with_env_filter(filter)
            .compact();
        tracing::subscriber::with_default(subscriber.finish(), || {
            tracing::warn!(field = %text, "{text}");
        });
        let told = kept.text();
        assert!(told.contains("WARN"), "{told}");
        only_shows(&text, &told);
    }
}

#[test]
fn json_says_what_was_said_and_does_nothing_on_its_way() {
    for text in corpus() {
        let result = result(&text);
        for json in [result.json(true), result.json(false)] {
            only_shows(&text, &json);
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(read["hotfix"], text.as_str());
            assert_eq!(read["findings"][0]["about"], text.as_str());
        }
    }
}

#[test]
fn no_field_of_the_result_has_a_secret_in_it() {
    const SECRET: &str = "Mw5-in-every-field-Ru2";
    veil::remember(SECRET);
    let mut result = CommandResult {
        next: Some(SECRET.into()),
        release: Some(SECRET.into()),
        attempt: Some(SECRET.into()),
        report_path: Some(SECRET.into()),
        ..result(SECRET)
    };
    result.heard(Some(SECRET.into()), vec![SECRET.into(), format!("not told {SECRET}")]);
    for json in [result.json(true), result.json(false)] {
        assert!(!json.contains("Mw5") && json.matches("***").count() >= 18, "{json}");
    }
    for (name, value) in outputs::values(&result) {
        assert!(!value.contains("Mw5"), "{name}: {value}");
    }
}

#[test]
fn outputs_are_those_that_are_published_and_no_others() {
    let published: Vec<&str> = outputs::OUTPUTS.iter().map(|output| output.name).collect();
    for text in corpus() {
        let file = github::outputs(&result(&text), "word");
        let pairs = runner_files::pairs(file.as_bytes()).unwrap_or_else(|why| panic!("{text:?}: {why}"));
        let found: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, published, "{text:?}");
        for line in outputs::dotenv(&result(&text)).lines().chain(outputs::exports(&result(&text)).lines()) {
            assert!(line.trim_start_matches("export ").starts_with("TIDEGATE_RESULT_"), "{text:?}: {line:?}");
        }
    }
}

#[test]
fn annotations_are_as_many_as_were_meant_and_point_nowhere_else() {
    for text in corpus() {
        let all = github::annotations(&result(&text), Some(&failure(&text)), "".as_ref());
        let each: Vec<&str> = lines(&all).filter(|line| !line.is_empty()).collect();
        assert_eq!(each.len(), 3, "{text:?}: {all:?}");
        for line in each {
            let head = line.strip_prefix("::error title=").unwrap_or_else(|| panic!("{text:?}: {line:?}"));
            let (title, message) = head.split_once("::").unwrap();
            assert!(!title.contains([',', ':']) && !message.contains("##["), "{text:?}: {line:?}");
        }
    }
}

#[test]
fn a_page_shows_text_and_is_never_more_than_a_host_takes() {
    let around = Around {
        repository: Some("https://github.com/acme/shop".into()),
        log: Some("https://github.com/acme/shop/actions/runs/1".into()),
        ..Around::default()
    };
    for text in corpus() {
        let around = Around { actor: Some(text.clone()), approvers: vec![text.clone()], ..around.clone() };
        let page = summary::render(&result(&text), &around);
        let mut bare = page.clone();
        for ours in [
            "<details>",
            "</details>",
            "<summary>",
            "</summary>",
            "<code>",
            "</code>",
            "[log](https://github.com/acme/shop/actions/runs/1)",
        ] {
            bare = bare.replace(ours, "");
        }
        assert!(!bare.contains(['<', '>', '`', '[', ']', '@', '!', '$', '~']), "{text:?} in {bare}");
        assert!(!bare.contains("://") && !bare.contains("www."), "{text:?} in {bare}");
        assert_eq!(bare.matches("HOTFIX").count(), 1, "{text:?}");
    }
    let long = summary::render(&result(&"<".repeat(3_000_000)), &around);
    assert!(long.len() < 1 << 20, "{} bytes", long.len());
}
