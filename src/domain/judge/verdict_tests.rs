use super::*;
use crate::domain::{check::Check, names::EntryName, record::Poll, sample::Histogram, value::Kind};

const POLL_MS: u64 = 10_000;

struct Case {
    check: Check,
    series: Series,
    now_ms: u64,
    recorded: Option<Sample>,
}

fn case(measure: Measure, kind: Kind, fail: &[&str]) -> Case {
    let name = EntryName::new("check").unwrap();
    let check =
        Check { fail: fail.iter().map(|b| b.parse().unwrap()).collect(), ..Check::new(name, measure, kind) };
    Case { check, series: Series::default(), now_ms: 0, recorded: None }
}

impl Case {
    fn poll(&mut self, candidate: Sample, baseline: Sample) -> &mut Self {
        let poll = Poll { from_ms: self.now_ms, to_ms: self.now_ms + POLL_MS, candidate, baseline };
        self.now_ms += POLL_MS;
        let frame = Frame {
            check: &self.check,
            recorded: self.recorded.as_ref(),
            before: self.recorded.as_ref(),
            tests: 1,
        };
        self.series.push(&frame, poll);
        self
    }

    fn polls(&mut self, times: u32, candidate: Sample, baseline: Sample) -> &mut Self {
        for _ in 0..times {
            self.poll(candidate.clone(), baseline.clone());
        }
        self
    }

    fn verdict(&self) -> Verdict {
        self.judgement().verdict
    }

    fn judgement(&self) -> Judgement {
        let target = TargetName::new("api").unwrap();
        let frame = Frame {
            check: &self.check,
            recorded: self.recorded.as_ref(),
            before: self.recorded.as_ref(),
            tests: 1,
        };
        let mut series = self.series.clone();
        series.close_batch(&frame);
        let moment = Moment { watched: Duration::from_millis(self.now_ms), last: true };
        judge(&frame, &target, &series, moment)
    }
}

fn counts(bad: u64, total: u64) -> Sample {
    Sample::Counts { bad, total }
}

fn latency(slow_percent: u64) -> Sample {
    Sample::Histogram(Histogram {
        bounds: vec![0.1, 0.2, 0.4, 0.8, 1.6],
        counts: vec![100 - slow_percent, 0, 0, slow_percent, 0, 0],
    })
}

#[test]
fn an_error_rate_above_5_percent_must_last_2_minutes() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above 5% for 2m"]);
    c.polls(11, counts(6, 100), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Insufficient, "110 s are not 2 minutes, and all of it was beyond");
    c.poll(counts(6, 100), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Fail);
    c.poll(counts(5, 100), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Pass, "one poll within the bound ends it");
}

#[test]
fn half_a_percentage_point_above_baseline_fails() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above baseline + 0.5pp"]);
    c.polls(10, counts(14, 1000), counts(10, 1000));
    assert_eq!(c.verdict(), Verdict::Pass);
    c.polls(10, counts(17, 1000), counts(10, 1000));
    let judged = c.judgement();
    assert_eq!(judged.verdict, Verdict::Insufficient, "1.55 % may be 1.5 % by chance: {}", judged.sentence);
    c.polls(10, counts(30, 1000), counts(10, 1000));
    assert_eq!(c.verdict(), Verdict::Fail, "{}", c.judgement().sentence);
}

#[test]
fn p99_above_five_times_the_baseline_must_last_5_minutes() {
    let mut c = case(Measure::Quantile(0.99), Kind::Time, &["above 5x baseline for 5m"]);
    c.polls(29, latency(5), latency(0));
    assert_ne!(c.verdict(), Verdict::Fail);
    c.poll(latency(5), latency(0));
    assert_eq!(c.verdict(), Verdict::Fail);
}

#[test]
fn p95_a_quarter_above_baseline_fails() {
    let mut c = case(Measure::Quantile(0.95), Kind::Time, &["above baseline + 25%"]);
    c.polls(3, latency(0), latency(0));
    assert_eq!(c.verdict(), Verdict::Pass);
    c.polls(30, latency(8), latency(0));
    assert_eq!(c.verdict(), Verdict::Fail);
}

#[test]
fn more_than_ten_server_errors_in_5_minutes_fail() {
    let mut c = case(Measure::Events, Kind::Count, &["more than 10 in 5m"]);
    c.polls(10, Sample::Events(1), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Pass, "ten are not more than ten");
    c.poll(Sample::Events(1), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Fail);
    c.polls(30, Sample::Events(0), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Pass, "they have left the window");
}

