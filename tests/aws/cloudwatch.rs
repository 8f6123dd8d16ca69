//! `cloudwatch` against the double: periods, batches, alarms, trouble. Moto cannot serve it: it answers 404 to
//! CloudWatch's CBOR protocol, and 500 to a percentile; the double is all there is.

mod trouble;

use std::collections::BTreeMap;
use tidegate::{
    document::node::parse,
    domain::{
        check::Check,
        judge::{Frame, judge, verdict::Moment},
        names::{EntryName, Role},
        record::{Poll, Series},
        sample::{Measure, Sample},
        template::Words,
        verdict::{Judgement, Verdict},
    },
    port::{
        Ask, Fault, Metric, Reach, Treat, Window,
        adapter::{ServiceSetting, Setting},
    },
    registry::METRICS,
};

use crate::{
    double::{
        self, Double,
        cloudwatch::{Asked, Metric as Name, metric},
    },
    proxy::{Proxy, Trouble, When},
};

/// 12:00:20 of some day.
const START: i64 = 1_767_268_820;
/// 12:00:00.
const NOON: i64 = START - 20;
const LAG: i64 = 120;
const ALB: &str = "AWS/ApplicationELB";
const LAMBDA: &str = "AWS/Lambda";

fn service(name: &str, kind: &'static str, options: &str) -> ServiceSetting {
    ServiceSetting { name: name.parse().unwrap(), kind, options: parse(options).unwrap(), url: None }
}

fn setting() -> Setting {
    let folder = tempfile::tempdir().unwrap();
    Setting {
        services: vec![
            service("api", "ecs_alb", "{}"),
            service("jobs", "lambda", "{}"),
            service("web", "haproxy", "{}"),
            service("batch", "ecs_rolling", "{}"),
        ],
        ..double::setting(folder.path())
    }
}

fn access(url: &str) -> String {
    format!("aws: {{region: {}, endpoint: '{url}'}}", double::REGION)
}

/// Connects checks as the file would: name and options without the braces around them.
fn try_connect(url: &str, checks: &[(&str, &str)]) -> Result<Box<dyn Metric>, String> {
    let adapter = METRICS.iter().find(|kind| kind.common.name == "cloudwatch").unwrap();
    let mut entries = Vec::new();
    for (name, options) in checks {
        let node = parse(&format!("{{{options}, {}}}", access(url))).unwrap();
        (adapter.shape)(&node, name).map_err(|e| e.to_string())?;
        entries.push((name.parse::<EntryName>().unwrap(), node, format!("checks.{name}")));
    }
    (adapter.connect)(&entries, &setting()).map_err(|e| e.to_string())
}

fn connect(url: &str, checks: &[(&str, &str)]) -> Box<dyn Metric> {
    try_connect(url, checks).unwrap()
}

fn labels(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn ask_of(check: &str, target: &str, role: Role, side: &str, labels: BTreeMap<String, String>) -> Ask {
    let words = Words::default().with("side", side).with("service", target).with("version", "v1");
    let words = labels.iter().fold(words, |words, (name, value)| words.with(&format!("label.{name}"), value));
    Ask {
        check: check.parse().unwrap(),
        target: target.parse().unwrap(),
        role,
        side: side.parse().unwrap(),
        instances: Vec::new(),
        labels,
        words,
        opened: jiff::Timestamp::new(START - 600, 0).ok(),
    }
}

/// The green candidate or the blue baseline of the service behind the load balancer.
fn ask(check: &str, role: Role) -> Ask {
    let side = if role == Role::Candidate { "green" } else { "blue" };
    let labels = labels(&[
        ("load_balancer", "app/shop/50dc"),
        ("target_group", &format!("targetgroup/{side}/1")),
        ("cluster", "shop"),
        ("service", &format!("api-{side}")),
    ]);
    ask_of(check, "api", role, side, labels)
}

fn both(checks: &[&str]) -> Vec<Ask> {
    checks.iter().flat_map(|check| [ask(check, Role::Candidate), ask(check, Role::Baseline)]).collect()
}

fn alb(name: &str, side: &str) -> Name {
    let group = format!("targetgroup/{side}/1");
    metric(ALB, name, &[("LoadBalancer", "app/shop/50dc"), ("TargetGroup", &group)])
}

/// One request of a side: counted, and if it failed counted among the errors.
fn request(double: &Double, side: &str, at: i64, failed: bool, seconds: f64) {
    let mut state = double.state();
    state.cloudwatch.event(alb("RequestCount", side), at, 1.0);
    state.cloudwatch.event(alb("TargetResponseTime", side), at, seconds);
    let code = if failed { "5XX" } else { "2XX" };
    state.cloudwatch.event(alb(&format!("HTTPCode_Target_{code}_Count"), side), at, 1.0);
}

/// A watch: what the engine would remember between two looks. Each look is made by a fresh process.
struct Watch<'a> {
    url: String,
    double: &'a Double,
    checks: &'a [(&'a str, &'a str)],
    cursor: Option<serde_json::Value>,
    answered: i64,
    /// Seconds that a look may take, on a clock that runs ten times as fast.
    limit: u64,
}

impl<'a> Watch<'a> {
    fn begin(double: &'a Double, checks: &'a [(&'a str, &'a str)]) -> Self {
        let url = double.url.clone();
        Watch { url, double, checks, cursor: None, answered: START, limit: 60 }
    }

