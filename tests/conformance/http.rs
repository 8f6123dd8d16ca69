//! Probes, values, smoke requests and probed targets against a server that does as it is told.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use async_trait::async_trait;
use tidegate::{
    adapter::{
        target::probed::{Health, Probed, VersionSource},
        web::{Request, Web},
    },
    document::{de::from_node, node::parse},
    domain::{
        observed::{Activity, Health as State, Instance, Observed, Side},
        sample::Sample,
        share::Share,
        template::Words,
    },
    port::{Caps, Change, Command, Context, Fault, Finding, Output, Reach, Silent, Target, Task, Treat},
    registry::COMMANDS,
};

use crate::{
    http_server::{Asked, HttpServer, Reply, nobody, ok, status},
    metric::{ask, brief, check, connect, context, once, setting, window},
};

/// An instance that answers by path.
fn instance() -> HttpServer {
    HttpServer::start(|asked: &Asked| match asked.line.as_str() {
        "GET /health" => ok(r#"{"db": "up", "queue": 3, "gone": null}"#),
        "GET /moved" => Reply::Answer(302, vec![("location", "/health".into())], String::new()),
        "GET /circle" => Reply::Answer(302, vec![("location", "/circle".into())], String::new()),
        "GET /login" => Reply::Answer(302, vec![("location", "http://localhost:1/".into())], String::new()),
        "GET /version" => ok(r#"{"version": "v1.2.3", "time": "a b"}"#),
        "GET /plain" => ok("v7\n"),
        "GET /hang" => Reply::Hang,
        "GET /echo" => ok(format!("{}\u{1b}[31m{}", asked.headers.join("\n"), asked.body)),
        line if line.starts_with("POST") => Reply::Answer(
            201,
            vec![("content-type", "application/json; charset=utf-8".into())],
            asked.body.clone(),
        ),
        _ => status(404, "no"),
    })
}

#[tokio::test]
async fn a_failed_probe_is_an_answer() {
    let (server, sick) = (instance(), HttpServer::start(|_| status(503, "")));
    for (options, addresses, failed) in [
        ("{path: /health}", vec![server.address, sick.address, nobody()], 2),
        ("{path: /moved}", vec![server.address], 0),
        ("{path: /circle}", vec![server.address], 1),
        ("{path: /login}", vec![server.address], 1),
        ("{path: /hang, within: 100ms}", vec![server.address, server.address], 2),
        ("{path: /health, expect: {/db: up, /queue: 3.0}}", vec![server.address], 0),
        ("{path: /health, expect: {/db: present}}", vec![server.address], 0),
        ("{path: /health, expect: {/gone: present}}", vec![server.address], 1),
        ("{path: /health, expect: {/absent: x}}", vec![server.address], 1),
        ("{path: /plain, expect: {/db: up}}", vec![server.address], 1),
        ("{path: /x, expect: {status: [404, 410]}}", vec![server.address], 0),
        ("{path: /health, expect: {status: 204}}", vec![server.address], 1),
        ("{path: /version, expect: {/version: '{{version}}'}}", vec![server.address], 1),
    ] {
        let asked = u32::try_from(addresses.len()).unwrap();
        let sample = once("http", options, ask("blue", &addresses), &mut None).await;
        assert_eq!(sample, Ok(Sample::Probes { asked, failed }), "{options}");
    }
    let none = once("http", "{path: /health}", ask("blue", &[]), &mut None).await;
    assert_eq!(none, Ok(Sample::Empty), "nobody was asked");
    let mut disabled = ask("blue", &[server.address, nobody()]);
    disabled.instances[1].health = State::Disabled;
    let sample = once("http", "{path: /health}", disabled, &mut None).await;
    assert_eq!(sample, Ok(Sample::Probes { asked: 1, failed: 0 }));
}

#[tokio::test]
async fn a_whole_url_is_probed_once_and_a_value_is_read() {
    let server = instance();
    let options = format!("{{path: '{}'}}", server.url("/health"));
    let source = connect("http", &options).unwrap();
    assert_eq!(source.reach(&check(), &"api".parse().unwrap()), Reach::Whole);
    let sample = once("http", &options, ask("blue", &[nobody()]), &mut None).await;
    assert_eq!(sample, Ok(Sample::Probes { asked: 1, failed: 0 }));

    let value = async |pointed: &str| {
        once("http", &format!("{{value: '{}'}}", server.url(pointed)), ask("blue", &[]), &mut None).await
    };
    assert_eq!(value("/health#/queue").await, Ok(Sample::Gauge(3.0)));
    assert_eq!(value("/health#/gone").await, Ok(Sample::Empty));
    for (pointed, what) in [
        ("/health#/absent", "nothing at /absent"),
        ("/health#/db", "not a number but \"up\""),
        ("/plain#/x", "not JSON"),
        ("/nothing#/x", "404"),
    ] {
        let fault = value(pointed).await.unwrap_err();
        assert_eq!(fault.treat, Treat::Permanent);
        assert!(fault.detail.contains(what), "{fault}");
    }
    let source = connect("http", &format!("{{value: '{}'}}", server.url("/hang#/x"))).unwrap();
    let fault =
        source.measure(&brief(), &[ask("blue", &[])], window(), None).await.unwrap().samples.remove(0);
    assert_eq!(fault.unwrap_err().treat, Treat::Temporary);
}

#[test]
fn probes_that_make_no_sense_are_refused() {
    for (options, why) in [
        ("{}", "either `path`"),
        ("{path: /a, value: 'http://x#/y'}", "either `path`"),
        ("{value: '/x#/y'}", "whole URL"),
        ("{value: 'http://x#y'}", "JSON pointer"),
        ("{path: /a, expect: {stauts: 200}}", "did you mean `status`"),
        ("{path: /a, expect: {status: 20}}", "not an HTTP status"),
        ("{path: /a, expect: [200]}", "must be"),
        ("{path: health}", "neither a path"),
    ] {
        let error = connect("http", options).err().unwrap_or_default();
        assert!(error.contains(why), "{options}: {error}");
    }
}

fn step(options: &str) -> Result<Box<dyn Command>, String> {
    let kind = COMMANDS.iter().find(|k| k.common.name == "http").unwrap();
    (kind.connect)(&parse(options).unwrap(), "smoke.login", &setting()).map_err(|e| e.to_string())
}

async fn run(cx: &Context, options: &str, base_url: &str) -> Result<Output, Fault> {
    let task = Task {
        name: "smoke.login".into(),
        variables: BTreeMap::new(),
        words: Words::default().with("release", "v1 2"),
        base_url: Some(base_url.to_string()),
        instances: Vec::new(),
    };
    step(options).unwrap().run(cx, &task, &Silent).await
}

#[tokio::test]
async fn a_smoke_request_is_sent_with_its_secrets_and_words() {
    let server = instance();
    let options = r#"{
        request: 'POST /api/login?r={{release}}', token: {env: TOKEN},
        json: {name: 'of {{release}}', deep: [{password: {env: TOKEN}}, {env: 5}, {env: a, more: b}]},
        headers: {X-Key: {env: TOKEN}, X-Release: '{{release}}'},
        expect: {status: 201, /deep/0/password: present, /name: 'of {{release}}', header: {Content-Type: application/json}}}"#;
    let output = run(&context(), options, &server.url("/")).await.unwrap();
    assert!(output.summary.starts_with("201 in "), "{}", output.summary);
    let asked = server.asked().remove(0);
    assert_eq!(asked.line, "POST /api/login?r=v1%202");
    let body: serde_json::Value = asked.body.parse().unwrap();
    let expected = serde_json::json!(
        {"name": "of v1 2", "deep": [{"password": "s3cret"}, {"env": 5}, {"env": "a", "more": "b"}]}
    );
    assert_eq!(body, expected);
    for header in
        ["x-key: s3cret", "x-release: v1 2", "authorization: Bearer s3cret", "content-type: application/json"]
    {
        assert!(asked.has(header), "{header}: {asked:?}");
    }
}

#[tokio::test]
async fn an_unmet_expectation_is_told_without_secrets() {
    let server = instance();
    let cases = [
        (
            "{request: POST /x, json: {p: {env: TOKEN}}, expect: {/p: other}}",
            "/p is \"***\" instead of \"other\"; it answered 201: {\"p\":\"***\"}",
        ),
        ("{request: GET /nothing}", "status 404 instead of 2xx; it answered 404: no"),
        (
            "{request: POST /x, body: '', expect: {header: {x-trace: present}}}",
            "there is no header x-trace; it answered 201 and nothing more",
        ),
        ("{request: /health, expect: {/db: down}}", "/db is \"up\" instead of \"down\""),
    ];
    for (options, expected) in cases {
        let fault = run(&context(), options, &server.url("")).await.unwrap_err();
        assert_eq!(fault.treat, Treat::Permanent);
        assert!(fault.detail.starts_with(expected), "{}", fault.detail);
    }
    let echo =
        run(&context(), "{request: /echo, token: {env: TOKEN}, expect: {status: 500}}", &server.url(""))
            .await;
    let detail = echo.unwrap_err().detail;
    assert!(detail.contains("Bearer ***") && !detail.contains(char::is_control), "{detail}");
    let missing = run(&context(), "{request: /x, token: {env: ABSENT}}", &server.url("")).await.unwrap_err();
    assert!(missing.detail.contains("ABSENT is not set"), "{missing}");
}

#[tokio::test]
async fn a_lost_answer_to_a_post_is_an_unknown_outcome_and_to_a_get_is_not() {
    let server = HttpServer::start(|_| Reply::Hang);
    let treat = async |options: &str, url: &str| run(&brief(), options, url).await.unwrap_err().treat;
    assert_eq!(treat("{request: POST /x, body: a}", &server.url("")).await, Treat::OutcomeUnknown);
    assert_eq!(treat("{request: GET /x}", &server.url("")).await, Treat::Temporary);
    let nobody = format!("http://{}", nobody());
    assert_eq!(treat("{request: POST /x, body: a}", &nobody).await, Treat::Temporary, "nothing was sent");
}

#[test]
fn smoke_requests_that_make_no_sense_are_refused() {
    for (options, why) in [
        ("{request: 'post /x'}", "not a verb"),
        ("{request: POST x}", "neither a path"),
        ("{request: POST /x, json: {}, body: a}", "either `json`"),
        ("{request: POST /x, json: {a: '{{sied}}'}}", "not known"),
        ("{request: POST /x, body: {env: A}}", "a text or"),
        ("{request: POST /x, headers: {'a b': c}}", "header's name"),
        ("{request: POST /x, headers: {a: [c]}}", "must be a text"),
        ("{request: POST /x, token: abc}", "known: env, file"),
    ] {
        let error = step(options).err().unwrap_or_default();
        assert!(error.contains(why), "{options}: {error}");
    }
}

#[tokio::test]
async fn redirects_stay_on_their_host_and_leave_tokens_behind_and_a_tls_failure_is_permanent() {
    let other = HttpServer::start(|_| ok("there"));
    let location = other.url("/there");
    let server =
        HttpServer::start(move |_| Reply::Answer(307, vec![("location", location.clone())], String::new()));
    let web = Web::new("test");
    let request = Request::get(server.url("/")).bearer("s3cret").unwrap();
    let answer = web.ask(&context(), "ask", request, 100).await.unwrap();
    assert_eq!(answer.text(), "there");
    assert!(other.asked()[0].headers.iter().all(|header| !header.contains("s3cret")));

    // the same machine by another name is another host
    let elsewhere = format!("http://localhost:{}/", other.address.port());
    let server =
        HttpServer::start(move |_| Reply::Answer(302, vec![("location", elsewhere.clone())], String::new()));
    let answer = web.ask(&context(), "ask", Request::get(server.url("/")), 100).await.unwrap();
    assert_eq!((answer.status, other.asked().len()), (302, 1), "the redirect is the answer");

    let request = Request::get(format!("https://{}/", speaks_first()));
    let fault = web.ask(&context(), "ask", request, 100).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent, "{fault}");
    assert!(fault.detail.starts_with("TLS: "), "{fault}");
    let fault = web.ask(&context(), "ask", Request::get("nonsense"), 100).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent, "{fault}");
}

