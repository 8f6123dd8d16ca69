//! `prometheus` against a real server, and against ones that misbehave.

#![allow(clippy::unwrap_used)]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tidegate::{
    domain::sample::{Histogram, Sample},
    port::{Clock as _, Context, Fault, Reach, Treat, Window, clock::SystemClock},
};

use crate::{
    http_server::{HttpServer, Reply, nobody, ok, status},
    metric::{ask, brief, check, connect, context, once, window},
    prometheus::Prometheus,
};

/// No page at all.
const BROKEN: u64 = u64::MAX;

/// A service whose counters stand where `n` says: `n` bad ones of `10 n`, a third of them slow.
fn service() -> (Arc<AtomicU64>, HttpServer) {
    let n = Arc::new(AtomicU64::new(100));
    let counted = n.clone();
    let server = HttpServer::start(move |_| {
        let n = counted.load(Ordering::SeqCst);
        if n == BROKEN {
            return status(500, "");
        }
        // a label that appears only with the first error after the beginning
        let late = if n > 100 {
            format!("r_total{{side=\"blue\",code=\"503\"}} {}\n", n - 100)
        } else {
            String::new()
        };
        ok(format!(
            "# TYPE r_total counter\n\
             r_total{{side=\"blue\",code=\"200\"}} {}\nr_total{{side=\"blue\",code=\"500\"}} {n}\n{late}\
             r_total{{side=\"green\",code=\"200\"}} 7\n\
             # TYPE t_seconds histogram\n\
             t_seconds_bucket{{side=\"blue\",le=\"0.1\"}} {}\nt_seconds_bucket{{side=\"blue\",le=\"0.5\"}} {}\n\
             t_seconds_bucket{{side=\"blue\",le=\"+Inf\"}} {}\n\
             # TYPE n gauge\nn{{side=\"blue\"}} {n}\n",
            9 * n,
            2 * n,
            3 * n,
            3 * n + n / 100,
        ))
    });
    (n, server)
}

const RATIO: &str = r#"bad: 'r_total{side="{{side}}",code=~"5.."}', total: 'r_total{side="{{side}}"}'"#;

