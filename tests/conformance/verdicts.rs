//! Hundreds of releases judged from what a real Prometheus scraped: the adapter's answers, the judge's tests.
//!
//! One page has the counters and the histograms of every release, as the demo's service has its own. Time is
//! fast: between two scrapes each side answers as many requests as it would in some minutes.

#![allow(clippy::unwrap_used)]

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::join_all;
use tidegate::{
    domain::{
        bound::Bound,
        check::Check,
        judge::{Frame, judge, verdict::Moment},
        record::{Poll, Series},
        sample::{Measure, Sample},
        value::Kind,
        verdict::{Judgement, Verdict},
    },
    port::{Ask, Clock as _, Metric, Window, clock::SystemClock},
};

use crate::{
    http_server::{HttpServer, ok},
    metric::{ask, connect, context},
    prometheus::Prometheus,
};

const HEALTHY: usize = 200;
/// Of the healthy ones, so many may fail by chance at 1 %: seven or more have a chance of less than half a percent.
const FALSE_ALARMS_MAX: usize = 6;
const TWICE: usize = 20;
const STEPS: u64 = 10;
const STEP_MS: u64 = 60_000;
/// Requests of one side in a step, and how many in ten thousand fail.
const REQUESTS: [(&str, u64); 2] = [("blue", 9000), ("green", 1000)];
const ERRORS: u64 = 100;
const BOUNDS: [f64; 6] = [0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// splitmix64
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % limit
    }
}

/// One side of one release.
struct Counters {
    release: usize,
    side: &'static str,
    all: u64,
    failed: u64,
    buckets: [u64; BOUNDS.len()],
}

struct Production {
    random: Random,
    step: u64,
    sides: Vec<Counters>,
}

impl Production {
    fn new() -> Self {
        let side = |release, side| Counters { release, side, all: 0, failed: 0, buckets: [0; BOUNDS.len()] };
        let sides = (0..HEALTHY + TWICE).flat_map(|n| REQUESTS.map(|(name, _)| side(n, name))).collect();
        Production { random: Random(7), step: 0, sides }
    }

    /// As many requests as a step has, each by itself.
    fn advance(&mut self) {
        self.step += 1;
        for side in &mut self.sides {
            let (_, requests) = REQUESTS.into_iter().find(|(name, _)| *name == side.side).unwrap();
            let worse = side.release >= HEALTHY && side.side == "green";
            for _ in 0..requests {
                side.all += 1;
                side.failed += u64::from(self.random.below(10_000) < if worse { 2 * ERRORS } else { ERRORS });
                // most are fast, and some take as long as there are buckets
                let slow = self.random.below(64).leading_zeros().saturating_sub(58) as usize;
                side.buckets[BOUNDS.len() - 1 - slow.min(BOUNDS.len() - 1)] += 1;
            }
        }
    }

    fn page(&self) -> String {
        let mut page = format!("# TYPE step gauge\nstep {}\n# TYPE http_requests_total counter\n", self.step);
        for side in &self.sides {
            let labels = format!("release=\"{}\",side=\"{}\"", side.release, side.side);
            let _ = writeln!(page, "http_requests_total{{{labels},code=\"200\"}} {}", side.all - side.failed);
            let _ = writeln!(page, "http_requests_total{{{labels},code=\"500\"}} {}", side.failed);
        }
        page.push_str("# TYPE http_request_duration_seconds histogram\n");
        for side in &self.sides {
            let labels = format!("release=\"{}\",side=\"{}\"", side.release, side.side);
            let mut upto = 0;
            for (bound, count) in BOUNDS.iter().zip(side.buckets) {
                upto += count;
                let _ =
                    writeln!(page, "http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {upto}");
            }
            let _ =
                writeln!(page, "http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {}", side.all);
        }
        page
    }
}

/// One check of one release, as its watch goes on.
struct Watch {
    release: usize,
    source: Arc<dyn Metric>,
    check: Check,
    series: Series,
    failed_at: Option<u64>,
}

