use super::*;
use crate::{
    document::node::parse,
    domain::{sample::Measure, value::Kind},
};

fn preset(text: &str) -> Result<Preset, String> {
    let node = parse(&format!("{{preset: {text}}}")).unwrap();
    from_node::<Config>(&node, "checks.x.haproxy").map(|c| c.preset).map_err(|e| e.to_string())
}

fn shape(text: &str) -> (Measure, Kind) {
    let shape = preset(text).unwrap().shape();
    (shape.measure, shape.unit.kind())
}

#[test]
fn presets_have_the_shape_of_their_numbers() {
    assert_eq!(shape("errors"), (Measure::Ratio, Kind::Ratio));
    assert_eq!(shape("5xx"), (Measure::Events, Kind::Count));
    assert_eq!(shape("response_time"), (Measure::Gauge, Kind::Time));
    assert_eq!(shape("queue"), (Measure::Gauge, Kind::Count));
}

#[test]
fn quantiles_are_refused_with_a_way_to_get_them() {
    for text in ["p95", "p99.9", "latency"] {
        let error = preset(text).unwrap_err();
        assert!(error.contains("only a mean") && error.contains("scrape"), "{error}");
    }
    assert!(preset("5x").unwrap_err().contains("known: errors, 5xx"));
}

fn counters(answered: u64, failed: u64, unconnected: u64, broken: u64, cut_off: u64) -> Counters {
    Counters { answered: Some(answered), failed, unconnected, broken, cut_off, ..Counters::default() }
}

#[test]
fn no_request_is_counted_twice() {
    for (counters, bad, total) in [
        (counters(10, 0, 0, 0, 0), 0, 10),
        (counters(10, 3, 0, 0, 0), 3, 10),
        (counters(10, 0, 5, 0, 0), 5, 15),
        (counters(10, 0, 0, 4, 0), 4, 14),
        // two cut off, which may be the two with a 5xx
        (counters(10, 2, 0, 2, 2), 2, 10),
        (counters(10, 0, 0, 2, 2), 2, 10),
        (counters(0, 0, 7, 0, 0), 7, 7),
        // numbers that cannot be
        (counters(1, u64::MAX, 0, 0, 9), 1, 1),
    ] {
        assert_eq!((counters.bad(), counters.total()), (bad, total), "{counters:?}");
    }
}

#[test]
fn connections_are_counted_where_there_are_no_requests() {
    let tcp = Counters { tries: 10, tried_again: 4, unconnected: 2, ..Counters::default() };
    assert_eq!((tcp.bad(), tcp.total()), (2, 6));
    assert_eq!(Preset::FiveXx.sample(&[(&tcp, Some(&tcp))]), Sample::Empty);
}

fn reading(pid: u64, uptime_seconds: u64, counters: Counters) -> Reading {
    Reading { process: Process { pid, uptime_seconds }, servers: [("blue".to_string(), counters)].into() }
}

#[test]
fn after_a_restart_everything_is_new() {
    let before = reading(7, 100, counters(50, 5, 0, 0, 0));
    for (now, answered, failed) in [
        (reading(7, 110, counters(60, 6, 0, 0, 0)), 10, 1),
        // `clear counters all`
        (reading(7, 110, counters(60, 1, 0, 0, 0)), 60, 1),
        // a busy new process, already past the old one
        (reading(8, 110, counters(60, 6, 0, 0, 0)), 60, 6),
        (reading(7, 10, counters(60, 6, 0, 0, 0)), 60, 6),
    ] {
        let came = now.since(&before);
        assert_eq!((came["blue"].answered, came["blue"].failed), (Some(answered), failed), "{now:?}");
    }
}

#[test]
fn a_mean_of_several_servers_goes_by_their_requests() {
    let server = |response_ms, answered| {
        let counters = Counters { response_ms, answered: Some(answered), ..Counters::default() };
        (counters.clone(), counters)
    };
    let (a, b, idle) = (server(100, 30), server(20, 10), server(9999, 0));
    let sample =
        Preset::ResponseTime.sample(&[(&a.0, Some(&a.1)), (&b.0, Some(&b.1)), (&idle.0, Some(&idle.1))]);
    assert_eq!(sample, Sample::Gauge(0.08));
    assert_eq!(Preset::ResponseTime.sample(&[(&idle.0, Some(&idle.1))]), Sample::Empty);
}

#[test]
fn without_an_earlier_look_only_the_present_is_known() {
    let now = Counters { queued: 3, ..counters(10, 1, 0, 0, 0) };
    for preset in [Preset::Errors, Preset::FiveXx, Preset::ResponseTime] {
        assert_eq!(preset.sample(&[(&now, None)]), Sample::Empty, "{preset:?}");
    }
    assert_eq!(Preset::Queue.sample(&[(&now, None)]), Sample::Gauge(3.0));
}
