//! The splitter against the real HAProxy: the same configuration, servers, commands and requests, and no difference.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "support/both.rs"]
mod both;
#[path = "support/haproxy.rs"]
mod haproxy;

use std::collections::BTreeMap;
use std::path::Path;

use both::*;
use tidegate::demo::splitter::RuntimeAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

#[tokio::test]
async fn weights_are_set_and_refused_in_the_same_words() {
    let (both, _upstreams) = api_and_web().await;
    for text in [
        "50",
        "50%",
        "100%",
        "101%",
        "1000%",
        "0",
        "256",
        "257",
        "-1",
        "+5",
        "abc",
        "12abc",
        "5.5",
        "5%x",
        "-5%",
        "%",
        "",
        "7 extra",
        "99999999999999999999",
    ] {
        for server in ["api/blue", "api/green"] {
            both.alike(&format!("set weight {server} {text}")).await;
            both.alike(&format!("get weight {server}")).await;
            both.alike(&format!("set server {server} weight {text}")).await;
            both.alike(&format!("get weight {server}")).await;
        }
    }
    for name in ["", "api", "/blue", "api/", "api/nope", "nope/blue", "nope", "api/blue/x", "API/blue"] {
        both.alike(&format!("set weight {name} 5")).await;
        both.alike(&format!("get weight {name}")).await;
    }
    assert_eq!(both.alike("set weight api/blue 50").await, "\n");
    assert_eq!(both.alike("get weight api/blue").await, "50 (initial 100)\n\n");
}

#[tokio::test]
async fn states_are_set_and_refused_in_the_same_words() {
    let (both, _upstreams) = api_and_web().await;
    for command in [
        "set server api/blue state drain",
        "set server api/blue state maint",
        "set server api/blue state drain",
        "disable server api/blue",
        "enable server api/blue",
        "set server api/green state maint",
        "set server api/green state ready",
        "set server web/blue state maint",
        "set server web/blue state drain",
        "set server web/blue state ready",
        "set server web/green state ready",
        "set server web/green state drain",
        "set server web/green state maint",
        "enable server web/green",
        "disable server web/green extra",
        "set server api/blue state foo",
        "set server api/blue state",
        "set server api/blue",
        "set server api/blue foo",
        "set server api/blue STATE ready",
        "set server",
        "set server api",
        "set server nope/blue state ready",
        "disable server",
        "disable server api",
        "disable server api/nope",
        "enable server nope/blue",
        "enable server",
        "set server api/blue state ready extra",
        "show servers state nope",
        "show servers state api-front",
    ] {
        both.alike(command).await;
        both.states_converge().await;
        both.rows_converge(STANDING, |_| true).await;
    }
}

#[tokio::test]
async fn addresses_are_set_and_refused_in_the_same_words() {
    let (both, upstreams) = api_and_web().await;
    let [blue, green] = [upstreams[0].address.port(), upstreams[1].address.port()];
    for command in [
        format!("127.0.0.1 port {blue}"),
        format!("127.0.0.1 port {green}"),
        "127.0.0.1".into(),
        "127.0.0.2".into(),
        "foo".into(),
        String::new(),
        "127.0.0.1 port".into(),
        "127.0.0.1 port 0".into(),
        "127.0.0.1 port 99999".into(),
        "127.0.0.1 port abc".into(),
        "127.0.0.1 foo 3".into(),
        "127.0.0.1 port +1".into(),
        "::1 port 3".into(),
        format!("127.0.0.1 port {green}"),
    ] {
        both.alike(&format!("set server web/blue addr {command}")).await;
        both.alike("show servers state web").await;
    }
    for world in &both.0 {
        assert_eq!(get(world.fronts["web"], "/").await.version.as_deref(), Some("v2"), "{}", world.name);
    }
}