    /// A look at this second.
    async fn look(&mut self, now: i64, asks: &[Ask]) -> Result<Vec<Result<Sample, Fault>>, Fault> {
        self.double.state().cloudwatch.now = Some(now);
        let source = connect(&self.url, self.checks);
        let lag = i64::try_from(source.lag().as_secs()).unwrap();
        let time = |seconds: i64| jiff::Timestamp::new(seconds, 0).unwrap();
        let window = Window::new(time(self.answered - lag), time(now - lag));
        let measured =
            source.measure(&double::hurried(self.limit), asks, window, self.cursor.as_ref()).await?;
        self.answered = now;
        self.cursor = measured.cursor.map(|cursor| cursor.to_string().parse().unwrap());
        Ok(measured.samples)
    }

    async fn one(&mut self, now: i64, ask: Ask) -> Result<Sample, Fault> {
        self.look(now, &[ask]).await?.remove(0)
    }
}

/// One check alone.
fn frame(check: &Check) -> Frame<'_> {
    Frame { check, recorded: None, before: None, tests: 1 }
}

/// What it says of all that was seen until then.
fn judged_by(check: &Check, series: &Series, to_ms: u64) -> Judgement {
    let moment = Moment { watched: std::time::Duration::from_millis(to_ms), last: true };
    judge(&frame(check), &"api".parse().unwrap(), series, moment)
}

/// A check with the shape that the adapter declares for it.
fn check_of(name: &str, options: &str, fail: &[&str]) -> Check {
    let adapter = METRICS.iter().find(|kind| kind.common.name == "cloudwatch").unwrap();
    let shape = (adapter.shape)(&parse(&format!("{{{options}}}")).unwrap(), name).unwrap();
    let kind = shape.measure.fixed_kind().unwrap_or(shape.unit.kind());
    let check = Check {
        fail: fail.iter().map(|bound| bound.parse().unwrap()).collect(),
        ..Check::new(name.parse().unwrap(), shape.measure, kind)
    };
    for bound in &check.fail {
        bound.fits(check.kind).unwrap();
    }
    check
}

const CHECKS: [(&str, &str); 4] = [
    ("errors", "preset: alb_errors"),
    ("p95", "preset: alb_p95"),
    ("5xx", "preset: alb_5xx"),
    ("slow", "preset: alb_p99"),
];

/// Watches for fifteen minutes, a look every half minute, and says what each check came to, and when it ended.
async fn watched(double: &Double) -> (BTreeMap<String, Judgement>, BTreeMap<String, Series>, i64) {
    let bounds: [&[&str]; 4] = [
        &["above 5% for 2m", "above baseline + 0.5pp"],
        &["above baseline + 25%"],
        &["more than 10 in 5m"],
        &["above 2s"],
    ];
    let checks: Vec<Check> =
        CHECKS.iter().zip(bounds).map(|((name, options), fail)| check_of(name, options, fail)).collect();
    let mut watch = Watch::begin(double, &CHECKS);
    let mut series: BTreeMap<String, Series> = BTreeMap::new();
    let (mut judged, mut before_ms) = (BTreeMap::new(), 0);
    for now in (START..=START + 900).step_by(30) {
        let samples = watch.look(now, &both(&["errors", "p95", "5xx", "slow"])).await.unwrap();
        let to_ms = u64::try_from(now - START).unwrap() * 1000;
        for (check, pair) in checks.iter().zip(samples.chunks(2)) {
            let poll = Poll {
                from_ms: before_ms,
                to_ms,
                candidate: pair[0].clone().unwrap(),
                baseline: pair[1].clone().unwrap(),
            };
            let seen = series.entry(check.name.to_string()).or_default();
            seen.push(&frame(check), poll);
            let judgement = judged_by(check, seen, to_ms);
            judged.insert(check.name.to_string(), judgement);
        }
        before_ms = to_ms;
        if judged.values().any(|judgement| judgement.verdict == Verdict::Fail) {
            return (judged, series, now);
        }
    }
    (judged, series, START + 900)
}

/// Ten requests a second to blue and two to green, one in a hundred of blue's failing.
fn traffic(double: &Double, green_fails: impl Fn(i64) -> bool, green_takes: f64) {
    for second in NOON - 600..START + 900 {
        for n in 0..10 {
            request(double, "blue", second, second % 10 == 0 && n == 0, 0.1);
        }
        for n in 0..2 {
            request(double, "green", second, n == 0 && green_fails(second), green_takes);
        }
    }
}

#[tokio::test]
async fn a_good_candidate_passes_and_is_judged_by_whole_minutes_after_the_shift_alone() {
    let double = Double::start();
    // before the watch began nothing of green worked; since then one in 120
    traffic(&double, |second| second < START || second % 60 == 30, 0.11);
    let (judged, series, end) = watched(&double).await;
    assert_eq!(end, START + 900);
    for (name, judgement) in &judged {
        assert_eq!(judgement.verdict, Verdict::Pass, "{name}: {}", judgement.sentence);
    }
    // 12:01 to 12:13: the first minute that began after the watch, the last that was over two minutes before its end
    assert_eq!(series["errors"].candidate, Sample::Counts { bad: 12, total: 12 * 120 });
    assert_eq!(series["errors"].baseline, Sample::Counts { bad: 72, total: 12 * 600 });
    assert_eq!(series["5xx"].candidate, Sample::Events(12));
    assert_eq!(series["p95"].candidate_values.1, 12, "a value for each minute");
    assert_eq!(
        double.operations("monitoring").len(),
        12,
        "one call for all checks and sides when a minute is complete"
    );
}