#[test]
fn three_failed_health_checks_in_a_row_fail() {
    let mut c = case(Measure::Probes, Kind::Ratio, &["3 failures in a row"]);
    let probe = |failed| Sample::Probes { asked: 1, failed };
    c.polls(2, probe(1), Sample::Empty).poll(probe(0), Sample::Empty).polls(2, probe(1), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Pass);
    c.poll(probe(1), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Fail);
}

#[test]
fn more_than_half_of_the_instances_unhealthy_fails() {
    let mut c = case(Measure::Gauge, Kind::Ratio, &["below 50%"]);
    c.poll(Sample::Gauge(0.5), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Pass);
    c.poll(Sample::Gauge(0.25), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Fail);
}

#[test]
fn a_business_metric_10_percent_below_baseline_fails() {
    let mut c = case(Measure::Gauge, Kind::Count, &["below baseline - 10%"]);
    c.poll(Sample::Gauge(80.0), Sample::Gauge(100.0));
    assert_eq!(c.verdict(), Verdict::Insufficient, "one value is not a comparison");
    c.poll(Sample::Gauge(80.0), Sample::Gauge(100.0));
    assert_eq!(c.verdict(), Verdict::Fail);
    let mut good = case(Measure::Gauge, Kind::Count, &["below baseline - 10%"]);
    good.polls(2, Sample::Gauge(91.0), Sample::Gauge(100.0));
    assert_eq!(good.verdict(), Verdict::Pass);
}

#[test]
fn an_sql_count_above_zero_and_connections_above_80_percent_fail() {
    let mut count = case(Measure::Gauge, Kind::Count, &["above 0"]);
    assert_eq!(count.poll(Sample::Gauge(0.0), Sample::Empty).verdict(), Verdict::Pass);
    assert_eq!(count.poll(Sample::Gauge(1.0), Sample::Empty).verdict(), Verdict::Fail);
    let mut connections = case(Measure::Gauge, Kind::Ratio, &["above 80%"]);
    assert_eq!(connections.poll(Sample::Gauge(0.8), Sample::Empty).verdict(), Verdict::Pass);
    assert_eq!(connections.poll(Sample::Gauge(0.81), Sample::Empty).verdict(), Verdict::Fail);
}

#[test]
fn few_events_never_pass_and_fail_only_when_chance_is_ruled_out() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above 5%"]);
    c.poll(counts(1, 1), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Insufficient, "one error of one request proves nothing");
    c.poll(counts(5, 5), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Fail, "six bad ones of six at 5 %: once in 64 million");
    let mut good = case(Measure::Ratio, Kind::Ratio, &["above 5%"]);
    assert_eq!(good.poll(counts(0, 40), Sample::Empty).verdict(), Verdict::Insufficient);
    let judged = good.poll(counts(0, 60), Sample::Empty).judgement();
    assert_eq!(judged.verdict, Verdict::Pass);
    assert!(judged.sentence.contains("confidence of 95 %"), "{}", judged.sentence);
}

#[test]
fn no_data_is_insufficient_and_neither_passes_nor_fails() {
    for (measure, kind, bound) in [
        (Measure::Ratio, Kind::Ratio, "above 5%"),
        (Measure::Ratio, Kind::Ratio, "above 5% for 2m"),
        (Measure::Gauge, Kind::Count, "above 0"),
        (Measure::Probes, Kind::Ratio, "3 failures in a row"),
        (Measure::Events, Kind::Count, "more than 10 in 5m"),
        (Measure::Quantile(0.95), Kind::Time, "above baseline + 25%"),
    ] {
        let mut c = case(measure, kind, &[bound]);
        c.polls(60, Sample::Empty, Sample::Empty);
        assert_eq!(c.verdict(), Verdict::Insufficient, "{bound}: {}", c.judgement().sentence);
    }
}

#[test]
fn without_baseline_traffic_the_recorded_one_is_used_and_said() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above baseline + 0.5pp"]);
    c.polls(10, counts(8, 100), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Insufficient);
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above baseline + 0.5pp"]);
    c.recorded = Some(counts(10, 1000));
    c.polls(10, counts(8, 100), Sample::Empty);
    let judged = c.judgement();
    assert_eq!(judged.verdict, Verdict::Fail);
    assert!(judged.sentence.contains("against recorded"), "{}", judged.sentence);
}

