//! What is found, and when: harm, and that there is none.

use tidegate::domain::{
    judge::{
        forecast::{Traffic, smallest_found},
        null::{Edge, Refute},
        numbers::ln,
        split::Tuning,
    },
    sample::Sample,
};

use super::{
    chart::{Curve, Panel, by_poll, svg},
    nulls::{self, ALPHAS, Latencies, SHARPEST_AT},
    percent, rivals,
    tables::Table,
    watch::{Found, POLL_MS, runs},
    world::{Errors, Latency, REQUESTS, Ratios, rng},
};

const POLLS: usize = 60;

pub fn detection(n: u64, seed: u64) -> (Table, String) {
    let title = "Detection at α 5 %: 60 polls of 1000 requests, 10 % to the candidate. Share that alarms / median poll of all watches";
    let rare = |factor| Ratios::new(0.1, 0.01, factor);
    let worlds: [(&str, Ratios); 12] = [
        ("null", rare(1.0)),
        ("incident", Ratios { incident: true, ..rare(1.0) }),
        ("x1.5", rare(1.5)),
        ("x2", rare(2.0)),
        ("x3", rare(3.0)),
        ("x5", rare(5.0)),
        ("x2 from 30", Ratios { from: 30, ..rare(2.0) }),
        ("x3 from 30", Ratios { from: 30, ..rare(3.0) }),
        ("x5 from 30", Ratios { from: 30, ..rare(5.0) }),
        ("bursts of 3", Ratios { errors: Errors::Bursts(3.0), ..rare(1.0) }),
        ("30 % null", Ratios::new(0.1, 0.3, 1.0)),
        ("30 % x1.2", Ratios::new(0.1, 0.3, 1.2)),
    ];
    let head: Vec<&str> = std::iter::once("").chain(worlds.iter().map(|w| w.0)).collect();
    let all: Vec<Vec<Found>> = worlds
        .iter()
        .map(|(name, world)| {
            let first =
                runs(n, |run| rivals::first_alarms(*world, POLLS, seed, name, run).unwrap_or_default());
            (0..rivals::NAMES.len())
                .map(|method| Found {
                    at: first.iter().map(|run| run.get(method).copied().flatten()).collect(),
                })
                .collect()
        })
        .collect();
    let mut table = Table::new("detection", title, &head);
    for (method, name) in rivals::NAMES.iter().enumerate() {
        let cells = all.iter().filter_map(|found| found.get(method)).map(Found::cell);
        table.row([(*name).to_string()].into_iter().chain(cells));
    }
    let panel = |title, world: usize, level, most| Panel {
        title,
        level,
        most,
        curves: all.get(world).map_or(Vec::new(), |found| {
            let curves = rivals::NAMES.iter().zip(found).enumerate();
            curves.map(|(i, (name, f))| Curve { name, ours: i == 5, shares: by_poll(&f.at, POLLS) }).collect()
        }),
    };
    let chart = svg(
        "Watches that alarmed by each poll, where all is well and where the candidate has twice the errors",
        &[
            panel("All is well: watches that alarmed by then", 0, Some((0.05, "α 5 %")), 0.4),
            panel("Twice the errors: watches that found it by then", 3, None, 1.0),
        ],
    );
    (table, chart)
}

/// The table of the facts has it for a lognormal of this spread.
fn slower(p: f64, factor: f64) -> Latencies {
    Latencies { p, share: 0.1, factor, baseline: Latency { median: 0.08 } }
}

const FACTORS: [f64; 4] = [1.1, 1.2, 1.5, 2.0];

pub fn latency(n: u64, seed: u64) -> Table {
    let title = "Slower latency at α 5 %: 60 polls of 1000 requests, 10 % to the candidate; lognormal, σ 0.5, median 80 ms. Share that is found / median poll";
    let mut table = Table::new("latency", title, &["", "x1.1", "x1.2", "x1.5", "x2"]);
    for p in [0.5, 0.95, 0.99] {
        let cells = FACTORS.map(|factor| {
            let few = n.div_ceil(10);
            nulls::values(slower(p, factor), &[0.05], SHARPEST_AT, POLLS, few, seed, &format!("{p} {factor}"))
                .first()
                .map_or(String::new(), Found::cell)
        });
        table.row([format!("p{}, single values", p * 100.0)].into_iter().chain(cells));
        let cells = FACTORS.map(|factor| {
            let found = nulls::histogram(slower(p, factor), POLLS, n, seed, &format!("buckets {p} {factor}"));
            found.last().map_or(String::new(), Found::cell)
        });
        table.row([format!("p{}, 12 buckets", p * 100.0)].into_iter().chain(cells));
    }
    table
}

/// Single values, whose prior is sharpest after so many observations.
pub fn sharpest(n: u64, seed: u64) -> Table {
    let title = "Where the prior is sharpest: median poll at α 5 %, single values";
    let head = ["", "p50 x1.1", "p50 x1.2", "p95 x1.1", "p95 x1.2", "p95 x1.5", "p99 x1.2", "p99 x1.5"];
    let mut table = Table::new("sharpest", title, &head);
    let cases = [(0.5, 1.1), (0.5, 1.2), (0.95, 1.1), (0.95, 1.2), (0.95, 1.5), (0.99, 1.2), (0.99, 1.5)];
    for at in [100.0, 300.0, 1000.0, 2000.0, 4000.0, 10_000.0] {
        let cells = cases.map(|(p, factor)| {
            nulls::values(
                slower(p, factor),
                &[0.05],
                at,
                POLLS,
                n.div_ceil(20),
                seed,
                &format!("{p} {factor}"),
            )
            .first()
            .map_or(String::new(), Found::cell)
        });
        table.row([format!("{at} observations")].into_iter().chain(cells));
    }
    table
}