#[tokio::test]
async fn a_candidate_that_fails_is_found_at_the_second_minute() {
    let double = Double::start();
    traffic(&double, |second| second % 5 == 0, 0.1);
    let (judged, _, end) = watched(&double).await;
    let errors = &judged["errors"];
    assert_eq!(errors.verdict, Verdict::Fail, "{}", errors.sentence);
    assert!(errors.sentence.contains("10 % (12 of 120)"), "{}", errors.sentence);
    // the first minute is known at 12:04:00, and the look after it is at 12:04:20
    assert_eq!(end, START + 240);
    let held = check_of("errors", "preset: alb_errors", &["above 5% for 2m"]);
    assert_eq!(held.measure, Measure::Ratio);
}

#[tokio::test]
async fn a_slow_candidate_is_compared_with_the_baseline_by_percentiles() {
    let double = Double::start();
    traffic(&double, |_| false, 0.2);
    let (judged, ..) = watched(&double).await;
    assert_eq!(judged["p95"].verdict, Verdict::Fail);
    assert!(judged["p95"].sentence.contains("200 ms, baseline 100 ms"), "{}", judged["p95"].sentence);
    assert_eq!(judged["slow"].verdict, Verdict::Pass);
}

#[tokio::test]
async fn a_rate_must_be_too_high_for_two_minutes_in_a_row() {
    let double = Double::start();
    // one bad minute, 12:02, then two, from 12:05
    let bad = |second: i64| matches!((second - NOON).div_euclid(60), 2 | 5 | 6);
    traffic(&double, bad, 0.1);
    let check = check_of("errors", "preset: alb_errors", &["above 5% for 2m"]);
    let checks = [("errors", "preset: alb_errors")];
    let mut watch = Watch::begin(&double, &checks);
    let (mut series, mut failed, mut before_ms) = (Series::default(), None, 0);
    for now in (START..=START + 900).step_by(30) {
        let candidate = watch.one(now, ask("errors", Role::Candidate)).await.unwrap();
        let to_ms = u64::try_from(now - START).unwrap() * 1000;
        series.push(&frame(&check), Poll { from_ms: before_ms, to_ms, candidate, baseline: Sample::Empty });
        before_ms = to_ms;
        let judged = judged_by(&check, &series, to_ms);
        if judged.verdict == Verdict::Fail && failed.is_none() {
            failed = Some(now);
        }
    }
    // the minute from 12:06 is complete at 12:09:00
    assert_eq!(failed, Some(NOON + 9 * 60 + 20));
}

#[tokio::test]
async fn no_requests_is_not_no_errors() {
    let double = Double::start();
    request(&double, "blue", NOON + 61, false, 0.1);
    let checks =
        [("errors", "preset: alb_errors"), ("5xx", "preset: alb_5xx"), ("requests", "preset: alb_requests")];
    let mut watch = Watch::begin(&double, &checks);
    let asks = both(&["errors", "5xx", "requests"]);
    watch.look(START, &asks).await.unwrap();
    let samples: Vec<Sample> =
        watch.look(NOON + 240, &asks).await.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(
        samples,
        [
            Sample::Empty,
            Sample::Counts { bad: 0, total: 1 },
            Sample::Empty,
            Sample::Events(0),
            Sample::Empty,
            Sample::Events(1)
        ]
    );
}

#[tokio::test]
async fn a_target_that_cannot_be_connected_is_an_error_too() {
    let double = Double::start();
    for second in 0..10 {
        request(&double, "green", NOON + 60 + second, false, 0.1);
    }
    double.state().cloudwatch.event(alb("TargetConnectionErrorCount", "green"), NOON + 65, 4.0);
    let checks = [("errors", "preset: alb_errors")];
    let mut watch = Watch::begin(&double, &checks);
    watch.one(START, ask("errors", Role::Candidate)).await.unwrap();
    let sample = watch.one(NOON + 240, ask("errors", Role::Candidate)).await;
    assert_eq!(sample, Ok(Sample::Counts { bad: 4, total: 10 }));
}

/// The load balancer answers for a target that hangs, and counts it of itself alone.
#[tokio::test]
async fn requests_that_a_side_leaves_without_an_answer_are_its_errors() {
    let double = Double::start();
    for second in 0..10 {
        request(&double, "green", NOON + 60 + second, second == 0, 0.1);
        request(&double, "blue", NOON + 60 + second, false, 0.1);
    }
    for (at, code) in [(62, "504"), (63, "504"), (64, "502")] {
        let mut state = double.state();
        state.cloudwatch.event(alb("RequestCount", "green"), NOON + at, 1.0);
        let own = format!("HTTPCode_ELB_{code}_Count");
        state.cloudwatch.event(metric(ALB, &own, &[("LoadBalancer", "app/shop/50dc")]), NOON + at, 1.0);
    }
    let checks = [("errors", "preset: alb_errors")];
    let mut watch = Watch::begin(&double, &checks);
    watch.look(START, &both(&["errors"])).await.unwrap();
    let seen = watch.look(NOON + 240, &both(&["errors"])).await.unwrap();
    assert_eq!(seen, [Ok(Sample::Counts { bad: 4, total: 13 }), Ok(Sample::Counts { bad: 0, total: 10 })]);
}

