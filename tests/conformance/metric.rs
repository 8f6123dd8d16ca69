//! Metric sources: what every one of them does, and `scrape` against pages of every kind.

#![allow(clippy::unwrap_used)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tidegate::{
    document::node::parse,
    domain::{
        names::{EntryName, Role},
        observed::{Health, Instance},
        sample::{Histogram, Measure, Sample},
        template::Words,
    },
    port::{
        Ask, Clock as _, Context, Fault, Metric, Reach, Treat, Window,
        adapter::{ServiceSetting, Setting},
        clock::SystemClock,
    },
    registry::METRICS,
};

use crate::http_server::{HttpServer, Reply, nobody, ok, status};

pub fn context() -> Context {
    Context::new(Arc::new(SystemClock::default()), Duration::from_secs(60))
}

pub fn brief() -> Context {
    context().within(Duration::from_millis(300))
}

pub fn setting() -> Setting {
    let service = |name: &str| ServiceSetting {
        name: name.parse().unwrap(),
        kind: "test",
        options: parse("{}").unwrap(),
        url: None,
    };
    Setting {
        base: ".".into(),
        state: ".tidegate".into(),
        unit: "shop".parse().unwrap(),
        environment: "production".parse().unwrap(),
        env: Arc::new(|name| (name == "TOKEN").then(|| "s3cret".to_string())),
        services: vec![service("api"), service("jobs")],
        sql: Default::default(),
        shared: Default::default(),
        units: Default::default(),
    }
}

pub fn check() -> EntryName {
    "errors".parse().unwrap()
}

/// Connects one check of this adapter, as the file would.
pub fn connect(kind: &str, options: &str) -> Result<Box<dyn Metric>, String> {
    let kind = METRICS.iter().find(|k| k.common.name == kind).unwrap();
    let node = parse(options).unwrap();
    (kind.shape)(&node, "checks.errors").map_err(|e| e.to_string())?;
    (kind.connect)(&[(check(), node, "checks.errors".into())], &setting()).map_err(|e| e.to_string())
}

pub fn ask(side: &str, addresses: &[std::net::SocketAddr]) -> Ask {
    let instance = |(n, address): (usize, &std::net::SocketAddr)| Instance {
        name: format!("{side}-{n}"),
        address: Some(address.to_string()),
        health: Health::Up,
    };
    Ask {
        check: check(),
        target: "api".parse().unwrap(),
        role: Role::Candidate,
        side: side.parse().unwrap(),
        instances: addresses.iter().enumerate().map(instance).collect(),
        labels: Default::default(),
        words: Words::default().with("side", side).with("service", "api").with("version", "v1/2"),
        opened: None,
    }
}

pub fn window() -> Window {
    let to = SystemClock::default().now();
    Window::new(to - Duration::from_secs(30), to)
}

/// One ask of a fresh connection, as another process would make it; the cursor goes through text.
pub async fn once(
    kind: &str,
    options: &str,
    ask: Ask,
    cursor: &mut Option<serde_json::Value>,
) -> Result<Sample, Fault> {
    let source = connect(kind, options).unwrap();
    let mut measured = source.measure(&context(), &[ask], window(), cursor.as_ref()).await.unwrap();
    if let Some(new) = measured.cursor {
        *cursor = Some(new.to_string().parse().unwrap());
    }
    measured.samples.remove(0)
}

/// A page whose text a test changes.
fn page() -> (Arc<Mutex<String>>, HttpServer) {
    let text = Arc::new(Mutex::new(String::new()));
    let shown = text.clone();
    (text, HttpServer::start(move |_| ok(shown.lock().unwrap().clone())))
}

const RATIO: &str = r#"bad: 'r_total{code=~"5.."}', total: r_total"#;

