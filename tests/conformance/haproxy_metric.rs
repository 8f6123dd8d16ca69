//! The `haproxy` metric over requests that were counted by hand.

use tidegate::{
    domain::{
        names::{EntryName, Role, TargetName},
        sample::Sample,
        template::Words,
    },
    port::{Ask, Metric, Reach, Treat, Window},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    balanced::{api, cx, metric, side, socket, to_green},
    both::{self, Both, backend, server},
    reloadable::Reloadable,
};

fn asks(checks: &[&str]) -> Vec<Ask> {
    let ask = |check: &str, role, name| Ask {
        check: EntryName::new(check).unwrap(),
        target: TargetName::new("api").unwrap(),
        role,
        side: side(name),
        instances: Vec::new(),
        labels: Default::default(),
        words: Words::default(),
        opened: None,
    };
    let both = |check: &&str| [ask(check, Role::Baseline, "blue"), ask(check, Role::Candidate, "green")];
    checks.iter().flat_map(both).collect()
}

/// Asks again and again, each time with the cursor of the time before.
struct Poll {
    metric: Box<dyn Metric>,
    asks: Vec<Ask>,
    cursor: Option<serde_json::Value>,
}

impl Poll {
    fn new(socket: &str, checks: &[&str]) -> Self {
        let options = format!("{{socket: '{socket}', backend: api, sides: [blue, green]}}");
        let named: Vec<_> = checks.iter().map(|preset| (*preset, *preset)).collect();
        let metric = metric(&named, &[("api", &options)]);
        Poll { metric, asks: asks(checks), cursor: None }
    }

    async fn next(&mut self) -> Vec<Sample> {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let window = Window::new(now, now);
        let measured = self.metric.measure(&cx(), &self.asks, window, self.cursor.as_ref()).await.unwrap();
        self.cursor = measured.cursor;
        measured.samples.into_iter().map(|sample| sample.unwrap()).collect()
    }
}

#[tokio::test]
async fn failures_are_counted_by_side_each_once_and_only_those_since_the_last_look() {
    let (blue, green) = (both::Upstream::start("v1", 0.0).await, both::Upstream::start("v2", 0.5).await);
    let servers = vec![server("blue", blue.address, 100), server("green", green.address, 0)];
    let both = Both::start(vec![backend("api", servers)]).await;
    for world in &both.0 {
        let mut poll = Poll::new(&socket(&world.operator), &["errors", "5xx"]);
        let target = api(&world.admin);
        both::get(world.fronts["api"], "/").await;
        assert_eq!(poll.next().await, vec![Sample::Empty; 4], "{}", world.name);
        for round in 0..3 {
            target.apply(&cx(), &to_green("100%")).await.unwrap();
            let mut failed = 0;
            for _ in 0..20 {
                failed += u64::from(both::get(world.fronts["api"], "/").await.status == 500);
            }
            target.apply(&cx(), &to_green("0%")).await.unwrap();
            for _ in 0..5 {
                assert_eq!(both::get(world.fronts["api"], "/").await.status, 200);
            }
            let expected = [
                Sample::Counts { bad: 0, total: 5 },
                Sample::Counts { bad: failed, total: 20 },
                Sample::Events(0),
                Sample::Events(failed),
            ];
            assert_eq!(poll.next().await, expected, "{} round {round}", world.name);
            assert!(failed > 0);
        }
        let nothing = [Sample::Empty, Sample::Empty, Sample::Events(0), Sample::Events(0)];
        assert_eq!(poll.next().await, nothing, "{}", world.name);
    }
}

#[tokio::test]
async fn refused_connections_are_errors_of_the_side_that_refused() {
    let blue = both::Upstream::start("v1", 0.0).await;
    let (nobody, _held) = both::refusing();
    let both = Both::start(vec![backend(
        "api",
        vec![server("blue", blue.address, 0), server("green", nobody, 100)],
    )])
    .await;
    for world in &both.0 {
        let mut poll = Poll::new(&socket(&world.operator), &["errors"]);
        poll.next().await;
        // HAProxy waits a second before each retry
        let front = world.fronts["api"];
        let (one, other) = tokio::join!(both::get(front, "/"), both::get(front, "/"));
        assert_eq!((one.status, other.status), (503, 503), "{}", world.name);
        let expected = [Sample::Empty, Sample::Counts { bad: 2, total: 2 }];
        assert_eq!(poll.next().await, expected, "{}", world.name);
    }
}