#[tokio::test]
async fn a_period_that_comes_late_is_counted_when_it_comes_and_once() {
    let double = Double::start();
    for minute in 0..10 {
        request(&double, "green", NOON + minute * 60, minute % 2 == 0, 0.1);
    }
    // twice as long as is waited for
    double.state().cloudwatch.delay = 2 * LAG;
    let checks = [("errors", "preset: alb_errors")];
    let mut watch = Watch::begin(&double, &checks);
    let mut seen = Vec::new();
    for now in (NOON + 60..=NOON + 840).step_by(60) {
        seen.push(watch.one(now, ask("errors", Role::Candidate)).await.unwrap());
    }
    let mut sum = Sample::Empty;
    seen.iter().for_each(|sample| sum.add(sample));
    assert_eq!(sum, Sample::Counts { bad: 4, total: 9 }, "{seen:?}");
    assert_eq!(seen[3], Sample::Empty, "at 12:04 the first minute would be known at other times");
}

#[tokio::test]
async fn what_could_not_be_read_is_part_of_the_next_answer() {
    let all = [
        Trouble::Throttled400,
        Trouble::Throttled429,
        Trouble::Internal,
        Trouble::ResetBefore,
        Trouble::ResetAfter,
        Trouble::Hang,
        Trouble::HangAfter,
        Trouble::Truncated,
        Trouble::Expired,
    ];
    for trouble in all {
        let double = Double::start();
        for minute in 1..8 {
            request(&double, "green", NOON + minute * 60, minute == 3, 0.1);
        }
        let proxy = Proxy::start(&double.url);
        let checks = [("errors", "preset: alb_errors")];
        let mut watch = Watch::begin(&double, &checks);
        watch.url = proxy.url.clone();
        let mut seen = Vec::new();
        for minute in 1..=10 {
            // trouble once, which is asked again; then for good, and then it is over
            match minute {
                4 => proxy.plan(When::first("monitoring", "GetMetricData"), trouble),
                6 => proxy.plan(When::all("monitoring", "GetMetricData"), trouble),
                7 => proxy.calm(),
                _ => {}
            }
            // what goes on failing is asked again until the time is over
            watch.limit = if minute == 6 && trouble != Trouble::Expired { 5 } else { 60 };
            let answer = watch.one(NOON + minute * 60, ask("errors", Role::Candidate)).await;
            if minute == 6 {
                let fault = answer.unwrap_err();
                let expected = if trouble == Trouble::Expired { Treat::Permanent } else { Treat::Temporary };
                assert_eq!(fault.treat, expected, "{trouble:?}: {fault}");
                assert_eq!(fault.operation, "cloudwatch:GetMetricData");
            } else {
                seen.push(answer.unwrap_or_else(|fault| panic!("{trouble:?}, minute {minute}: {fault}")));
            }
        }
        assert!(proxy.troubles().len() >= 2, "{trouble:?} was made");
        let mut sum = Sample::Empty;
        seen.iter().for_each(|sample| sum.add(sample));
        assert_eq!(sum, Sample::Counts { bad: 1, total: 7 }, "{trouble:?}: {seen:?}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_twice_is_counted_once() {
    for trouble in [Trouble::Twice, Trouble::SentTwice] {
        let double = Double::start();
        request(&double, "green", NOON + 61, true, 0.1);
        let proxy = Proxy::start(&double.url);
        proxy.plan(When::all("monitoring", "GetMetricData"), trouble);
        let checks = [("errors", "preset: alb_errors")];
        let mut watch = Watch::begin(&double, &checks);
        watch.url = proxy.url.clone();
        watch.one(START, ask("errors", Role::Candidate)).await.unwrap();
        let first = watch.one(NOON + 240, ask("errors", Role::Candidate)).await;
        assert_eq!(first, Ok(Sample::Counts { bad: 1, total: 1 }));
        assert_eq!(watch.one(NOON + 300, ask("errors", Role::Candidate)).await, Ok(Sample::Empty));
    }
}

#[tokio::test]
async fn one_series_that_fails_is_one_checks_fault_and_is_made_up_for() {
    for (status, treat) in [
        ("PartialData", Treat::Temporary),
        ("InternalError", Treat::Temporary),
        ("Forbidden", Treat::Permanent),
    ] {
        let double = Double::start();
        for minute in 1..4 {
            request(&double, "green", NOON + minute * 60, true, 0.1);
        }
        let checks = [("errors", "preset: alb_errors"), ("requests", "preset: alb_requests")];
        let mut watch = Watch::begin(&double, &checks);
        let asks = [ask("errors", Role::Candidate), ask("requests", Role::Candidate)];
        watch.look(START, &asks).await.unwrap();
        double.state().cloudwatch.status.insert("HTTPCode_Target_5XX_Count".into(), status.into());
        let samples = watch.look(NOON + 240, &asks).await.unwrap();
        let fault = samples[0].clone().unwrap_err();
        assert_eq!((fault.treat, &samples[1]), (treat, &Ok(Sample::Events(1))), "{fault}");
        assert!(fault.object.contains("HTTPCode_Target_5XX_Count"), "{fault}");
        double.state().cloudwatch.status.clear();
        let samples = watch.look(NOON + 300, &asks).await.unwrap();
        assert_eq!(samples, [Ok(Sample::Counts { bad: 2, total: 2 }), Ok(Sample::Events(1))], "{status}");
    }
}

#[tokio::test]
async fn a_query_that_cloudwatch_refuses_does_not_take_the_others_with_it() {
    let double = Double::start();
    request(&double, "green", NOON + 61, true, 0.1);
    let checks = [
        ("errors", "preset: alb_errors"),
        ("requests", "preset: alb_requests"),
        // the double does not know it, as a region may not
        ("odd", "value: {namespace: Shop, metric: Time, stat: tm95, dimensions: {Side: '{{side}}'}}"),
    ];
    let mut watch = Watch::begin(&double, &checks);
    let asks: Vec<Ask> = checks.iter().map(|(name, _)| ask(name, Role::Candidate)).collect();
    watch.look(START, &asks).await.unwrap();
    let samples = watch.look(NOON + 240, &asks).await.unwrap();
    assert_eq!(samples[..2], [Ok(Sample::Counts { bad: 1, total: 1 }), Ok(Sample::Events(1))]);
    let fault = samples[2].clone().unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent);
    assert!(
        fault.detail.contains("tm95 for parameter Stat") && fault.object.contains("Shop Time (Side=green)"),
        "{fault}"
    );
}

#[tokio::test]
async fn a_long_gap_comes_in_pages() {
    let double = Double::start();
    for minute in 1..=60 {
        request(&double, "green", NOON + minute * 60, minute % 2 == 0, minute as f64);
        request(&double, "blue", NOON + minute * 60, false, 1.0);
    }
    double.state().cloudwatch.page = Some(50);
    let mut watch = Watch::begin(&double, &CHECKS[..2]);
    let asks = both(&["errors", "p95"]);
    watch.look(START, &asks).await.unwrap();
    let samples: Vec<Sample> =
        watch.look(NOON + 62 * 60 + 60, &asks).await.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(
        samples,
        [
            Sample::Counts { bad: 30, total: 60 },
            Sample::Counts { bad: 0, total: 60 },
            Sample::Gauge(30.5),
            Sample::Gauge(1.0)
        ]
    );
    // 60 times two requests, two times, two answers: 360 values
    assert_eq!(double.operations("monitoring").len(), 8);
}

#[tokio::test]
async fn periods_of_different_length_begin_where_they_should_in_one_call() {
    let double = Double::start();
    for minute in 0..12 {
        request(&double, "green", NOON + minute * 60, false, minute as f64);
    }
    let query = "namespace: AWS/ApplicationELB, metric: RequestCount, dimensions: {LoadBalancer: '{{label.load_balancer}}', TargetGroup: '{{label.target_group}}'}";
    let (fine, coarse) = (format!("count: {{{query}}}"), format!("count: {{{query}}}, period: 5m"));
    let checks = [("fine", fine.as_str()), ("coarse", coarse.as_str())];
    let mut watch = Watch::begin(&double, &checks);
    let asks = [ask("fine", Role::Candidate), ask("coarse", Role::Candidate)];
    watch.look(START, &asks).await.unwrap();
    let samples = watch.look(NOON + 12 * 60, &asks).await.unwrap();
    // from 12:01 to 12:10, and from 12:05 to 12:10
    assert_eq!(samples, [Ok(Sample::Events(9)), Ok(Sample::Events(5))]);
    let asked = double.state().cloudwatch.asked.clone();
    assert_eq!(asked, [Asked { from: NOON, to: NOON + 3600, queries: 2, expressions: vec![] }]);
}

#[tokio::test]
async fn more_queries_than_one_call_takes_go_out_in_two() {
    let double = Double::start();
    let queries: Vec<(String, String)> = (0..501)
        .map(|n| {
            (
                format!("c{n}"),
                format!("count: {{namespace: Shop, metric: N{n}, dimensions: {{Side: '{{{{side}}}}'}}}}"),
            )
        })
        .collect();
    double.state().cloudwatch.event(metric("Shop", "N500", &[("Side", "green")]), NOON + 61, 5.0);
    let checks: Vec<(&str, &str)> =
        queries.iter().map(|(name, options)| (name.as_str(), options.as_str())).collect();
    let mut watch = Watch::begin(&double, &checks);
    let asks: Vec<Ask> = checks.iter().map(|(name, _)| ask(name, Role::Candidate)).collect();
    watch.look(START, &asks).await.unwrap();
    let samples = watch.look(NOON + 240, &asks).await.unwrap();
    assert_eq!((&samples[500], &samples[0]), (&Ok(Sample::Events(5)), &Ok(Sample::Empty)));
    let mut sizes: Vec<usize> = double.state().cloudwatch.asked.iter().map(|asked| asked.queries).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 500]);
}