#[tokio::test]
async fn commands_after_a_failed_one_still_run() {
    let (both, _upstreams) = api_and_web().await;
    for line in [
        "get weight api/blue;get weight api/green",
        "set weight api/blue 10; set weight api/green 20",
        "set weight api/blue 11;set weight api/nope 20;get weight api/blue",
        "set weight api/blue x ; get weight api/blue",
        "  get\tweight   api/blue  ",
        "get weight api/blue\\ ",
        "get weight api/blue\\; foo",
        "get weight api/blue\r",
        "get weight api/blue # comment",
        "get weight api/blue\nget weight api/green",
        "quit",
        "quit;get weight api/blue",
        "show servers state nope;get weight api/blue",
    ] {
        both.alike(line).await;
    }
    let answer = both.alike("set weight api/blue 5;set weight api/nope 6;get weight api/blue").await;
    assert_eq!(answer, "\nNo such server.\n\n5 (initial 100)\n\n");
}

#[tokio::test]
async fn tcp_sockets_answer_as_unix_sockets_do() {
    let (both, _upstreams) = api_and_web().await;
    for World { name, admin, tcp, .. } in &both.0 {
        assert_eq!(
            ask(tcp, "set weight api/green 9;get weight api/green").await,
            "\n9 (initial 0)\n\n",
            "{name}"
        );
        let (over_unix, over_tcp) =
            (ask(admin, "show servers state web").await, ask(tcp, "show servers state web").await);
        assert_eq!(normal(&over_unix), normal(&over_tcp), "{name}");
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_not_a_command() {
    let (both, _upstreams) = api_and_web().await;
    for World { name, admin, .. } in &both.0 {
        let RuntimeAddress::Unix(path) = admin else { panic!("admin is a unix socket") };
        let mut stream = UnixStream::connect(path as &Path).await.unwrap();
        stream.write_all(b"set weight api/blue 3").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "", "{name}");
        assert_eq!(ask(admin, "get weight api/blue").await, "100 (initial 100)\n\n", "{name}");
    }
}

#[tokio::test]
async fn an_operator_may_look_and_not_touch() {
    let (both, _upstreams) = api_and_web().await;
    for command in [
        "set weight api/blue 5",
        "set weight",
        "set weight nope/x 5",
        "set server api/blue state maint",
        "set server api/blue addr 127.0.0.1",
        "disable server api/blue",
        "enable server api/blue",
        "set weight api/blue 5;get weight api/blue",
        "get weight api/blue",
        "show servers state web",
    ] {
        let [real, ours] = &both.0;
        let (real, ours) = (ask(&real.operator, command).await, ask(&ours.operator, command).await);
        assert_eq!(normal(&ours), normal(&real), "{command}");
    }
    let refused = ask(&both.0[1].operator, "set weight api/blue 5").await;
    assert_eq!(refused, "Permission denied\n\n");
}

#[tokio::test]
async fn what_is_no_command_is_told_so_and_help_follows() {
    let (both, _upstreams) = api_and_web().await;
    for line in
        ["", "foo", "set", "show", "SET WEIGHT api/blue 3", "help", "help get", "# foo", "show servers"]
    {
        let [real, ours] = &both.0;
        let (real, ours) = (ask(&real.admin, line).await, ask(&ours.admin, line).await);
        assert_eq!(ours.lines().next(), real.lines().next(), "{line:?}");
        assert!(ours.ends_with("disconnect\n\n") && real.ends_with("disconnect\n\n"), "{line:?}");
    }
    let [real, ours] = &both.0;
    let (real, ours) = (ask(&real.admin, "help").await, ask(&ours.admin, "help").await);
    for line in ours.lines() {
        assert!(real.lines().any(|known| known == line), "{line}");
    }
}

#[tokio::test]
async fn info_has_lines_haproxy_has() {
    let (both, _upstreams) = api_and_web().await;
    let [real, ours] = &both.0;
    let (real, ours) = (ask(&real.admin, "show info").await, ask(&ours.admin, "show info").await);
    let keys = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.split_once(": ")).map(|(key, _)| key.to_owned()).collect()
    };
    for key in keys(&ours).iter().filter(|key| *key != "Description") {
        assert!(keys(&real).contains(key), "{key}");
    }
    for line in ["Name: HAProxy", "Nbproc: 1", "Process_num: 1", "Stopping: 0"] {
        assert!(real.lines().any(|known| known == line) && ours.lines().any(|known| known == line), "{line}");
    }
    assert!(ours.contains("\nVersion: 2.6") && real.contains("\nVersion: 2.6"));
}