#[test]
fn empty_polls_between_bad_ones_do_not_hide_them() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above 5% for 2m"]);
    for _ in 0..6 {
        c.poll(counts(10, 10), Sample::Empty).poll(Sample::Empty, Sample::Empty);
    }
    assert_eq!(c.verdict(), Verdict::Fail);
}

#[test]
fn warn_only_tells() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above 5%"]);
    c.check.warn = vec!["above 1%".parse().unwrap()];
    c.polls(10, counts(3, 100), Sample::Empty);
    let judged = c.judgement();
    assert_eq!((judged.verdict, judged.warned), (Verdict::Pass, true));
}

#[test]
fn a_long_watch_keeps_only_the_polls_its_bounds_need() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above 5% for 2m"]);
    c.polls(20_000, counts(1, 100), counts(1, 100));
    assert!(c.series.polls.len() <= 13, "{}", c.series.polls.len());
    assert_eq!(c.series.candidate, counts(20_000, 2_000_000));
}

fn worse(needs: Option<u64>) -> Case {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["worse than baseline"]);
    c.check.needs = needs;
    c
}

#[test]
fn twice_the_errors_are_worse_than_baseline() {
    let mut c = worse(None);
    let polls = (1..=60).find(|_| {
        c.poll(counts(2, 100), counts(9, 900));
        c.verdict() == Verdict::Fail
    });
    assert!(polls.is_some_and(|n| (5..40).contains(&n)), "{polls:?}");
    let judged = c.judgement();
    assert!(judged.sentence.contains("chance alone would show this at most once in"), "{}", judged.sentence);
    let tested = judged.tested.unwrap();
    assert!(tested.harm >= tested.enough && (tested.enough - 100f64.ln()).abs() < 1e-12);
}

#[test]
fn not_to_be_shown_worse_is_no_pass() {
    let mut c = worse(None);
    c.polls(20, counts(1, 100), counts(9, 900));
    let judged = c.judgement();
    assert_eq!(judged.verdict, Verdict::Insufficient);
    assert!(
        judged.sentence.contains("neither harm nor its absence is shown yet; at the present rate about"),
        "{}",
        judged.sentence
    );
    c.polls(200, counts(10, 1000), counts(90, 9000));
    let judged = c.judgement();
    assert_eq!(judged.verdict, Verdict::Pass, "{}", judged.sentence);
    assert!(judged.sentence.contains("shown with a confidence of 95 %"), "{}", judged.sentence);
}

#[test]
fn events_that_are_declared_to_be_enough_pass_without_proof() {
    let mut c = worse(Some(500));
    c.polls(4, counts(1, 100), counts(9, 900));
    assert_eq!(c.verdict(), Verdict::Insufficient, "{}", c.judgement().sentence);
    c.polls(1, counts(1, 100), counts(9, 900));
    assert_eq!(c.verdict(), Verdict::Pass, "{}", c.judgement().sentence);
}

#[test]
fn how_much_longer_is_said_and_true() {
    let mut c = worse(None);
    c.polls(20, counts(10, 1000), counts(90, 9000));
    let more_ms = c.judgement().tested.unwrap().more_ms.unwrap();
    c.polls((more_ms / POLL_MS) as u32 / 2, counts(10, 1000), counts(90, 9000));
    assert_eq!(c.verdict(), Verdict::Insufficient, "{}", c.judgement().sentence);
    c.polls((more_ms / POLL_MS) as u32 * 2 / 3, counts(10, 1000), counts(90, 9000));
    assert_eq!(c.verdict(), Verdict::Pass, "{}", c.judgement().sentence);
}

#[test]
fn an_incident_on_both_sides_is_nobodys_fault() {
    let mut c = worse(None);
    c.polls(20, counts(1, 100), counts(9, 900)).polls(10, counts(40, 100), counts(360, 900));
    assert_ne!(c.verdict(), Verdict::Fail, "{}", c.judgement().sentence);
}