/// A server that says something which is not TLS before it is asked.
fn speaks_first() -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        connection.write_all(b"220 mail.example.org ESMTP\r\n").unwrap();
        // until the client goes away, however it does
        while matches!(connection.read(&mut [0; 512]), Ok(n) if n > 0) {}
    });
    address
}

/// A target that shows what it is given.
struct Shown(Observed);

#[async_trait]
impl Target for Shown {
    fn caps(&self) -> Caps {
        let sides = ["blue", "green"].map(|side| side.parse().unwrap());
        Caps { sides, deploys: false, retires: true, precondition: false, splits: true }
    }

    fn nearest(&self, _: Share) -> Share {
        Share::ALL
    }

    fn between(&self, from: Share, _: Share) -> Vec<Share> {
        vec![from]
    }

    async fn observe(&self, _: &Context) -> Result<Observed, Fault> {
        Ok(self.0.clone())
    }

    async fn apply(&self, _: &Context, _: &Change) -> Result<(), Fault> {
        Err(Fault::permanent("shown", "apply", "it", "no"))
    }

    async fn preflight(&self, _: &Context) -> Vec<Finding> {
        vec![Finding::new(tidegate::port::Grade::Ok, "shown", "fine")]
    }
}

fn probed(instances: Vec<(Option<String>, State)>, health: Option<&str>, version: Option<&str>) -> Probed {
    let instances = instances.into_iter().enumerate().map(|(n, (address, health))| Instance {
        name: format!("i{n}"),
        address,
        health,
    });
    let side = |name: &str, instances| Side {
        elastic: false,
        name: name.parse().unwrap(),
        version: None,
        share: Share::NONE,
        labels: Default::default(),
        instances,
    };
    let sides = vec![side("blue", instances.collect()), side("green", Vec::new())];
    let inner = Shown(Observed { sides, activity: Activity::Idle, notes: Vec::new() });
    let health = health.map(|text| from_node::<Health>(&parse(text).unwrap(), "health").unwrap());
    let version = version.map(|text| VersionSource::try_from(text.to_string()).unwrap());
    Probed::new(Box::new(inner), health, version)
}