const SHARE: &str = "value: {math: '100 * late / all', queries: {late: {namespace: Shop, metric: Late, stat: Sum, \
     dimensions: {Side: '{{side}}'}}, all: {namespace: Shop, metric: All, stat: Sum, dimensions: {Side: '{{side}}'}}}}";

#[tokio::test]
async fn math_is_cloudwatchs_own_and_names_of_two_checks_do_not_meet() {
    let double = Double::start();
    for (side, late) in [("green", 30.0), ("blue", 10.0)] {
        let mut state = double.state();
        state.cloudwatch.event(metric("Shop", "Late", &[("Side", side)]), NOON + 61, late);
        state.cloudwatch.event(metric("Shop", "All", &[("Side", side)]), NOON + 62, 200.0);
        // nothing of all of nothing
        state.cloudwatch.event(metric("Shop", "Late", &[("Side", side)]), NOON + 121, 0.0);
        state.cloudwatch.event(metric("Shop", "All", &[("Side", side)]), NOON + 121, 0.0);
    }
    let several = "value: {math: \"SEARCH('{Shop,Side}', 'Sum', 60) + 0 * late\", queries: {late: {namespace: Shop, metric: Late}}}";
    let checks = [("late", SHARE), ("several", several)];
    let mut watch = Watch::begin(&double, &checks);
    let asks = [ask("late", Role::Candidate), ask("late", Role::Baseline), ask("several", Role::Candidate)];
    watch.look(START, &asks).await.unwrap();
    let samples = watch.look(NOON + 300, &asks).await.unwrap();
    assert_eq!(samples[..2], [Ok(Sample::Gauge(15.0)), Ok(Sample::Gauge(5.0))]);
    let fault = samples[2].clone().unwrap_err();
    assert!(fault.detail.contains("several series"), "{fault}");
    let asked = double.state().cloudwatch.asked.clone();
    assert_eq!(asked.len(), 1);
    let mut expressions = asked[0].expressions.clone();
    expressions.sort();
    assert!(expressions[0].starts_with("100 * q") && expressions[0] != expressions[1], "{expressions:?}");
}