#[test]
fn what_was_bad_before_the_release_is_judged_on_change() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above 5%"]);
    c.recorded = Some(counts(700, 10_000));
    c.polls(30, counts(70, 1000), counts(630, 9000));
    let judged = c.judgement();
    assert_ne!(judged.verdict, Verdict::Fail, "{}", judged.sentence);
    assert!(judged.sentence.contains("judged on change"), "{}", judged.sentence);
    c.polls(30, counts(200, 1000), counts(630, 9000));
    assert_eq!(c.verdict(), Verdict::Fail, "{}", c.judgement().sentence);
    // the same of a plain bound
    let mut gauge = case(Measure::Gauge, Kind::Ratio, &["above 80%"]);
    gauge.recorded = Some(Sample::Gauge(0.85));
    gauge.poll(Sample::Gauge(0.86), Sample::Empty);
    assert_eq!(gauge.verdict(), Verdict::Pass, "{}", gauge.judgement().sentence);
}

#[test]
fn a_slower_quantile_is_worse_than_baseline() {
    let mut c = case(Measure::Quantile(0.95), Kind::Time, &["worse than baseline"]);
    c.polls(10, latency(8), latency(8));
    assert_eq!(c.verdict(), Verdict::Insufficient, "{}", c.judgement().sentence);
    c.polls(40, latency(20), latency(1));
    assert_eq!(c.verdict(), Verdict::Fail, "{}", c.judgement().sentence);
}

#[test]
fn a_gauge_is_compared_once_at_the_end() {
    let mut c = case(Measure::Gauge, Kind::Count, &["worse than baseline"]);
    c.check.worse = Direction::Below;
    for i in 0..20 {
        let noise = f64::from(i * 7 % 5);
        c.poll(Sample::Gauge(50.0 + noise), Sample::Gauge(100.0 + noise));
    }
    let judged = c.judgement();
    assert_eq!(judged.verdict, Verdict::Fail, "{}", judged.sentence);
    let shift = judged.tested.unwrap().shift.unwrap();
    assert!((shift.estimate + 50.0).abs() < 2.0, "{shift:?}");
    assert!(shift.low.unwrap() <= shift.estimate && shift.estimate <= shift.high.unwrap(), "{shift:?}");
    assert!(judged.sentence.contains("(difference -50, -"), "{}", judged.sentence);
    let frame = Frame { check: &c.check, recorded: None, before: None, tests: 1 };
    let moment = Moment { watched: Duration::from_millis(c.now_ms), last: false };
    let early = judge(&frame, &TargetName::new("api").unwrap(), &c.series, moment);
    assert_eq!(early.verdict, Verdict::Insufficient, "{}", early.sentence);
}

#[test]
fn a_side_that_falls_silent_never_passes() {
    let mut c = worse(Some(100));
    c.polls(10, counts(1, 100), counts(9, 900)).polls(4, Sample::Empty, counts(9, 900));
    let judged = c.judgement();
    assert_eq!(judged.verdict, Verdict::Insufficient);
    assert!(judged.sentence.contains("the candidate showed nothing more for 40"), "{}", judged.sentence);
    let mut c = worse(Some(100));
    c.polls(10, counts(1, 100), counts(9, 900)).polls(4, counts(1, 100), Sample::Empty);
    assert!(
        c.judgement().sentence.contains("the baseline showed nothing more"),
        "{}",
        c.judgement().sentence
    );
}

#[test]
fn enough_events_do_not_pass_what_chance_would_hardly_show() {
    for (needs, candidate, baseline, recorded) in [
        (100, counts(200, 1000), Sample::Empty, counts(0, 71)),
        (100, counts(40, 1000), Sample::Empty, counts(0, 300)),
        (100, counts(40, 1000), Sample::Empty, counts(3, 300)),
        (100, counts(30, 1000), Sample::Empty, counts(10, 1000)),
        (500, counts(100, 500), counts(0, 5), counts(0, 5)),
        (500, counts(15, 500), counts(0, 25), counts(0, 25)),
    ] {
        let mut c = worse(Some(needs));
        c.recorded = Some(recorded);
        c.poll(candidate, baseline);
        assert_ne!(c.verdict(), Verdict::Pass, "{}", c.judgement().sentence);
    }
    // and pass what chance shows
    for (candidate, baseline) in [((1, 100), (0, 900)), ((7, 500), (45, 4500)), ((0, 100), (0, 100))] {
        let mut c = worse(Some(100));
        c.poll(counts(candidate.0, candidate.1), counts(baseline.0, baseline.1));
        assert_eq!(c.verdict(), Verdict::Pass, "{}", c.judgement().sentence);
    }
}

