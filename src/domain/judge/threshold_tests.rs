use super::*;
use crate::domain::{names::EntryName, sample::Histogram, value::Kind};

const POLL_MS: u64 = 10_000;

struct Case {
    check: Check,
    series: Series,
    now_ms: u64,
    recorded: Option<Sample>,
}

fn case(measure: Measure, kind: Kind, fail: &[&str]) -> Case {
    let check = Check {
        name: EntryName::new("check").unwrap(),
        measure,
        kind,
        fail: fail.iter().map(|b| b.parse().unwrap()).collect(),
        warn: vec![],
        needs: 100,
        against_recorded: false,
        shadow: false,
    };
    Case { check, series: Series::default(), now_ms: 0, recorded: None }
}

impl Case {
    fn poll(&mut self, candidate: Sample, baseline: Sample) -> &mut Self {
        let poll = Poll { from_ms: self.now_ms, to_ms: self.now_ms + POLL_MS, candidate, baseline };
        self.now_ms += POLL_MS;
        self.series.push(&self.check, poll);
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
        judge(&self.check, &target, &self.series, self.recorded.as_ref(), Duration::from_millis(self.now_ms))
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
    assert_eq!(c.verdict(), Verdict::Pass, "110 s are not 2 minutes");
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
fn few_events_never_pass_and_fail_only_when_the_bound_is_already_lost() {
    let mut c = case(Measure::Ratio, Kind::Ratio, &["above 5%"]);
    c.poll(counts(1, 1), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Insufficient, "one error of one request proves nothing");
    c.poll(counts(5, 5), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Fail, "six bad of the first hundred are above 5 % whatever follows");
    let mut good = case(Measure::Ratio, Kind::Ratio, &["above 5%"]);
    assert_eq!(good.poll(counts(0, 99), Sample::Empty).verdict(), Verdict::Insufficient);
    assert_eq!(good.poll(counts(0, 1), Sample::Empty).verdict(), Verdict::Pass);
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
    c.polls(10, counts(2, 100), Sample::Empty);
    assert_eq!(c.verdict(), Verdict::Insufficient);
    c.recorded = Some(counts(10, 1000));
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
    c.polls(10, counts(2, 100), Sample::Empty);
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