impl Watch {
    /// One source answers for all releases, which differ in their version.
    fn source(prometheus: &Prometheus, of: Measure) -> Arc<dyn Metric> {
        let labels = r#"release="{{version}}",side="{{side}}""#;
        let question = match of {
            Measure::Ratio => format!(
                r#"bad: 'http_requests_total{{{labels},code="500"}}', total: 'http_requests_total{{{labels}}}'"#
            ),
            _ => format!(r#"histogram: 'http_request_duration_seconds_bucket{{{labels}}}', at: p95"#),
        };
        connect("prometheus", &format!("{{url: '{}', {question}}}", prometheus.url)).unwrap().into()
    }

    fn new(release: usize, source: Arc<dyn Metric>, of: Measure) -> Self {
        let kind = if of == Measure::Ratio { Kind::Ratio } else { Kind::Time };
        let check = Check {
            fail: vec![Bound::Worse],
            needs: Some(5000),
            ..Check::new("errors".parse().unwrap(), of, kind)
        };
        Watch { release, source, check, series: Series::default(), failed_at: None }
    }

    /// One look at both sides.
    async fn look(&mut self, window: Window, step: u64) {
        let asks = ["green", "blue"].map(|side| {
            let ask = ask(side, &[]);
            Ask { words: ask.words.clone().with("version", self.release.to_string()), ..ask }
        });
        let mut measured = self.source.measure(&context(), &asks, window, None).await.unwrap();
        let baseline = measured.samples.pop().unwrap().unwrap();
        let candidate = measured.samples.pop().unwrap().unwrap();
        let requests = |sample: &Sample| sample.requests().unwrap_or_default();
        assert_eq!((requests(&candidate), requests(&baseline)), (1000, 9000), "release {}", self.release);
        let frame = Frame { check: &self.check, recorded: None, before: None, tests: 1 };
        let (from_ms, to_ms) = ((step - 1) * STEP_MS, step * STEP_MS);
        self.series.push(&frame, Poll { from_ms, to_ms, candidate, baseline });
        if self.verdict(step) == Verdict::Fail {
            self.failed_at.get_or_insert(step);
        }
    }

    fn verdict(&self, step: u64) -> Verdict {
        self.judgement(step).verdict
    }

    fn judgement(&self, step: u64) -> Judgement {
        let frame = Frame { check: &self.check, recorded: None, before: None, tests: 1 };
        let watched = std::time::Duration::from_millis(step * STEP_MS);
        let moment = Moment { watched, last: step == STEPS };
        judge(&frame, &"api".parse().unwrap(), &self.series, moment)
    }
}

#[tokio::test]
async fn two_hundred_healthy_releases_pass_and_twice_the_errors_are_caught() {
    let production = Arc::new(Mutex::new(Production::new()));
    let served = production.clone();
    let server = HttpServer::start(move |_| ok(served.lock().unwrap_or_else(PoisonError::into_inner).page()));
    let prometheus = Prometheus::start(server.address).await;
    prometheus.wait_for("step", "0").await;
    let errors = Watch::source(&prometheus, Measure::Ratio);
    let p95 = Watch::source(&prometheus, Measure::Quantile(0.95));
    let ratio = |release| Watch::new(release, errors.clone(), Measure::Ratio);
    let mut watches: Vec<Watch> = (0..HEALTHY + TWICE).map(ratio).collect();
    watches
        .extend((0..HEALTHY / 10).map(|release| Watch::new(release, p95.clone(), Measure::Quantile(0.95))));
    let clock = SystemClock::default();
    let mut from = clock.now();
    for step in 1..=STEPS {
        production.lock().unwrap_or_else(PoisonError::into_inner).advance();
        prometheus.wait_for("step", &step.to_string()).await;
        let window = Window::new(from, clock.now());
        for some in watches.chunks_mut(16) {
            join_all(some.iter_mut().map(|watch| watch.look(window, step))).await;
        }
        from = window.to;
    }
    let (healthy, worse): (Vec<&Watch>, Vec<&Watch>) = watches.iter().partition(|w| w.release < HEALTHY);
    let false_alarms = healthy.iter().filter(|watch| watch.failed_at.is_some()).count();
    let passed = healthy.iter().filter(|watch| watch.verdict(STEPS) == Verdict::Pass).count();
    assert!(false_alarms <= FALSE_ALARMS_MAX, "{false_alarms} false alarms of {}", healthy.len());
    let undecided = healthy.iter().filter(|w| w.failed_at.is_none() && w.verdict(STEPS) != Verdict::Pass);
    let undecided: Vec<String> = undecided.map(|watch| watch.judgement(STEPS).sentence).collect();
    assert_eq!(passed + false_alarms, healthy.len(), "{undecided:?}");
    let caught: Vec<u64> = worse.iter().filter_map(|watch| watch.failed_at).collect();
    assert_eq!(caught.len(), TWICE, "caught at {caught:?}");
    println!(
        "{passed} of {} healthy watches passed; twice the errors were caught at {caught:?} of {STEPS}",
        healthy.len()
    );
}

/// What a candidate's page shows at a step, of a baseline that is as always.
type Trouble = (&'static str, fn(u64) -> String, Verdict);

fn counters(release: &str, side: &str, all: &str, failed: &str) -> String {
    let labels = format!("release=\"{release}\",side=\"{side}\"");
    format!(
        "http_requests_total{{{labels},code=\"200\"}} {all}\nhttp_requests_total{{{labels},code=\"500\"}} {failed}\n"
    )
}

const OF_COUNTERS: [Trouble; 8] = [
    (
        "calm",
        |step| counters("calm", "green", &(step * 990).to_string(), &(step * 10).to_string()),
        Verdict::Pass,
    ),
    ("missing", |_| String::new(), Verdict::Insufficient),
    (
        "stops",
        |step| match step {
            0..=4 => counters("stops", "green", &(step * 990).to_string(), &(step * 10).to_string()),
            _ => String::new(),
        },
        Verdict::Insufficient,
    ),
    ("stands-still", |_| counters("stands-still", "green", "990", "10"), Verdict::Insufficient),
    (
        "restarts",
        |step| {
            let step = if step > 4 { step - 4 } else { step };
            counters("restarts", "green", &(step * 990).to_string(), &(step * 10).to_string())
        },
        Verdict::Pass,
    ),
    ("nan", |_| counters("nan", "green", "NaN", "NaN"), Verdict::Insufficient),
    ("infinite", |_| counters("infinite", "green", "+Inf", "+Inf"), Verdict::Insufficient),
    (
        "label-vanishes",
        |step| match step {
            0..=4 => counters("label-vanishes", "green", &(step * 990).to_string(), &(step * 10).to_string()),
            _ => format!("http_requests_total{{release=\"label-vanishes\",code=\"200\"}} {}\n", step * 990),
        },
        Verdict::Insufficient,
    ),
];

fn buckets(release: &str, side: &str, all: &str, slow: &str) -> String {
    let labels = format!("release=\"{release}\",side=\"{side}\"");
    format!(
        "http_seconds_bucket{{{labels},le=\"0.1\"}} {all}\nhttp_seconds_bucket{{{labels},le=\"0.2\"}} {slow}\n\
         http_seconds_bucket{{{labels},le=\"+Inf\"}} {slow}\n"
    )
}

fn observed(release: &str, step: u64) -> String {
    buckets(release, "green", &(step * 900).to_string(), &(step * 1000).to_string())
}

const OF_HISTOGRAMS: [Trouble; 7] = [
    ("calm", |step| observed("calm", step), Verdict::Pass),
    ("missing", |_| String::new(), Verdict::Insufficient),
    ("stops", |step| if step <= 4 { observed("stops", step) } else { String::new() }, Verdict::Insufficient),
    ("stands-still", |_| observed("stands-still", 1), Verdict::Insufficient),
    ("restarts", |step| observed("restarts", if step > 4 { step - 4 } else { step }), Verdict::Pass),
    ("nan", |_| buckets("nan", "green", "NaN", "NaN"), Verdict::Insufficient),
    ("infinite", |_| buckets("infinite", "green", "+Inf", "+Inf"), Verdict::Insufficient),
];

fn depth(release: &str, side: &str, value: &str) -> String {
    format!("queue_depth{{release=\"{release}\",side=\"{side}\"}} {value}\n")
}

const OF_GAUGES: [Trouble; 6] = [
    ("calm", |step| depth("calm", "green", &(step % 3).to_string()), Verdict::Pass),
    ("missing", |_| String::new(), Verdict::Insufficient),
    (
        "stops",
        |step| if step <= 4 { depth("stops", "green", "1") } else { String::new() },
        Verdict::Insufficient,
    ),
    ("stands-still", |_| depth("stands-still", "green", "1"), Verdict::Pass),
    ("nan", |_| depth("nan", "green", "NaN"), Verdict::Insufficient),
    (
        "label-vanishes",
        |step| match step {
            0..=4 => depth("label-vanishes", "green", "1"),
            _ => "queue_depth{release=\"label-vanishes\"} 1\n".into(),
        },
        Verdict::Insufficient,
    ),
];

/// Scrapes a page on which each of these candidates has its trouble, and the baseline none.
async fn verdicts<const N: usize>(
    troubles: [Trouble; N],
    baseline: fn(&str, u64) -> String,
    question: fn(&str) -> String,
    check: Check,
) -> [(&'static str, Verdict); N] {
    let step = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let at = step.clone();
    let server = HttpServer::start(move |_| {
        let step = at.load(std::sync::atomic::Ordering::SeqCst);
        let mut page = format!("# TYPE step gauge\nstep {step}\n");
        for (name, shows, _) in troubles {
            page.push_str(&shows(step));
            page.push_str(&baseline(name, step));
        }
        ok(page)
    });
    let prometheus = Prometheus::start(server.address).await;
    prometheus.wait_for("step", "0").await;
    let mut watches: Vec<Watch> = (troubles.iter().enumerate())
        .map(|(n, (name, ..))| {
            let labels = format!(r#"release="{name}",side="{{{{side}}}}""#);
            let config = format!("{{url: '{}', {}}}", prometheus.url, question(&labels));
            let source = connect("prometheus", &config).unwrap().into();
            Watch { check: check.clone(), ..Watch::new(n, source, check.measure) }
        })
        .collect();
    let clock = SystemClock::default();
    let mut from = clock.now();
    for now in 1..=STEPS {
        step.store(now, std::sync::atomic::Ordering::SeqCst);
        prometheus.wait_for("step", &now.to_string()).await;
        // a clock that jumped back asks for no time at all
        let window = if now == 6 { Window::new(clock.now(), from) } else { Window::new(from, clock.now()) };
        for watch in &mut watches {
            let asks = [ask("green", &[]), ask("blue", &[])];
            let mut measured = watch.source.measure(&context(), &asks, window, None).await.unwrap();
            let baseline = measured.samples.pop().unwrap().unwrap();
            let candidate = measured.samples.pop().unwrap().unwrap();
            let frame = Frame { check: &watch.check, recorded: None, before: None, tests: 1 };
            let (from_ms, to_ms) = ((now - 1) * STEP_MS, now * STEP_MS);
            watch.series.push(&frame, Poll { from_ms, to_ms, candidate, baseline });
        }
        from = window.to.max(from);
    }
    let came: Vec<_> =
        watches.iter().zip(troubles).map(|(watch, (name, ..))| (name, watch.verdict(STEPS))).collect();
    came.try_into().unwrap()
}

fn check(measure: Measure, kind: Kind, fail: &str, needs: u64) -> Check {
    let fail = vec![fail.parse().unwrap()];
    Check { fail, needs: Some(needs), ..Check::new("check".parse().unwrap(), measure, kind) }
}

#[tokio::test]
async fn whatever_becomes_of_a_series_it_is_no_pass_unless_it_is_one() {
    let baseline =
        |name: &str, step: u64| counters(name, "blue", &(step * 8910).to_string(), &(step * 90).to_string());
    let question = |labels: &str| {
        format!(
            r#"bad: 'http_requests_total{{{labels},code="500"}}', total: 'http_requests_total{{{labels}}}'"#
        )
    };
    let errors = check(Measure::Ratio, Kind::Ratio, "worse than baseline", 1000);
    let came = verdicts(OF_COUNTERS, baseline, question, errors).await;
    assert_eq!(came, OF_COUNTERS.map(|(name, _, verdict)| (name, verdict)));
}

#[tokio::test]
async fn nor_of_a_histogram() {
    let baseline =
        |name: &str, step: u64| buckets(name, "blue", &(step * 8100).to_string(), &(step * 9000).to_string());
    let question = |labels: &str| format!("histogram: 'http_seconds_bucket{{{labels}}}', at: p95");
    let p95 = check(Measure::Quantile(0.95), Kind::Time, "worse than baseline", 1000);
    let came = verdicts(OF_HISTOGRAMS, baseline, question, p95).await;
    assert_eq!(came, OF_HISTOGRAMS.map(|(name, _, verdict)| (name, verdict)));
}

#[tokio::test]
async fn nor_of_a_gauge() {
    let baseline = |name: &str, step: u64| depth(name, "blue", &((step + 1) % 3).to_string());
    let question = |labels: &str| format!("value: 'queue_depth{{{labels}}}'");
    let fixed = check(Measure::Gauge, Kind::Count, "above 100", 1);
    let came = verdicts(OF_GAUGES, baseline, question, fixed).await;
    assert_eq!(came, OF_GAUGES.map(|(name, _, verdict)| (name, verdict)));
}