#[tokio::test]
async fn counts_are_what_came_since_the_last_look_also_in_another_process() {
    let (text, server) = page();
    let options = format!("{{url: '{}', {RATIO}}}", server.url("/metrics"));
    let mut cursor = None;
    for (page, expected) in [
        ("r_total{code=\"200\"} 100\n", Sample::Empty),
        ("r_total{code=\"200\"} 110\n", Sample::Counts { bad: 0, total: 10 }),
        ("r_total{code=\"200\"} 110\nr_total{code=\"500\"} 3\n", Sample::Counts { bad: 3, total: 3 }),
        ("r_total{code=\"200\"} 4\nr_total{code=\"500\"} 4\n", Sample::Counts { bad: 1, total: 5 }),
        ("other 1\n", Sample::Empty),
        ("r_total{code=\"200\"} 4\nr_total{code=\"500\"} 6\n", Sample::Counts { bad: 2, total: 2 }),
    ] {
        *text.lock().unwrap() = page.into();
        assert_eq!(once("scrape", &options, ask("blue", &[]), &mut cursor).await, Ok(expected), "{page}");
    }
    assert!(!cursor.unwrap().to_string().contains("127.0.0.1"), "the cursor names no URL");
}

#[tokio::test]
async fn a_cursor_of_somebody_else_begins_anew() {
    let (text, server) = page();
    *text.lock().unwrap() = "r_total 5\n".into();
    let options = format!("{{url: '{}', value: r_total}}", server.url("/"));
    let mut cursor = Some(serde_json::json!({"haproxy": [1]}));
    assert_eq!(once("scrape", &options, ask("blue", &[]), &mut cursor).await, Ok(Sample::Empty));
    *text.lock().unwrap() = "r_total 7\n".into();
    assert_eq!(once("scrape", &options, ask("blue", &[]), &mut cursor).await, Ok(Sample::Events(2)));
}

#[tokio::test]
async fn a_value_is_what_its_type_says() {
    let (text, server) = page();
    let mut cursor = None;
    *text.lock().unwrap() =
        "# TYPE hits counter\nhits 5\n# TYPE depth gauge\ndepth{q=\"a\"} 3\ndepth{q=\"b\"} 4\n\
                             nothing NaN\n# TYPE quiet_total counter\n"
            .into();
    let options = |value: &str| format!("{{url: '{}', value: '{value}'}}", server.url("/"));
    let gauge = once("scrape", &options("depth{q=\"b\"}"), ask("blue", &[]), &mut None).await;
    assert_eq!(gauge, Ok(Sample::Gauge(4.0)));
    let several = once("scrape", &options("depth"), ask("blue", &[]), &mut None).await.unwrap_err();
    assert!(several.detail.contains("2 series match"), "{several}");
    assert_eq!(once("scrape", &options("nothing"), ask("blue", &[]), &mut None).await, Ok(Sample::Empty));
    assert_eq!(once("scrape", &options("absent"), ask("blue", &[]), &mut None).await, Ok(Sample::Empty));

    for expected in [Sample::Empty, Sample::Events(0)] {
        assert_eq!(once("scrape", &options("hits"), ask("blue", &[]), &mut cursor).await, Ok(expected));
    }
    let mut cursor = None;
    for expected in [Sample::Empty, Sample::Events(0)] {
        let quiet = once("scrape", &options("quiet_total"), ask("blue", &[]), &mut cursor).await;
        assert_eq!(quiet, Ok(expected), "a counter that is announced and has no series counted nothing");
    }
}

#[tokio::test]
async fn a_histogram_is_the_observations_since_the_last_look() {
    let (text, server) = page();
    let options = format!(
        "{{url: '{}', histogram: 'h_ms', at: p95, labels: {{side: '{{{{side}}}}'}}}}",
        server.url("/")
    );
    let mut cursor = None;
    let show = |a: u64, b: u64, c: u64| {
        format!(
            "# TYPE h_ms histogram\nh_ms_bucket{{side=\"blue\",le=\"100\"}} {a}\nh_ms_bucket{{side=\"blue\",le=\"500\"}} {b}\n\
             h_ms_bucket{{side=\"blue\",le=\"+Inf\"}} {c}\nh_ms_bucket{{side=\"green\",le=\"7\"}} 9\nh_ms_count 1\n"
        )
    };
    *text.lock().unwrap() = show(10, 20, 30);
    assert_eq!(once("scrape", &options, ask("blue", &[]), &mut cursor).await, Ok(Sample::Empty));
    *text.lock().unwrap() = show(15, 27, 38);
    let expected = Histogram { bounds: vec![0.1, 0.5], counts: vec![5, 2, 1] };
    let sample = once("scrape", &options, ask("blue", &[]), &mut cursor).await;
    assert_eq!(sample, Ok(Sample::Histogram(expected)), "milliseconds are brought to seconds");
}