#[tokio::test]
async fn probes_settle_what_the_provider_does_not_know() {
    let server = instance();
    let at = || Some(server.address.to_string());
    let down = || State::Down { why: "the provider says so".into() };
    let instances = vec![
        (at(), State::Unknown),
        (at(), State::Up),
        (at(), State::Disabled),
        (at(), down()),
        (None, State::Unknown),
        (Some(nobody().to_string()), State::Up),
        (Some(nobody().to_string()), State::Unknown),
    ];
    let target = probed(instances.clone(), Some("/health"), Some("/version#/version"));
    let observed = target.observe(&context()).await.unwrap();
    let states: Vec<_> = observed.sides[0].instances.iter().map(|i| i.health.clone()).collect();
    let refused = || State::Down { why: "/health: connection refused".into() };
    assert_eq!(states, [State::Up, State::Up, State::Disabled, down(), State::Unknown, refused(), refused()]);
    assert_eq!(observed.sides[0].version.as_deref(), Some("v1.2.3"));
    assert_eq!(observed.sides[1].version, None);

    let target = probed(
        instances[1..2].to_vec(),
        Some("{http: /health, expect: {/db: down}}"),
        Some("/version#/version"),
    );
    let observed = target.observe(&context()).await.unwrap();
    let why = "/health: /db is \"up\" instead of \"down\"".to_string();
    assert_eq!(observed.sides[0].instances[0].health, State::Down { why });
    assert_eq!(observed.sides[0].version, None, "who is down is not asked");
}