#[tokio::test]
async fn a_real_server_and_the_page_it_scrapes_say_the_same() {
    let (n, server) = service();
    let prometheus = Prometheus::start(server.address).await;
    let page = server.url("/metrics");
    let clock = SystemClock::default();
    let scraped = |options: &str| format!("{{url: '{page}', {options}}}");
    let queried = |options: &str| format!("{{url: '{}', {options}}}", prometheus.url);
    let buckets = r#"histogram: 't_seconds_bucket{side="{{side}}"}', at: p95"#;
    let histogram = r#"histogram: 't_seconds{side="{{side}}"}', at: p95"#;

    prometheus.wait_for("n", "100").await;
    let (mut ratio_cursor, mut histogram_cursor) = (None, None);
    let first = once("scrape", &scraped(RATIO), ask("blue", &[]), &mut ratio_cursor).await;
    assert_eq!(first, Ok(Sample::Empty));
    once("scrape", &scraped(histogram), ask("blue", &[]), &mut histogram_cursor).await.unwrap();

    // windows that touch: what is counted in them adds up to what happened. The last is a restart.
    let mut from = clock.now();
    for (to, bad, total) in [(150, 50 + 50, 500 + 50), (400, 250 + 250, 2500 + 250), (40, 40, 400)] {
        n.store(to, Ordering::SeqCst);
        prometheus.wait_for("n", &to.to_string()).await;
        let window = Window::new(from, clock.now());
        from = window.to;
        let measure = async |options: &str| {
            let source = connect("prometheus", &queried(options)).unwrap();
            source.measure(&context(), &[ask("blue", &[])], window, None).await.unwrap().samples.remove(0)
        };
        let expected = Ok(Sample::Counts { bad, total });
        assert_eq!(measure(RATIO).await, expected, "{to}");
        assert_eq!(
            once("scrape", &scraped(RATIO), ask("blue", &[]), &mut ratio_cursor).await,
            expected,
            "{to}"
        );
        let observed = measure(buckets).await;
        assert_eq!(
            observed,
            once("scrape", &scraped(histogram), ask("blue", &[]), &mut histogram_cursor).await,
            "{to}"
        );
        if to == 150 {
            let expected = Histogram { bounds: vec![0.1, 0.5], counts: vec![100, 50, 0] };
            assert_eq!(observed, Ok(Sample::Histogram(expected)));
        }
        let value = measure(r#"value: 'sum(n{side="{{side}}"})'"#).await;
        assert_eq!(value, Ok(Sample::Gauge(to as f64)));
    }

    // a window that begins while the page could not be scraped counts from before, not from nothing
    n.store(BROKEN, Ordering::SeqCst);
    prometheus.wait_for("up", "0").await;
    let from = clock.now();
    n.store(45, Ordering::SeqCst);
    prometheus.wait_for("n", "45").await;
    let source = connect("prometheus", &queried(RATIO)).unwrap();
    let window = Window::new(from, clock.now());
    let measured = source.measure(&context(), &[ask("blue", &[])], window, None).await.unwrap();
    assert_eq!(measured.samples, [Ok(Sample::Counts { bad: 5, total: 50 })]);

    let measure = async |options: &str, side: &str| {
        once("prometheus", &queried(options), ask(side, &[]), &mut None).await
    };
    assert_eq!(measure("value: absent", "blue").await, Ok(Sample::Empty), "no series is not zero");
    assert_eq!(measure("value: 'scalar(absent)'", "blue").await, Ok(Sample::Empty), "NaN is no value");
    assert_eq!(measure("value: '1 + 1'", "blue").await, Ok(Sample::Gauge(2.0)));
    assert_eq!(measure("bad: absent, total: absent", "blue").await, Ok(Sample::Empty));
    let several = measure("value: 'r_total'", "blue").await.unwrap_err();
    assert!(several.detail.contains("aggregate"), "{several}");
    for (options, what) in
        [("value: 'sum('", "parse error"), ("bad: 'sum(r_total)', total: r_total", "vector selectors")]
    {
        let fault = measure(options, "blue").await.unwrap_err();
        assert_eq!(fault.treat, Treat::Permanent);
        assert!(fault.detail.contains(what), "{fault}");
    }
}

async fn fault_of(cx: &Context, url: &str) -> Fault {
    let source =
        connect("prometheus", &format!("{{url: '{url}', value: up, token: {{env: TOKEN}}}}")).unwrap();
    source.measure(cx, &[ask("blue", &[])], window(), None).await.unwrap().samples.remove(0).unwrap_err()
}

#[tokio::test]
async fn every_way_to_fail_is_told_and_none_of_them_hangs() {
    let json = |text: &'static str| move || ok(text);
    type Server = Box<dyn Fn() -> Reply + Send + Sync>;
    let cases: Vec<(Server, Treat, &str)> = vec![
        (Box::new(|| Reply::Hang), Treat::Temporary, "no answer within"),
        (Box::new(|| Reply::Drip(b' ')), Treat::Temporary, "did not end in time"),
        (Box::new(|| Reply::Flood("{\"status\": ")), Treat::Permanent, "larger than 4194304 bytes"),
        (
            Box::new(|| Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"stat".to_vec())),
            Treat::Temporary,
            "broke off after 6 bytes",
        ),
        (Box::new(json("<html>")), Treat::Permanent, "not Prometheus's"),
        (Box::new(json("{}")), Treat::Permanent, "not Prometheus's"),
        (Box::new(|| status(401, "who are you")), Treat::Permanent, "401 Unauthorized: who are you"),
        (Box::new(|| status(502, "")), Treat::Temporary, "502"),
        (
            Box::new(|| status(422, r#"{"status":"error","errorType":"execution","error":"too many"}"#)),
            Treat::Permanent,
            "too many; the query was up",
        ),
    ];
    for (reply, treat, what) in cases {
        let server = HttpServer::start(move |_| reply());
        let cx = if what.contains("time") || what.contains("within") { brief() } else { context() };
        let fault = fault_of(&cx, &server.url("")).await;
        assert_eq!(fault.treat, treat, "{fault}");
        assert!(fault.detail.contains(what), "{what}: {fault}");
        assert!(!fault.to_string().contains("s3cret"), "{fault}");
    }
    let fault = fault_of(&context(), &format!("http://{}", nobody())).await;
    assert_eq!((fault.treat, fault.detail.as_str()), (Treat::Temporary, "connection refused"));
}

#[tokio::test]
async fn equal_queries_are_asked_once_with_the_token_and_the_windows_end() {
    let server =
        HttpServer::start(|_| ok(r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#));
    let options = format!(
        r#"{{url: '{}/base/', value: 'up{{s="{{{{version}}}}"}}', token: {{env: TOKEN}}, lag: 2s}}"#,
        server.url("")
    );
    let source = connect("prometheus", &options).unwrap();
    assert_eq!(source.lag(), std::time::Duration::from_secs(2));
    let at = |text: &str| text.parse().unwrap();
    let window = Window::new(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:30.25Z"));
    let asks = [ask("blue", &[]), ask("green", &[])];
    let measured = source.measure(&context(), &asks, window, None).await.unwrap();
    assert_eq!(measured.samples, [Ok(Sample::Empty), Ok(Sample::Empty)]);
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].has("authorization: Bearer s3cret"));
    let expected = "GET /base/api/v1/query?query=up%7Bs%3D%22v1%2F2%22%7D&time=1767225630.250";
    assert_eq!(asked[0].line, expected);
    // a value from before the split was confirmed is another split's
    let later = Window { not_before: Some(at("2026-01-01T00:00:31Z")), ..window };
    let measured = source.measure(&context(), &asks, later, None).await.unwrap();
    assert_eq!(measured.samples, [Ok(Sample::Empty), Ok(Sample::Empty)]);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for (options, why) in [
        ("{url: /prometheus, value: up}", "the server's"),
        ("{url: 'http://x/?a=b', value: up}", "the server's"),
        ("{url: 'http://x', value: ' '}", "empty"),
        ("{url: 'http://x', value: 'up{s=\"{{window}}\"}'}", "not known"),
        ("{url: 'http://x', value: up, token: literal}", "known: env, file"),
    ] {
        let error = connect("prometheus", options).err().unwrap_or_default();
        assert!(error.contains(why), "{options}: {error}");
    }
    let reach = |value: &str| {
        let source = connect("prometheus", &format!("{{url: 'http://x', value: '{value}'}}")).unwrap();
        source.reach(&check(), &"jobs".parse().unwrap())
    };
    assert_eq!(reach("up"), Reach::None);
    assert_eq!(reach("up{s=\"{{service}}\"}"), Reach::Whole);
    assert_eq!(reach("up{s=\"{{side}}\"}"), Reach::Sides);
}