#[tokio::test]
async fn an_alarm_fails_the_release_only_if_it_began_to_ring_after_it_opened() {
    let double = Double::start();
    let rang = [
        ("silent", "OK", START - 9000, Ok(Sample::Gauge(0.0))),
        ("before", "ALARM", START - 601, Ok(Sample::Gauge(0.0))),
        ("since", "ALARM", START - 599, Ok(Sample::Gauge(1.0))),
        ("unknown", "INSUFFICIENT_DATA", START, Ok(Sample::Empty)),
    ];
    for (name, state, since, _) in &rang {
        double.state().cloudwatch.alarm(name, state, *since);
    }
    double.state().cloudwatch.composite("both", "OK", START - 9000);
    let options: Vec<(&str, String)> = rang
        .iter()
        .map(|(name, ..)| (*name, format!("alarm: {name}")))
        .chain([("both", "alarm: both".to_string())])
        .collect();
    let checks: Vec<(&str, &str)> = options.iter().map(|(name, options)| (*name, options.as_str())).collect();
    let mut watch = Watch::begin(&double, &checks);
    let asks: Vec<Ask> = checks.iter().map(|(name, _)| ask(name, Role::Candidate)).collect();
    let samples = watch.look(START, &asks).await.unwrap();
    for ((name, .., expected), sample) in rang.iter().zip(&samples) {
        assert_eq!(sample, expected, "{name}");
    }
    assert_eq!(samples[4], Ok(Sample::Gauge(0.0)), "composite alarms are found too");
    assert_eq!(double.operations("monitoring"), ["DescribeAlarms"], "one call for all of them");

    // the same through the judge: the one that rang before stops, and rings again
    let check = check_of("before", "alarm: before", &["above 0"]);
    let (mut series, mut verdicts) = (Series::default(), Vec::new());
    for (n, state) in (1_u32..).zip(["ALARM", "OK", "ALARM"]) {
        let now = START + i64::from(n) * 30;
        let since = if n == 1 { START - 601 } else { now - 5 };
        double.state().cloudwatch.alarm("before", state, since);
        let candidate = watch.one(now, ask("before", Role::Candidate)).await.unwrap();
        let to_ms = u64::from(n) * 30_000;
        series.push(
            &frame(&check),
            Poll { from_ms: to_ms - 30_000, to_ms, candidate, baseline: Sample::Empty },
        );
        verdicts.push(judged_by(&check, &series, to_ms).verdict);
    }
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::Fail]);
}

#[tokio::test]
async fn an_alarm_of_which_nothing_was_opened_is_judged_since_the_first_look() {
    let double = Double::start();
    let checks = [("ring", "alarm: 'arn:aws:cloudwatch:eu-west-1:123456789012:alarm:ring'")];
    let mut watch = Watch::begin(&double, &checks);
    let ask = Ask { opened: None, ..ask("ring", Role::Candidate) };
    let fault = watch.one(START, ask.clone()).await.unwrap_err();
    assert!(fault.detail.contains("no such alarm"), "{fault}");
    double.state().cloudwatch.alarm("ring", "ALARM", START - 1);
    assert_eq!(watch.one(START, ask.clone()).await, Ok(Sample::Gauge(0.0)));
    double.state().cloudwatch.alarm("ring", "ALARM", START + 40);
    assert_eq!(watch.one(START + 60, ask).await, Ok(Sample::Gauge(1.0)));
}

fn lambda(name: &str, function: &str, version: Option<&str>) -> Name {
    let resource = format!("{function}:live");
    let mut dimensions = vec![("FunctionName", function), ("Resource", resource.as_str())];
    dimensions.extend(version.map(|version| ("ExecutedVersion", version)));
    metric(LAMBDA, name, &dimensions)
}

fn lambda_ask(check: &str, role: Role) -> Ask {
    let (side, versions) = if role == Role::Candidate { ("new", "42,7") } else { ("old", "41,6") };
    let labels = labels(&[("functions", "thumbs,mail"), ("alias", "live"), ("versions", versions)]);
    ask_of(check, "jobs", role, side, labels)
}