#[tokio::test]
async fn instances_add_up_and_each_page_is_read_once() {
    let server = |n: u32| HttpServer::start(move |_| ok(format!("r_total{{code=\"500\"}} {n}\n")));
    let (one, two) = (server(3), server(4));
    let source = connect("scrape", &format!("{{url: /metrics, {RATIO}}}")).unwrap();
    assert_eq!(source.reach(&check(), &"jobs".parse().unwrap()), Reach::Sides);
    let asks = [ask("blue", &[one.address, two.address]), ask("green", &[two.address])];
    let first = source.measure(&context(), &asks, window(), None).await.unwrap();
    assert_eq!(first.samples, [Ok(Sample::Empty), Ok(Sample::Empty)]);
    let second = source.measure(&context(), &asks, window(), first.cursor.as_ref()).await.unwrap();
    assert_eq!(second.samples[0], Ok(Sample::Counts { bad: 0, total: 0 }));
    assert_eq!(two.asked().len(), 2, "once per look, whoever asks");
    assert_eq!(one.asked()[0].line, "GET /metrics");
}

#[tokio::test]
async fn one_unreachable_page_is_an_error_of_its_ask_alone_and_nothing_is_lost() {
    let (text, server) = page();
    *text.lock().unwrap() = "r_total 1\n".into();
    let source = connect("scrape", "{url: /metrics, value: r_total}").unwrap();
    let asks = |down: bool| {
        let mut both = vec![server.address];
        both.extend(down.then(nobody));
        [ask("blue", &both), ask("green", &[server.address])]
    };
    let first = source.measure(&context(), &asks(false), window(), None).await.unwrap();
    *text.lock().unwrap() = "r_total 5\n".into();
    let second = source.measure(&context(), &asks(true), window(), first.cursor.as_ref()).await.unwrap();
    let fault = second.samples[0].as_ref().unwrap_err();
    assert_eq!((fault.treat, fault.detail.as_str()), (Treat::Temporary, "connection refused"));
    assert_eq!(second.samples[1], Ok(Sample::Events(4)));
    let third = source.measure(&context(), &asks(false), window(), second.cursor.as_ref()).await.unwrap();
    assert_eq!(third.samples, [Ok(Sample::Events(4)), Ok(Sample::Events(0))]);
}