#[tokio::test]
async fn a_probe_that_hangs_and_a_version_that_is_none_do_not_fail_the_look() {
    let server = instance();
    let one = |state| vec![(Some(server.address.to_string()), state)];
    let target = probed(one(State::Up), Some("{http: /hang, within: 50ms}"), None);
    let observed = target.observe(&context()).await.unwrap();
    assert!(
        matches!(&observed.sides[0].instances[0].health, State::Down { why } if why.contains("no answer within"))
    );
    for (source, version) in [
        ("/plain", Some("v7")),
        ("/version#/time", None),
        ("/version#/absent", None),
        ("/absent", None),
        ("/health", None),
    ] {
        let observed = probed(one(State::Up), None, Some(source)).observe(&context()).await.unwrap();
        assert_eq!(observed.sides[0].version.as_deref(), version, "{source}");
    }
}

#[tokio::test]
async fn everything_else_is_the_inner_targets() {
    let target = probed(Vec::new(), Some("/health"), None);
    assert!(target.caps().retires);
    assert_eq!(target.nearest(Share::NONE), Share::ALL);
    assert_eq!(target.between(Share::ALL, Share::NONE), [Share::ALL]);
    let change = Change::Retire { side: "blue".parse().unwrap() };
    assert_eq!(target.apply(&context(), &change).await.unwrap_err().provider, "shown");
    assert_eq!(target.preflight(&context()).await.len(), 1);
}

#[test]
fn health_is_a_path_or_a_map() {
    for (text, why) in [
        ("http://x/health", "a path"),
        ("/{{side}}", "stands for nothing"),
        ("{path: /x}", "unknown key"),
        ("{http: /x, within: 0s}", "0s"),
        ("5", "must be a path"),
    ] {
        let error = from_node::<Health>(&parse(text).unwrap(), "health").unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    assert!(VersionSource::try_from("http://x/v#/v".to_string()).is_err());
    assert!(VersionSource::try_from("/v#v".to_string()).is_err());
}