#[tokio::test]
async fn several_functions_are_one_service_each_by_its_own_version() {
    let double = Double::start();
    let at = NOON + 61;
    for (function, version, errors, millis) in
        [("thumbs", "42", 2.0, 900.0), ("mail", "7", 1.0, 1500.0), ("thumbs", "41", 0.0, 100.0)]
    {
        let mut state = double.state();
        state.cloudwatch.event(lambda("Invocations", function, Some(version)), at, 50.0);
        state.cloudwatch.event(lambda("Errors", function, Some(version)), at, errors);
        state.cloudwatch.event(lambda("Duration", function, Some(version)), at, millis);
        state.cloudwatch.event(lambda("Invocations", function, None), at, 500.0);
    }
    let checks = [
        ("errors", "preset: lambda_errors"),
        ("p95", "preset: lambda_p95"),
        ("throttled", "preset: lambda_throttles"),
    ];
    let mut watch = Watch::begin(&double, &checks);
    let asks: Vec<Ask> = checks
        .iter()
        .flat_map(|(name, _)| [lambda_ask(name, Role::Candidate), lambda_ask(name, Role::Baseline)])
        .collect();
    watch.look(START, &asks).await.unwrap();
    let samples: Vec<Sample> =
        watch.look(NOON + 240, &asks).await.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(
        samples,
        [
            Sample::Counts { bad: 3, total: 100 },
            Sample::Counts { bad: 0, total: 50 },
            Sample::Gauge(1.5),
            Sample::Gauge(0.1),
            Sample::Events(0),
            Sample::Events(0)
        ]
    );
}

#[tokio::test]
async fn a_version_that_has_all_the_traffic_is_known_by_the_alias_where_it_has_no_numbers_of_its_own() {
    let double = Double::start();
    for minute in [1, 2] {
        double.state().cloudwatch.event(lambda("Invocations", "mail", None), NOON + minute * 60, 80.0);
        double.state().cloudwatch.event(lambda("Errors", "mail", None), NOON + minute * 60, 8.0);
    }
    let checks = [("errors", "preset: lambda_errors")];
    let alone = [lambda_ask("errors", Role::Candidate)];
    let split = [lambda_ask("errors", Role::Candidate), lambda_ask("errors", Role::Baseline)];
    let mut watch = Watch::begin(&double, &checks);
    watch.look(START, &split).await.unwrap();
    let samples = watch.look(NOON + 240, &split).await.unwrap();
    assert_eq!(
        samples,
        [Ok(Sample::Empty), Ok(Sample::Empty)],
        "while both have traffic the alias says nothing of one"
    );
    let mut watch = Watch::begin(&double, &checks);
    watch.look(START, &alone).await.unwrap();
    assert_eq!(watch.look(NOON + 240, &alone).await.unwrap(), [Ok(Sample::Counts { bad: 8, total: 80 })]);
}

#[tokio::test]
async fn what_is_recorded_of_the_baseline_goes_back_a_quarter_of_an_hour() {
    let double = Double::start();
    for minute in -20..3 {
        request(&double, "blue", NOON + minute * 60, minute == 0, 0.1);
    }
    let mut watch = Watch::begin(&double, &CHECKS[..1]);
    let baseline = [ask("errors", Role::Baseline)];
    // a release opens, and a minute later the traffic is about to move
    watch.look(START, &baseline).await.unwrap();
    let samples = watch.look(START + 60, &baseline).await.unwrap();
    // from 11:46 to 11:59: the first minute that begins within, the last that was over two minutes ago
    assert_eq!(samples, [Ok(Sample::Counts { bad: 0, total: 13 })]);
}

#[tokio::test]
async fn ecs_percentages_are_fractions_and_the_services_own_access_is_used() {
    let double = Double::start();
    let dimensions = [("ClusterName", "shop"), ("ServiceName", "api-green")];
    double.state().cloudwatch.event(metric("AWS/ECS", "CPUUtilization", &dimensions), NOON + 61, 83.0);
    double.state().cloudwatch.now = Some(NOON + 240);
    let adapter = METRICS.iter().find(|kind| kind.common.name == "cloudwatch").unwrap();
    let mut setting = setting();
    setting.services[0] = service("api", "ecs_alb", &format!("{{{}}}", access(&double.url)));
    let node = parse("{preset: ecs_cpu}").unwrap();
    let entries = [("cpu".parse().unwrap(), node, "checks.cpu".to_string())];
    let source = (adapter.connect)(&entries, &setting).map_err(|e| e.to_string()).unwrap();
    let time = |seconds: i64| jiff::Timestamp::new(seconds, 0).unwrap();
    let asks = [ask("cpu", Role::Candidate)];
    let window = |now: i64| Window::new(time(START - LAG), time(now - LAG));
    let begun = source.measure(&double::within(30), &asks, window(START), None).await.unwrap();
    let cursor = begun.cursor.as_ref();
    let measured = source.measure(&double::within(30), &asks, window(NOON + 240), cursor).await.unwrap();
    assert_eq!(measured.samples, [Ok(Sample::Gauge(0.83))]);
}