#[test]
fn few_observations_that_lie_beyond_for_sure_show_that_a_level_was_broken_before() {
    let mut c = case(Measure::Quantile(0.95), Kind::Time, &["above 100ms"]);
    c.recorded = Some(latency(66));
    if let Some(Sample::Histogram(h)) = &mut c.recorded {
        h.counts[0] = 6;
    }
    c.polls(20, latency(66), latency(66));
    let judged = c.judgement();
    assert_ne!(judged.verdict, Verdict::Fail, "{}", judged.sentence);
    assert!(judged.sentence.contains("broken before the release already"), "{}", judged.sentence);
}

#[test]
fn no_time_to_a_pass_is_told_where_harm_shows() {
    let mut c = worse(None);
    c.recorded = Some(counts(0, 100));
    c.poll(counts(20, 200), Sample::Empty);
    let told = c.judgement().sentence;
    assert!(!told.contains("at the present rate"), "{told}");
}

#[test]
fn what_is_judged_on_change_is_not_judged_more_strictly_than_the_file_says() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above 5%"]);
    c.recorded = Some(counts(1400, 20_000));
    c.polls(40, counts(10, 1000), counts(50, 9000));
    assert_eq!(c.verdict(), Verdict::Pass, "{}", c.judgement().sentence);
    c.polls(40, counts(300, 1000), counts(50, 9000));
    assert_eq!(c.verdict(), Verdict::Fail, "{}", c.judgement().sentence);
}

#[test]
fn what_the_release_did_to_the_baseline_lifts_no_level() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above 5% for 1m"]);
    c.recorded = Some(counts(30_000, 100_000));
    let before = counts(6000, 100_000);
    c.polls(12, counts(350, 1000), counts(2700, 9000));
    let frame = Frame { check: &c.check, recorded: c.recorded.as_ref(), before: Some(&before), tests: 1 };
    let moment = Moment { watched: Duration::from_millis(c.now_ms), last: true };
    let judged = judge(&frame, &TargetName::new("api").unwrap(), &c.series, moment);
    assert_eq!(judged.verdict, Verdict::Fail, "{}", judged.sentence);
}

#[test]
fn a_poll_that_began_before_the_window_counts_in_part() {
    let mut c = case(Measure::Events, Kind::Count, &["more than 10 in 5m"]);
    let frame = Frame { check: &c.check, recorded: None, before: None, tests: 1 };
    let poll = |from_ms, to_ms, bad| Poll {
        from_ms,
        to_ms,
        candidate: Sample::Events(bad),
        baseline: Sample::Empty,
    };
    // 1.5 a minute, of which nobody asked for 10 minutes: 7 of the last 5
    c.series.push(&frame, poll(0, 600_000, 15));
    c.now_ms = 600_000;
    assert_eq!((c.verdict(), c.judgement().candidate), (Verdict::Pass, Some(7.0)));
    c.series
        .push(&Frame { check: &c.check, recorded: None, before: None, tests: 1 }, poll(600_000, 660_000, 9));
    c.now_ms = 660_000;
    assert_eq!((c.verdict(), c.judgement().candidate), (Verdict::Fail, Some(15.0)));
}

#[test]
fn gauges_of_zero_and_below_are_compared_too() {
    let mut c = case(Measure::Gauge, Kind::Count, &["worse than baseline"]);
    c.polls(20, Sample::Gauge(0.0), Sample::Gauge(0.0));
    assert_eq!(c.verdict(), Verdict::Pass, "{}", c.judgement().sentence);
    let mut c = case(Measure::Gauge, Kind::Count, &["worse than baseline"]);
    for i in 0..20 {
        c.poll(Sample::Gauge(-10.0 + f64::from(i % 3)), Sample::Gauge(-10.0 + f64::from((i + 1) % 3)));
    }
    assert_ne!(c.verdict(), Verdict::Fail, "{}", c.judgement().sentence);
}

#[test]
fn bad_events_that_are_counted_no_more_are_not_none() {
    let mut c = case(Measure::Events, Kind::Count, &["more than 10 in 5m"]);
    c.polls(10, Sample::Events(0), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Pass);
    c.polls(10, Sample::Empty, Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Insufficient, "{}", c.judgement().sentence);
}