#[tokio::test]
async fn stat_has_the_same_header_and_rows_whatever_the_filter() {
    let (both, _upstreams) = api_and_web().await;
    for filter in [
        "",
        " -1 7 -1",
        " -1 4 -1",
        " api 7 2",
        " api 4 2",
        " web-front 1 -1",
        " 5 2 -1",
        " 2 1 -1",
        " nope 7 -1",
        " 5",
    ] {
        let [real, ours] = &both.0;
        let (real, ours) = (
            ask(&real.admin, &format!("show stat{filter}")).await,
            ask(&ours.admin, &format!("show stat{filter}")).await,
        );
        assert_eq!(ours.lines().next(), real.lines().next(), "{filter}");
        let names = |text: &str| -> Vec<(String, usize)> {
            let name = |line: &str| line.splitn(3, ',').take(2).collect::<Vec<_>>().join("/");
            text.lines().map(|line| (name(line), line.matches(',').count())).collect()
        };
        assert_eq!(names(&ours), names(&real), "{filter}");
        assert!(ours.ends_with("\n\n"), "{filter}");
    }
}

#[tokio::test]
async fn a_thousand_requests_follow_the_weights() {
    let (blue, green) = (Upstream::start("v1", 0.0).await, Upstream::start("v2", 0.0).await);
    let servers = vec![server("blue", blue.address, 100), server("green", green.address, 100)];
    let both = Both::start(vec![backend("api", servers)]).await;
    both.alike("set weight api/blue 25;set weight api/green 225").await;
    for world in &both.0 {
        let mut versions: BTreeMap<Option<String>, i32> = BTreeMap::new();
        for _ in 0..1000 {
            let response = get(world.fronts["api"], "/").await;
            assert_eq!(response.status, 200, "{}", world.name);
            *versions.entry(response.version).or_default() += 1;
        }
        let count = |version: &str| versions[&Some(version.to_owned())];
        assert!(
            (count("v1") - 100).abs() <= 1 && (count("v2") - 900).abs() <= 1,
            "{} {versions:?}",
            world.name
        );
        let counted = rows(world, &["hrsp_2xx", "lbtot"]).await;
        assert_eq!(counted["api/blue"]["hrsp_2xx"], count("v1").to_string(), "{}", world.name);
        assert_eq!(counted["api/green"]["lbtot"], count("v2").to_string(), "{}", world.name);
    }
}

#[tokio::test]
async fn responses_are_counted_by_code_in_stat_and_metrics_alike() {
    let (blue, green) = (Upstream::start("v1", 0.0).await, Upstream::start("v2", 1.0).await);
    let servers = vec![server("blue", blue.address, 100), server("green", green.address, 50)];
    let both = Both::start(vec![checked("api", servers)]).await;
    both.rows_converge(STANDING, |rows| rows.values().all(|row| !row["status"].contains(' '))).await;
    for world in &both.0 {
        for path in ["/", "/nope", "/version"] {
            for _ in 0..30 {
                get(world.fronts["api"], path).await;
            }
        }
    }
    let rows = both.rows_converge(COUNTED, |rows| rows["api/green"]["req_tot"] == "30").await;
    let total = |column: &str| {
        rows["api/blue"][column].parse::<u64>().unwrap() + rows["api/green"][column].parse::<u64>().unwrap()
    };
    assert_eq!(total("hrsp_2xx") + total("hrsp_4xx") + total("hrsp_5xx"), 90);
    assert!(total("hrsp_4xx") == 30 && total("hrsp_5xx") > 0, "{rows:#?}");
    metrics_agree(&both).await;
}

#[tokio::test]
async fn refused_connections_are_redispatched_and_counted_as_that() {
    let ((refusing, _socket), green) = (refusing(), Upstream::start("v2", 0.0).await);
    let servers = vec![server("blue", refusing, 100), server("green", green.address, 100)];
    let both = Both::start(vec![backend("api", servers)]).await;
    for world in &both.0 {
        for _ in 0..20 {
            assert_eq!(get(world.fronts["api"], "/").await.status, 200, "{}", world.name);
        }
    }
    let view = async |world: usize| rows(&both.0[world], COUNTED).await;
    let (real, ours) = (view(0).await, view(1).await);
    for counted in [&real, &ours] {
        let blue = &counted["api/blue"];
        assert_eq!(
            (blue["econ"].as_str(), blue["wretr"].as_str(), blue["req_tot"].as_str()),
            ("0", "0", "0"),
            "{blue:?}"
        );
        // who starts, and who takes over, shifts the turns by one
        assert!((9..=20).contains(&blue["wredis"].parse::<u32>().unwrap()), "{blue:?}");
        assert_eq!(blue["stot"], blue["wredis"]);
        assert_eq!(counted["api/BACKEND"]["wredis"], blue["wredis"]);
        assert_eq!(counted["api/BACKEND"]["hrsp_2xx"], "20");
    }
}

