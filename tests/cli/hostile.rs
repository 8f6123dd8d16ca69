//! Text from outside, at its worst, through every way into logs, outputs, annotations and pages.

use std::collections::BTreeSet;
use tidegate::{
    domain::{
        names::{EntryName, TargetName},
        record::Artifact,
        value::Kind,
        verdict::{Judgement, Verdict},
    },
    engine::outcome::{Done, Facts},
    error::{Failure, Told},
    port::{Finding, Grade},
    report::{
        github, outputs,
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