#[test]
fn a_quantile_is_judged_again_as_it_was() {
    let mut c = case(Measure::Quantile(0.95), Kind::Time, &["worse than baseline"]);
    // harm that comes and goes in the middle of a batch
    c.polls(20, latency(1), latency(1)).polls(5, latency(60), latency(1)).polls(40, latency(1), latency(1));
    let frame = Frame { check: &c.check, recorded: None, before: None, tests: 1 };
    let mut series = c.series.clone();
    series.close_batch(&frame);
    let moment = Moment { watched: Duration::from_millis(c.now_ms), last: true };
    let target = TargetName::new("api").unwrap();
    let (then, now) =
        (judge(&frame, &target, &series, moment), judge(&frame, &target, &series.replayed(&frame), moment));
    assert_eq!(then, now);
    assert!(then.tested.unwrap().harm > 0.0);
}

#[test]
fn the_order_of_polls_within_a_batch_makes_no_difference() {
    let polls = [(3, 100, 9, 900), (0, 80, 2, 700), (7, 120, 0, 1000), (1, 90, 30, 950)];
    let weighed = |order: [usize; 4]| {
        let mut c = worse(None);
        let frame = Frame { check: &c.check, recorded: None, before: None, tests: 1 };
        // a batch is 1/32 of the watch
        let mut poll = |from_ms, to_ms, (a, b, x, y): (u64, u64, u64, u64)| {
            c.series.push(&frame, Poll { from_ms, to_ms, candidate: counts(a, b), baseline: counts(x, y) });
        };
        poll(0, 1_000_000, (10, 1000, 90, 9000));
        for (i, at) in order.into_iter().enumerate() {
            let from_ms = 1_000_000 + 1000 * i as u64;
            poll(from_ms, from_ms + 1000, polls[at]);
        }
        assert_eq!(c.series.batches.len(), 1);
        c.series.close_batch(&Frame { check: &c.check, recorded: None, before: None, tests: 1 });
        c.series.evidence
    };
    let sorted = weighed([0, 1, 2, 3]);
    for order in [[3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        assert_eq!(weighed(order), sorted);
    }
}

#[test]
fn a_gauge_and_probes_fall_silent_too() {
    let mut c = case(Measure::Gauge, Kind::Count, &["above baseline + 10"]);
    c.polls(2, Sample::Gauge(1.0), Sample::Gauge(1.0));
    assert_eq!(c.verdict(), Verdict::Pass);
    c.polls(4, Sample::Empty, Sample::Gauge(1.0));
    assert!(c.judgement().sentence.contains("candidate showed nothing more"), "{}", c.judgement().sentence);
    let mut c = case(Measure::Probes, Kind::Ratio, &["3 failures in a row"]);
    c.polls(6, Sample::Probes { asked: 2, failed: 0 }, Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Pass);
    c.polls(6, Sample::Empty, Sample::Empty);
    assert!(c.judgement().sentence.contains("candidate showed nothing more"), "{}", c.judgement().sentence);
}

#[test]
fn a_poll_that_lasts_long_makes_no_silence_usual() {
    let mut c = worse(Some(100));
    c.polls(5, counts(1, 100), counts(9, 900));
    // nobody watched for five minutes, and the counters went on
    let to_ms = c.now_ms + 300_000;
    let poll = Poll { from_ms: c.now_ms, to_ms, candidate: counts(30, 3000), baseline: counts(270, 27_000) };
    c.series.push(&Frame { check: &c.check, recorded: None, before: None, tests: 1 }, poll);
    c.now_ms = to_ms;
    c.polls(6, Sample::Empty, counts(9, 900));
    assert!(c.judgement().sentence.contains("candidate showed nothing more"), "{}", c.judgement().sentence);
}

#[test]
fn one_poll_without_an_answer_does_not_hide_the_newest_value() {
    let mut c = case(Measure::Gauge, Kind::Count, &["above 10"]);
    c.polls(5, Sample::Gauge(20.0), Sample::Empty).poll(Sample::Empty, Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Fail, "{}", c.judgement().sentence);
}

#[test]
fn a_baseline_without_an_error_in_one_poll_has_some_in_all_of_the_time() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above 5x baseline for 1m"]);
    c.polls(5, counts(2, 1000), counts(10, 1000)).poll(counts(2, 1000), counts(0, 1000));
    assert_eq!(c.verdict(), Verdict::Pass, "{}", c.judgement().sentence);
    c.polls(6, counts(60, 1000), counts(10, 1000));
    assert_eq!(c.verdict(), Verdict::Fail, "{}", c.judgement().sentence);
}