#[tokio::test]
async fn a_missing_permission_or_label_is_told_with_what_to_do() {
    let double = Double::start();
    double.state().denied.insert("monitoring:GetMetricData".into());
    let checks = [("errors", "preset: alb_errors")];
    let mut watch = Watch::begin(&double, &checks);
    watch.look(START, &both(&["errors"])).await.unwrap();
    let fault = watch.look(NOON + 240, &both(&["errors"])).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent);
    assert!(fault.hint.as_ref().unwrap().contains("cloudwatch:GetMetricData"), "{fault:?}");
    let bare = Ask { labels: BTreeMap::new(), ..ask("errors", Role::Candidate) };
    let fault = watch.one(NOON + 240, bare).await.unwrap_err();
    assert!(
        fault.detail.contains("tells no `load_balancer`") && fault.object.contains("errors of api green"),
        "{fault}"
    );
}

#[test]
fn a_check_reaches_the_services_that_can_answer_it() {
    let reach = |options: &str| {
        let source = connect("http://127.0.0.1:1", &[("x", options)]);
        ["api", "jobs", "web", "batch"]
            .map(|target| source.reach(&"x".parse().unwrap(), &target.parse().unwrap()))
    };
    let value = |dimension: &str| {
        format!("value: {{namespace: Shop, metric: Depth, dimensions: {{D: '{dimension}'}}}}")
    };
    use Reach::{None, Sides, Whole};
    assert_eq!(reach("preset: alb_errors"), [Sides, None, None, None]);
    assert_eq!(reach("preset: ecs_cpu"), [Sides, None, None, Sides]);
    assert_eq!(reach("preset: lambda_p95"), [None, Sides, None, None]);
    assert_eq!(reach(&value("x")), [Whole, None, None, None]);
    assert_eq!(reach(&value("{{service}}")), [Whole; 4]);
    assert_eq!(reach(&value("{{side}}")), [Sides; 4]);
    assert_eq!(reach(&value("{{label.target_group}}")), [Sides, None, None, None]);
    assert_eq!(reach("alarm: 'shop-{{version}}'"), [Sides; 4]);
    assert_eq!(reach("alarm: shop"), [Whole, None, None, None]);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let metric = "{namespace: Shop, metric: A}";
    for (options, why) in [
        ("period: 1m", "write one of `preset`"),
        ("preset: alb_eror", "did you mean `alb_errors`"),
        (&format!("preset: alb_errors, value: {metric}"), "write one of"),
        (&format!("bad: {metric}"), "`bad` needs `total`"),
        (&format!("total: {metric}"), "`total` needs `bad`"),
        (&format!("histogram: {metric}"), "such as `at: p95`"),
        (&format!("histogram: {metric}, at: Sum"), "such as `at: p95`"),
        (&format!("value: {metric}, period: 90s"), "whole minutes"),
        (&format!("value: {metric}, period: 7m"), "divide an hour"),
        (
            &format!("bad: {{namespace: S, metric: A, stat: p99}}, total: {metric}"),
            "`bad`: `A` is to count events",
        ),
        ("alarm: ' '", "names no alarm"),
        ("alarm: '{{sied}}'", "not known"),
    ] {
        let error = try_connect("http://127.0.0.1:1", &[("x", options)]).err().unwrap_or_default();
        assert!(error.contains(why), "{options}: {error}");
    }
    let mut lone = setting();
    lone.services.truncate(1);
    let adapter = METRICS.iter().find(|kind| kind.common.name == "cloudwatch").unwrap();
    let entries = [("x".parse().unwrap(), parse("{preset: lambda_errors}").unwrap(), "checks.x".to_string())];
    let error = (adapter.connect)(&entries, &lone).err().unwrap().to_string();
    assert!(error.contains("no service has a target of the kind lambda"), "{error}");
}

/// What the config says of a check with this bound.
fn said_of(check: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.yml");
    let text = format!(
        "name: shop\nservices:\n  api:\n    haproxy: {{socket: s, backend: b, sides: [blue, green]}}\nchecks:\n  x: {{cloudwatch: {check}}}\n"
    );
    std::fs::write(&path, text).unwrap();
    let env = std::sync::Arc::new(|_: &str| None);
    match tidegate::config::load(&path, &"production".parse().unwrap(), env) {
        Ok(_) => "right".into(),
        Err(failure) => format!("{failure:?}"),
    }
}

#[test]
fn a_bound_that_looks_back_over_less_than_the_periods_is_refused_and_so_is_another_unit() {
    let count = "{count: {namespace: Shop, metric: A, dimensions: {Side: '{{side}}'}}}";
    let value = "{value: {namespace: AWS/Lambda, metric: Duration, dimensions: {Side: '{{side}}'}}}";
    let coarse = "{value: {namespace: S, metric: A, dimensions: {Side: '{{side}}'}}, period: 5m}";
    for (check, said) in [
        (format!("{count}, fail: more than 10 in 1m"), "right"),
        (format!("{count}, fail: more than 10 in 30s"), "less than 1m"),
        (format!("{value}, fail: above 2s for 2m"), "right"),
        (format!("{value}, fail: above baseline + 25%"), "right"),
        (format!("{value}, fail: above 2s for 1m"), "less than 2m"),
        (format!("{value}, fail: above 5%"), "wrong unit"),
        (format!("{coarse}, fail: above 5 for 5m"), "less than 10m: the source has one number for 5m"),
        ("{alarm: ring}, fail: above 0 for 1s".into(), "right"),
    ] {
        let answer = said_of(&check);
        assert!(answer.contains(said), "{check}: {answer}");
    }
}