#[tokio::test]
async fn the_only_server_is_tried_four_times_and_then_it_is_503() {
    let (refusing, _socket) = refusing();
    let both = Both::start(vec![backend("api", vec![server("blue", refusing, 100)])]).await;
    let [real, ours] = &both.0;
    let (real, ours) = tokio::join!(get(real.fronts["api"], "/"), get(ours.fronts["api"], "/"));
    assert_eq!(ours, real);
    assert_eq!(ours.status, 503);
    let rows = both.rows_converge(COUNTED, |_| true).await;
    let blue = &rows["api/blue"];
    assert_eq!((blue["econ"].as_str(), blue["wretr"].as_str(), blue["stot"].as_str()), ("1", "3", "4"));
    metrics_agree(&both).await;
}

#[tokio::test]
async fn without_servers_it_is_503_at_once() {
    let (both, _upstreams) = api_and_web().await;
    both.alike("set server web/blue state maint;set server api/blue state drain").await;
    for backend in ["web", "api"] {
        let [real, ours] = &both.0;
        assert_eq!(get(ours.fronts[backend], "/").await, get(real.fronts[backend], "/").await);
    }
    let rows = both.rows_converge(COUNTED, |_| true).await;
    assert_eq!((rows["web/BACKEND"]["econ"].as_str(), rows["web/BACKEND"]["hrsp_5xx"].as_str()), ("1", "1"));
    assert_eq!(rows["web/blue"]["econ"], "0");
    metrics_agree(&both).await;
}

#[tokio::test]
async fn a_server_that_hangs_up_is_a_502_and_a_response_error() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
        }
    });
    let both = Both::start(vec![backend("api", vec![server("blue", address, 100)])]).await;
    let [real, ours] = &both.0;
    let (real, ours) = (get(real.fronts["api"], "/").await, get(ours.fronts["api"], "/").await);
    assert_eq!(ours, real);
    assert_eq!(ours.status, 502);
    let rows = both.rows_converge(COUNTED, |_| true).await;
    assert_eq!((rows["api/blue"]["eresp"].as_str(), rows["api/blue"]["hrsp_5xx"].as_str()), ("1", "0"));
    metrics_agree(&both).await;
}

#[tokio::test]
async fn a_server_that_dies_goes_down_and_no_client_notices() {
    let (blue, green) = (Upstream::start("v1", 0.0).await, Upstream::start("v2", 0.0).await);
    let servers = vec![server("blue", blue.address, 100), server("green", green.address, 100)];
    let both = Both::start(vec![checked("api", servers)]).await;
    both.rows_converge(STANDING, |rows| {
        rows["api/blue"]["status"] == "UP" && rows["api/green"]["status"] == "UP"
    })
    .await;
    blue.stop().await;
    let view = async |world: usize| {
        let world = &both.0[world];
        for _ in 0..4 {
            assert_eq!(get(world.fronts["api"], "/").await.status, 200, "{}", world.name);
        }
        rows(world, STANDING).await
    };
    let rows = both.converge("show stat", view, |rows: &Rows| rows["api/blue"]["status"] == "DOWN").await;
    assert_eq!(rows["api/blue"]["check_status"], "L4CON");
    assert_eq!(rows["api/BACKEND"]["weight"], "100");
    both.states_converge().await;
    for world in &both.0 {
        let metrics = get(world.metrics, "/metrics").await.body;
        let down = r#"haproxy_server_status{proxy="api",server="blue",state="DOWN"} 1"#;
        assert!(metrics.lines().any(|line| line.trim_end() == down), "{}", world.name);
    }
}