#[test]
fn one_value_of_a_gauge_does_not_lift_a_level_that_the_baseline_keeps() {
    let mut c = case(Measure::Gauge, Kind::Ratio, &["above 80%"]);
    c.recorded = Some(Sample::Gauge(0.95));
    c.polls(5, Sample::Gauge(0.9), Sample::Gauge(0.5));
    assert_eq!(c.verdict(), Verdict::Fail, "{}", c.judgement().sentence);
    let mut c = case(Measure::Gauge, Kind::Ratio, &["above 80%"]);
    c.recorded = Some(Sample::Gauge(0.95));
    c.polls(5, Sample::Gauge(0.9), Sample::Gauge(0.94));
    assert_eq!(c.verdict(), Verdict::Pass, "{}", c.judgement().sentence);
}

#[test]
fn a_percentage_that_was_too_low_may_not_fall_by_a_factor() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["below 99%"]);
    c.recorded = Some(counts(989_000, 1_000_000));
    c.polls(40, counts(989, 1000), counts(8901, 9000));
    assert_eq!(c.verdict(), Verdict::Pass, "{}", c.judgement().sentence);
    c.polls(40, counts(950, 1000), counts(8901, 9000));
    assert_eq!(c.verdict(), Verdict::Fail, "{}", c.judgement().sentence);
}

#[test]
fn what_is_asked_at_the_end_is_asked_more_strictly_when_it_is_asked_again() {
    let mut c = case(Measure::Gauge, Kind::Count, &["worse than baseline"]);
    for i in 0..20 {
        let noise = f64::from(i * 7 % 5);
        c.poll(Sample::Gauge(130.0 + noise), Sample::Gauge(100.0 + noise));
    }
    let alphas: Vec<f64> = (0..20)
        .map(|asked| {
            c.series.asked = asked;
            c.judgement().tested.unwrap().alpha
        })
        .collect();
    assert!((alphas[0] - 0.0075).abs() < 1e-12, "{alphas:?}");
    assert!((0.00999..=0.01).contains(&alphas.iter().sum()), "{alphas:?}");
}

#[test]
fn a_gauge_without_a_baseline_is_compared_with_what_was_recorded() {
    for (value, verdict) in
        [(1.0, Verdict::Pass), (1.15, Verdict::Pass), (1.21, Verdict::Fail), (2.0, Verdict::Fail)]
    {
        let mut c = case(Measure::Gauge, Kind::Count, &["worse than baseline"]);
        c.recorded = Some(Sample::Gauge(1.0));
        for i in 0..20 {
            c.poll(Sample::Gauge(value + f64::from(i % 3) * 1e-3), Sample::Empty);
        }
        let judged = c.judgement();
        assert_eq!(judged.verdict, verdict, "{}", judged.sentence);
        assert!(judged.sentence.contains("(against recorded)"), "{}", judged.sentence);
    }
    let mut c = case(Measure::Gauge, Kind::Count, &["worse than baseline"]);
    c.recorded = Some(Sample::Gauge(1.0));
    c.polls(5, Sample::Gauge(2.0), Sample::Empty);
    let told = c.judgement().sentence;
    assert!(told.contains("(5 of 8 needed); at the present rate about 30"), "{told}");
}

#[test]
fn too_few_values_of_a_gauge_say_how_many_more() {
    let mut c = case(Measure::Gauge, Kind::Count, &["worse than baseline"]);
    c.polls(4, Sample::Gauge(1.0), Sample::Gauge(1.0));
    let told = c.judgement().sentence;
    assert!(told.contains("(4 of 8 needed on each side); at the present rate about 40"), "{told}");
    let mut c = case(Measure::Gauge, Kind::Count, &["worse than baseline"]);
    c.check.needs = Some(5);
    for i in 0..8 {
        c.poll(Sample::Gauge(1.0 + f64::from(i % 4)), Sample::Gauge(1.0 + f64::from((i + 2) % 4)));
    }
    let told = c.judgement().sentence;
    assert!(told.contains("enough values were seen (8 of 5)"), "{told}");
}