#[tokio::test]
async fn words_in_a_url_are_escaped_and_reach_follows_them() {
    let (_, server) = page();
    let url = server.url("/m?v={{version}}&s={{side}}");
    let source = connect("scrape", &format!("{{url: ['{url}'], value: r_total}}")).unwrap();
    source.measure(&context(), &[ask("blue", &[])], window(), None).await.unwrap();
    assert_eq!(server.asked()[0].line, "GET /m?v=v1%2F2&s=blue");

    let reach = |options: &str, target: &str| {
        connect("scrape", options).unwrap().reach(&check(), &target.parse().unwrap())
    };
    assert_eq!(reach("{url: 'http://x/m', value: a}", "api"), Reach::Whole);
    assert_eq!(reach("{url: 'http://x/m', value: a}", "jobs"), Reach::None);
    assert_eq!(reach("{url: 'http://x/{{service}}', value: a}", "jobs"), Reach::Whole);
    assert_eq!(reach("{url: 'http://x/m', value: 'a{s=\"{{side}}\"}'}", "jobs"), Reach::Sides);
    assert_eq!(reach("{url: 'http://x/m', value: a, labels: {s: '{{role}}'}}", "jobs"), Reach::Sides);
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused() {
    for (options, why) in [
        ("{url: /m}", "one of `value`"),
        ("{url: /m, value: a, bad: b, total: c}", "one of `value`"),
        ("{url: /m, bad: a}", "needs `total`"),
        ("{url: /m, histogram: h}", "at: p95"),
        ("{url: /m, histogram: h, at: 95}", "not a percentile"),
        ("{url: /m, value: 'sum(a)'}", "not a selector"),
        ("{url: [], value: a}", "names no page"),
        ("{url: metrics, value: a}", "neither a path"),
        ("{url: 'ftp://x/m', value: a}", "http://"),
        ("{url: 'http://x/{{sied}}', value: a}", "not known"),
        ("{url: /m, value: a, vlaue: b}", "unknown key"),
    ] {
        let error = connect("scrape", options).err().unwrap_or_default();
        assert!(error.contains(why), "{options}: {error}");
    }
}

/// What a source says when its page is `reply`.
async fn fault_of(cx: &Context, reply: impl Fn() -> Reply + Send + Sync + 'static) -> Fault {
    let server = HttpServer::start(move |_| reply());
    let url = format!("http://user:s3cret@{}/m?token=s3cret", server.address);
    let source = connect("scrape", &format!("{{url: '{url}', value: r_total}}")).unwrap();
    let measured = source.measure(cx, &[ask("blue", &[])], window(), None).await.unwrap();
    let fault = measured.samples.into_iter().next().unwrap().unwrap_err();
    assert!(!fault.to_string().contains("s3cret"), "{fault}");
    assert!(fault.object.ends_with("/m?token=…"), "{fault}");
    fault
}

#[tokio::test]
async fn every_way_to_fail_is_told_and_none_of_them_hangs() {
    let long = context();
    let cases: Vec<(Fault, Treat, &str)> = vec![
        (fault_of(&brief(), || Reply::Hang).await, Treat::Temporary, "no answer within"),
        (fault_of(&brief(), || Reply::Drip(b'#')).await, Treat::Temporary, "did not end in time"),
        (fault_of(&long, || Reply::Raw(b"".to_vec())).await, Treat::Temporary, "connection"),
        (fault_of(&long, || Reply::Raw(b"SSH-2.0-x\r\n".to_vec())).await, Treat::Temporary, "HTTP"),
        (
            fault_of(&long, || {
                Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nr_total 1\n".to_vec())
            })
            .await,
            Treat::Temporary,
            "broke off after 10 bytes",
        ),
        (
            fault_of(&long, || Reply::Raw(b"HTTP/1.1 200 OK\r\n\r\nr_total 1\nr_total{a=\"b\"} 12".to_vec()))
                .await,
            Treat::Permanent,
            "line 2 of the metrics is malformed: it is cut off",
        ),
        (
            fault_of(&long, || Reply::Flood("# a comment\n")).await,
            Treat::Permanent,
            "larger than 16777216 bytes",
        ),
        (fault_of(&long, || Reply::Flood("x")).await, Treat::Permanent, "longer than"),
        (fault_of(&long, || ok("{\"json\": 1}\n")).await, Treat::Permanent, "line 1"),
        (fault_of(&long, || status(401, "")).await, Treat::Permanent, "401 Unauthorized"),
        (fault_of(&long, || status(503, "")).await, Treat::Temporary, "503"),
        (fault_of(&long, || status(429, "")).await, Treat::Temporary, "429"),
        (
            fault_of(&long, || {
                ok((0..3000).map(|n| format!("r_total{{n=\"{n}\"}} 1\n")).collect::<String>())
            })
            .await,
            Treat::Permanent,
            "more than 2000 series",
        ),
    ];
    for (fault, treat, what) in cases {
        assert_eq!(fault.treat, treat, "{fault}");
        assert!(fault.detail.contains(what), "{what}: {fault}");
    }
}

#[test]
fn every_source_says_what_its_numbers_are() {
    for (kind, options, measure) in [
        ("scrape", "{url: /m, value: a_total}", Measure::Events),
        ("scrape", "{url: /m, value: a}", Measure::Gauge),
        ("scrape", "{url: /m, histogram: a, at: p50}", Measure::Quantile(0.5)),
        ("prometheus", "{url: 'http://x', bad: a, total: b}", Measure::Ratio),
        ("prometheus", "{url: 'http://x', value: a_total}", Measure::Gauge),
        ("http", "{path: /health}", Measure::Probes),
        ("http", "{value: 'http://x/y#/z'}", Measure::Gauge),
    ] {
        let kind = METRICS.iter().find(|k| k.common.name == kind).unwrap();
        let shape = (kind.shape)(&parse(options).unwrap(), "checks.x").unwrap();
        assert_eq!(shape.measure, measure, "{options}");
        let schema = (kind.common.schema)(&mut schemars::SchemaGenerator::default());
        assert!(schema.as_object().is_some());
    }
}
