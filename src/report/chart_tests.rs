use super::*;
use crate::domain::{
    bound::Bound,
    check::Check,
    judge::{Frame, judge, verdict::Moment},
    record::{Poll, Series},
    sample::{Measure, Sample},
    value::Kind,
};

/// What a watch of a candidate with more errors leaves.
fn shown(bad: u64) -> Shown {
    let check = Check {
        fail: vec![Bound::Worse],
        ..Check::new("errors".parse().unwrap(), Measure::Ratio, Kind::Ratio)
    };
    let frame = Frame { check: &check, recorded: None, before: None, tests: 1 };
    let mut series = Series::default();
    for i in 0..12 {
        let candidate = Sample::Counts { bad, total: 100 };
        let baseline = Sample::Counts { bad: 9, total: 900 };
        series.push(&frame, Poll { from_ms: i * 10_000, to_ms: (i + 1) * 10_000, candidate, baseline });
    }
    let moment = Moment { watched: std::time::Duration::from_secs(120), last: true };
    let judgement = judge(&frame, &"api".parse().unwrap(), &series, moment);
    Shown { of: "v2#3 at 10 %".into(), at: Default::default(), watched_ms: 120_000, judgement, series }
}

#[test]
fn a_verdict_is_drawn_with_both_sides_the_bound_and_the_decision() {
    let svg = of_last(&[shown(5)]).unwrap();
    for part in
        ["class=\"candidate\"", "class=\"baseline\"", "class=\"bound\"", ">decided<", "errors of api: fail"]
    {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    assert!(of_last(&[shown(1)]).unwrap().contains(">decided<"), "at the end");
}

#[test]
fn only_the_last_verdict_is_drawn() {
    let early = Shown { of: "v2#3 at 50 %".into(), ..shown(1) };
    let svg = of_last(&[early, shown(1), shown(1)]).unwrap();
    assert_eq!(svg.matches("<g transform").count(), 2);
    assert_eq!(of_last(&[]), None);
}

#[test]
fn what_others_wrote_is_text() {
    let mut hostile = shown(1);
    hostile.judgement.sentence = "<script>alert(1)</script>\u{1b}[31m".into();
    hostile.of = "\"><a href='x'>".into();
    let svg = of_last(&[hostile]).unwrap();
    assert!(!svg.contains("<script") && !svg.contains("<a ") && !svg.contains('\u{1b}'), "{svg}");
}

#[test]
fn a_check_without_a_series_says_so() {
    let empty = Shown { series: Series::default(), ..shown(1) };
    assert!(of_last(&[empty]).unwrap().contains("nothing is stored of it"));
}