#[test]
fn what_is_no_number_never_passes() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut c = case(Measure::Gauge, Kind::Count, &["above 10"]);
        c.polls(5, Sample::Gauge(value), Sample::Empty);
        let judged = c.judgement();
        assert_eq!(judged.verdict, Verdict::Insufficient);
        assert!(judged.sentence.contains("no numbers"), "{}", judged.sentence);
    }
}

#[test]
fn tests_that_decide_share_the_false_alarms() {
    let mut c = worse(None);
    c.polls(14, counts(3, 100), counts(9, 900));
    let target = TargetName::new("api").unwrap();
    let moment = Moment { watched: Duration::from_millis(c.now_ms), last: true };
    let enough = |tests| {
        let frame = Frame { check: &c.check, recorded: None, before: None, tests };
        judge(&frame, &target, &c.series, moment).tested.unwrap().enough
    };
    assert!((enough(10) - enough(1) - 10f64.ln()).abs() < 1e-12);
}

#[test]
fn a_watch_that_is_cut_in_two_ends_as_one_that_is_not() {
    let mut whole = worse(None);
    let mut cut = worse(None);
    for i in 0..40u64 {
        let (candidate, baseline) = (counts(1 + i % 2, 100), counts(9, 900));
        whole.poll(candidate.clone(), baseline.clone());
        cut.poll(candidate, baseline);
        let kept = serde_json::to_string(&cut.series).unwrap();
        cut.series = serde_json::from_str(&kept).unwrap();
    }
    assert_eq!(cut.series, whole.series);
}

#[test]
fn a_million_polls_take_no_more_room_than_some_hundred_batches() {
    let mut c = worse(None);
    c.polls(1_000_000, counts(1, 100), counts(9, 900));
    assert!(c.series.batches.len() < 500, "{}", c.series.batches.len());
    assert!(c.series.polls.len() <= 2);
}

#[test]
fn a_source_that_tells_in_steps_is_not_silent_between_them() {
    // a hundred events a second, told once a minute, looked at every ten seconds
    let mut c = worse(Some(100));
    for _ in 0..5 {
        c.polls(5, Sample::Empty, Sample::Empty).poll(counts(60, 6000), counts(540, 54_000));
    }
    c.polls(5, Sample::Empty, Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Pass, "{}", c.judgement().sentence);
    c.polls(14, Sample::Empty, Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Insufficient, "{}", c.judgement().sentence);
}

#[test]
fn two_bounds_of_one_edge_are_one_test() {
    let mut once = worse(None);
    let mut twice = worse(None);
    twice.check.warn = vec!["above 1.2x baseline".parse().unwrap(), "worse than baseline".parse().unwrap()];
    for c in [&mut once, &mut twice] {
        c.polls(8, counts(3, 100), counts(9, 900));
    }
    assert_eq!(once.series.evidence, twice.series.evidence);
}

#[test]
fn an_incident_of_the_release_itself_does_not_lift_a_level() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above 5%"]);
    c.polls(20, counts(200, 1000), counts(900, 9000));
    // what the baseline showed meanwhile is recorded, and it was not so before the release
    let recorded = counts(18_000, 180_000);
    let frame =
        Frame { check: &c.check, recorded: Some(&recorded), before: Some(&counts(10, 10_000)), tests: 1 };
    assert!(!frame.was_bad(&c.check.fail[0]));
    assert!(Frame { before: Some(&recorded), ..frame }.was_bad(&c.check.fail[0]));
}

#[test]
fn enough_events_do_not_pass_what_shows_harm() {
    let mut c = worse(Some(500));
    c.polls(5, counts(3, 100), counts(9, 900));
    let judged = c.judgement();
    assert_eq!(judged.verdict, Verdict::Insufficient, "{}", judged.sentence);
}

#[test]
fn what_lies_beyond_the_last_bucket_never_passes_by_its_number() {
    let slow = |count| Sample::Histogram(Histogram { bounds: vec![0.1, 0.25], counts: vec![0, 0, count] });
    let mut c = case(Measure::Quantile(0.95), Kind::Time, &["above 500ms"]);
    c.polls(10, slow(100), slow(0));
    assert_eq!(c.verdict(), Verdict::Insufficient, "{}", c.judgement().sentence);
}

#[test]
fn a_bound_that_lasts_needs_events_too() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above 5% for 2m"]);
    c.polls(13, counts(0, 1), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Insufficient, "{}", c.judgement().sentence);
}