pub fn proof(n: u64, seed: u64) -> Table {
    let title = "Proof that all is well (95 %), looked for at every poll; α 1 %, 1 % of errors. Share that passes / median poll";
    let mut table = Table::new("proof", title, &["", "60 polls", "600 polls"]);
    for share in [0.1, 0.5] {
        for tolerate in [1.2, 1.5, 2.0] {
            for (factor, words) in [(1.0, "as the baseline"), (tolerate, "at the edge: must be <= .05")] {
                let name = format!("{}, tolerated {tolerate}x, {words}", percent(share));
                let found = |polls: usize| {
                    let world = Ratios::new(share, 0.01, factor);
                    let all = nulls::outcomes(world, &[tolerate], polls, n, seed, &name);
                    nulls::transposed(&all, |o| o.passed).first().map_or(String::new(), Found::cell)
                };
                let cells = [found(60), found(600)];
                table.row([name].into_iter().chain(cells));
            }
        }
    }
    table
}

/// What `forecast` says, and how often it came true.
pub fn forecast(n: u64, seed: u64) -> Table {
    let title = "Forecasts and what came of them: the smallest regression found nine times in ten, and the time to a proof (as often as not)";
    let head = ["", "forecast", "found", "proof, s", "proven"];
    let mut table = Table::new("forecast", title, &head);
    let poll_s = POLL_MS as f64 / 1000.0;
    let events = REQUESTS as f64 / poll_s;
    for (rate, share) in [(0.001, 0.1), (0.01, 0.1), (0.01, 0.5), (0.05, 0.1), (0.3, 0.1)] {
        for tolerate in [1.0, 1.2] {
            for polls in [30usize, 60, 300] {
                let name =
                    format!("{} errors, {}, {tolerate}x, {polls} polls", percent(rate), percent(share));
                let edge = Edge { times: tolerate, plus: 0.0 };
                let alpha = ALPHAS[0];
                let tuning = Tuning { alpha, sharpest_at: SHARPEST_AT };
                let traffic = |factor: f64| Traffic::of_ratio(events, rate, share, (rate * factor).min(1.0));
                let seconds = polls as f64 * poll_s;
                let factor = smallest_found(traffic, edge, Refute::AtMost, seconds, ln(1.0 / alpha), tuning);
                let found = factor.filter(|f| f * rate < 1.0).map(|factor| {
                    let world = Ratios::new(share, rate, factor);
                    nulls::ratio(world, tolerate, polls, n, seed, &name)
                });
                let found = found.and_then(|f| f.first().map(Found::share));
                let proof = traffic(1.0).seconds(edge, Refute::AtLeast, ln(20.0), tuning);
                let proven = proof.filter(|s| *s < 20_000.0).map(|seconds| {
                    let polls = (seconds / poll_s).ceil() as usize;
                    let world = Ratios::new(share, rate, 1.0);
                    let all = nulls::outcomes(world, &[tolerate], polls, n.div_ceil(4), seed, &name);
                    let ends = nulls::transposed(&all, |o| o.passed_at_the_end.then_some(polls));
                    ends.first().map_or(0.0, Found::share)
                });
                let shown = |number: Option<f64>, digits: usize| {
                    number.map_or("-".to_string(), |n| format!("{n:.digits$}"))
                };
                table.row([
                    name,
                    factor.map_or("-".into(), |f| format!("x{f:.2}")),
                    shown(found, 3),
                    shown(proof, 0),
                    shown(proven, 3),
                ]);
            }
        }
    }
    forecast_of_histograms(&mut table, n, seed);
    table
}

/// The same of quantiles. The forecast takes observations as spread evenly within their bucket, which these are not.
fn forecast_of_histograms(table: &mut Table, n: u64, seed: u64) {
    let poll_s = POLL_MS as f64 / 1000.0;
    for (p, median) in [(0.5, 0.08), (0.5, 0.2), (0.95, 0.08), (0.95, 0.2)] {
        for polls in [60usize, 300] {
            let name = format!("p{}, median {median} s, 10 %, 1x, {polls} polls", p * 100.0);
            let baseline = Latency { median };
            let Sample::Histogram(seen) = baseline.buckets(&mut rng(seed, &name, u64::MAX), 1_000_000) else {
                continue;
            };
            let per_second = REQUESTS as f64 / poll_s;
            let traffic = |factor| Traffic::of_histogram(&seen, 1e6 / per_second, p, 0.1, factor);
            let edge = Edge { times: 1.0, plus: 0.0 };
            let tuning = Tuning { alpha: ALPHAS[0], sharpest_at: SHARPEST_AT };
            let seconds = polls as f64 * poll_s;
            let factor = smallest_found(traffic, edge, Refute::AtMost, seconds, ln(1.0 / ALPHAS[0]), tuning);
            let found = factor.and_then(|factor| {
                let world = Latencies { p, share: 0.1, factor, baseline };
                nulls::histogram(world, polls, n.div_ceil(4), seed, &name).first().map(Found::share)
            });
            table.row([
                name,
                factor.map_or("-".into(), |f| format!("x{f:.2}")),
                found.map_or("-".into(), |share| format!("{share:.3}")),
                "-".into(),
                "-".into(),
            ]);
        }
    }
}