/// Answers as the path says: `/500`, `/close` (no answer), `/cut` (half an answer), `/garbage`.
async fn misbehaving() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let request = String::from_utf8_lossy(&request);
            let answer = match request.split(' ').nth(1).unwrap_or_default() {
                "/500" => "HTTP/1.1 500 X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno",
                "/close" => "",
                "/cut" => "HTTP/1.1 200 X\r\ncontent-length: 200\r\n\r\nha",
                "/garbage" => "hello\r\n\r\n",
                _ => "HTTP/1.1 200 X\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

async fn one_server() -> Reloadable {
    let address = misbehaving().await;
    Reloadable::start(&format!(
        "frontend front\n  bind unix@DIR/front.sock\n  default_backend api\nbackend api\n  server blue {address} \
         weight 100\n  server green {address} weight 0"
    ))
}

#[tokio::test]
async fn every_way_to_fail_counts_once() {
    let haproxy = one_server().await;
    let mut poll =
        Poll::new(&socket(&haproxy.user()), &["errors", "5xx", "response_time", "queue", "sessions"]);
    poll.next().await;
    for (path, failed, made_by_server) in
        [("/", 0, 0), ("/500", 1, 1), ("/close", 1, 0), ("/cut", 1, 0), ("/garbage", 1, 0), ("/", 0, 0)]
    {
        haproxy.get(path).await;
        let samples = poll.next().await;
        assert_eq!(samples[0], Sample::Counts { bad: failed, total: 1 }, "{path}");
        assert_eq!(samples[2], Sample::Events(made_by_server), "{path}");
        assert_eq!(samples[1], Sample::Empty, "{path}");
        assert_eq!(samples[5], Sample::Empty, "no answer, no time: {path}");
        assert_eq!((&samples[6], &samples[8]), (&Sample::Gauge(0.0), &Sample::Gauge(0.0)));
    }
    for path in ["/cut", "/", "/"] {
        haproxy.get(path).await;
    }
    assert_eq!(poll.next().await[0], Sample::Counts { bad: 1, total: 3 });
    haproxy.get("/").await;
    assert!(matches!(poll.next().await[4], Sample::Gauge(seconds) if seconds < 5.0));
}

#[tokio::test]
async fn after_a_reload_only_what_came_since_is_counted() {
    let haproxy = one_server().await;
    let mut poll = Poll::new(&socket(&haproxy.admin()), &["errors"]);
    for _ in 0..3 {
        haproxy.get("/").await;
    }
    poll.next().await;
    haproxy.reload();
    // more than before, so that only the process tells the difference
    for _ in 0..4 {
        haproxy.get("/500").await;
    }
    assert_eq!(poll.next().await[0], Sample::Counts { bad: 4, total: 4 });
    both::ask(&haproxy.admin(), "clear counters all").await;
    haproxy.get("/").await;
    assert_eq!(poll.next().await[0], Sample::Counts { bad: 0, total: 1 });
}

#[tokio::test]
async fn a_source_that_cannot_be_read_is_a_fault_and_not_an_empty_sample() {
    let poll = Poll::new("/nowhere/haproxy.sock", &["errors"]);
    let now = jiff::Timestamp::UNIX_EPOCH;
    let window = Window::new(now, now);
    let fault = poll.metric.measure(&cx(), &poll.asks, window, None).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Temporary);
    let [known, unknown] = ["api", "jobs"].map(|name| TargetName::new(name).unwrap());
    let check = EntryName::new("errors").unwrap();
    assert_eq!(poll.metric.reach(&check, &known), Reach::Sides);
    assert_eq!(poll.metric.reach(&check, &unknown), Reach::None);
}

#[tokio::test]
async fn a_service_that_cannot_be_read_fails_alone_and_loses_no_counts() {
    let haproxy = one_server().await;
    let gone = haproxy.file("gone.sock");
    let options = |socket: String| format!("{{socket: '{socket}', backend: api, sides: [blue, green]}}");
    let services = [("api", options(socket(&haproxy.admin()))), ("web", options(gone.display().to_string()))];
    let services = services.each_ref().map(|(name, options)| (*name, options.as_str()));
    let metric = metric(&[("errors", "errors")], &services);
    let mut asks = asks(&["errors"]);
    asks[1].target = TargetName::new("web").unwrap();
    asks[1].side = side("blue");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let window = Window::new(now, now);
    let link = || std::fs::hard_link(haproxy.file("admin.sock"), &gone).unwrap();
    link();
    let first = metric.measure(&cx(), &asks, window, None).await.unwrap();
    std::fs::remove_file(&gone).unwrap();
    haproxy.get("/500").await;
    let second = metric.measure(&cx(), &asks, window, first.cursor.as_ref()).await.unwrap();
    assert_eq!(second.samples[0], Ok(Sample::Counts { bad: 1, total: 1 }));
    assert_eq!(second.samples[1].as_ref().unwrap_err().treat, Treat::Temporary);
    link();
    haproxy.get("/").await;
    let third = metric.measure(&cx(), &asks, window, second.cursor.as_ref()).await.unwrap();
    assert_eq!(third.samples[0], Ok(Sample::Counts { bad: 0, total: 1 }));
    assert_eq!(third.samples[1], Ok(Sample::Counts { bad: 1, total: 2 }));
}
