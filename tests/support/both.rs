//! The splitter and the real HAProxy side by side, and ways to hold one against the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::haproxy::HaProxy;
use tempfile::TempDir;
use tidegate::demo::service;
use tidegate::demo::splitter::{
    Backend, HealthCheck, Level, Running, RuntimeAddress, RuntimeSocket, Server, Splitter,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;

/// One of the two under test.
pub struct World {
    pub name: &'static str,
    pub admin: RuntimeAddress,
    pub operator: RuntimeAddress,
    pub tcp: RuntimeAddress,
    pub fronts: BTreeMap<String, SocketAddr>,
    pub metrics: SocketAddr,
    _running: Guard,
}

#[expect(dead_code, reason = "held for their Drop")]
enum Guard {
    HaProxy(HaProxy),
    Splitter(Running, TempDir),
}

/// HAProxy first.
pub struct Both(pub [World; 2]);

pub const LOOPBACK: &str = "127.0.0.1:0";

impl Both {
    pub async fn start(backends: Vec<Backend>) -> Self {
        let splitter = Splitter { backends, ..Splitter::default() };
        let names: Vec<String> = splitter.backends.iter().map(|backend| backend.name.clone()).collect();

        let haproxy = HaProxy::start(&splitter).unwrap_or_else(|error| panic!("{error}"));
        let real = World {
            name: "haproxy",
            admin: RuntimeAddress::Unix(haproxy.socket(Level::Admin)),
            operator: RuntimeAddress::Unix(haproxy.socket(Level::Operator)),
            tcp: RuntimeAddress::Tcp(haproxy.runtime_tcp()),
            fronts: names.iter().map(|name| (name.clone(), haproxy.address(name).unwrap())).collect(),
            metrics: haproxy.metrics(),
            _running: Guard::HaProxy(haproxy),
        };

        let directory = tempfile::tempdir().unwrap();
        let socket = |name: &str, level| RuntimeSocket {
            address: RuntimeAddress::Unix(directory.path().join(name)),
            level,
        };
        let tcp =
            RuntimeSocket { address: RuntimeAddress::Tcp(LOOPBACK.parse().unwrap()), level: Level::Admin };
        let splitter = Splitter {
            runtime: vec![socket("admin.sock", Level::Admin), socket("operator.sock", Level::Operator), tcp],
            metrics: Some(LOOPBACK.parse().unwrap()),
            ..splitter
        };
        let running = splitter.start().await.unwrap();
        let [admin, operator, tcp] = running.runtime() else { panic!("three sockets were asked for") };
        let ours = World {
            name: "splitter",
            admin: admin.clone(),
            operator: operator.clone(),
            tcp: tcp.clone(),
            fronts: names.iter().map(|name| (name.clone(), running.address(name).unwrap())).collect(),
            metrics: running.metrics().unwrap(),
            _running: Guard::Splitter(running, directory),
        };
        Self([real, ours])
    }

    /// Sends a line to both over their unix sockets and holds the answers against each other at once.
    pub async fn alike(&self, line: &str) -> String {
        let [real, ours] = &self.0;
        let (real, ours) = (ask(&real.admin, line).await, ask(&ours.admin, line).await);
        assert_eq!(normal(&ours), normal(&real), "{line:?}");
        ours
    }

    /// Waits until `view` of both is the same and satisfies the condition.
    pub async fn converge<V, F>(&self, what: &str, view: impl Fn(usize) -> F, holds: impl Fn(&V) -> bool) -> V
    where
        V: PartialEq + std::fmt::Debug,
        F: Future<Output = V>,
    {
        for round in 0.. {
            let (real, ours) = (view(0).await, view(1).await);
            if real == ours && holds(&ours) {
                return ours;
            }
            assert!(round < 1500, "{what}:\n{}", difference(&format!("{real:#?}"), &format!("{ours:#?}")));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!()
    }

    pub async fn states_converge(&self) {
        let view = async |world: usize| normal(&ask(&self.0[world].admin, "show servers state").await);
        self.converge("show servers state", view, |text| !text.contains("INI")).await;
    }

    /// Waits until these columns of `show stat` are the same for all rows.
    pub async fn rows_converge(&self, columns: &[&str], holds: impl Fn(&Rows) -> bool) -> Rows {
        let view = async |world: usize| rows(&self.0[world], columns).await;
        self.converge("show stat", view, holds).await
    }
}

/// The lines that are not the same, each pair under the last line that begins a row.
pub fn difference(real: &str, ours: &str) -> String {
    let (real, ours) = (real.replace("\\n", "\n"), ours.replace("\\n", "\n"));
    let mut text = String::new();
    let mut row = "";
    for (real, ours) in real.lines().zip(ours.lines()) {
        if real.ends_with('{') {
            row = real.trim();
        }
        if real != ours {
            text += &format!("{row}\n  haproxy  {}\n  splitter {}\n", real.trim(), ours.trim());
        }
    }
    text
}

pub async fn ask(address: &RuntimeAddress, line: &str) -> String {
    async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, line: &str) -> String {
        stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
    match address {
        RuntimeAddress::Unix(path) => exchange(UnixStream::connect(path).await.unwrap(), line).await,
        RuntimeAddress::Tcp(address) => exchange(TcpStream::connect(address).await.unwrap(), line).await,
    }
}

/// Without what must differ: the seconds since a change, whether a check happens to be under way (its result is 0 then), and
/// what a check that ended in maintenance left as health.
pub fn normal(answer: &str) -> String {
    let is_state = answer.starts_with("1\n# be_id");
    let line = |line: &str| {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if is_state && words.len() == 25 && words[0] != "#" {
            words[9] = "since".to_owned();
            words[11] = "result".to_owned();
            if words[6].parse::<u8>().unwrap() & 1 != 0 {
                words[12] = "paused".to_owned();
            }
            words[13] = (words[13].parse::<u8>().unwrap() & !1).to_string();
        }
        words.join(" ")
    };
    answer.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// `proxy/server` to the values of the columns.
pub type Rows = BTreeMap<String, BTreeMap<String, String>>;

pub async fn rows(world: &World, columns: &[&str]) -> Rows {
    let text = ask(&world.admin, "show stat").await;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let header: Vec<&str> = lines.next().unwrap().trim_start_matches("# ").split(',').collect();
    lines
        .map(|line| {
            let cells: BTreeMap<&str, &str> = header.iter().copied().zip(line.split(',')).collect();
            let picked = columns
                .iter()
                .map(|column| ((*column).to_owned(), cells[column].trim_start_matches("* ").to_owned()));
            (format!("{}/{}", cells["pxname"], cells["svname"]), picked.collect())
        })
        .filter(|(name, _)| name != "metrics/FRONTEND")
        .collect()
}

/// Columns that hold no time and nothing the splitter leaves out.
pub const COUNTED: &[&str] = &[
    "iid",
    "sid",
    "type",
    "stot",
    "econ",
    "eresp",
    "wretr",
    "wredis",
    "lbtot",
    "connect",
    "req_tot",
    "scur",
    "hrsp_1xx",
    "hrsp_2xx",
    "hrsp_3xx",
    "hrsp_4xx",
    "hrsp_5xx",
    "hrsp_other",
];
pub const STANDING: &[&str] = &[
    "status",
    "weight",
    "uweight",
    "act",
    "bck",
    "chkfail",
    "chkdown",
    "check_status",
    "check_desc",
    "last_chk",
    "check_rise",
    "check_fall",
    "check_health",
    "addr",
    "mode",
    "algo",
    "pid",
    "qlimit",
    "throttle",
    "tracked",
];

#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Response {
    pub status: u16,
    pub version: Option<String>,
    pub body: String,
}

pub async fn get(address: SocketAddr, path: &str) -> Response {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) =
        text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response to {path}: {text:?}"));
    let version = head.lines().find_map(|line| line.strip_prefix("x-version: ")).map(str::to_owned);
    Response { status: head.split(' ').nth(1).unwrap().parse().unwrap(), version, body: body.to_owned() }
}

pub struct Upstream {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Upstream {
    pub async fn start(version: &str, error_rate: f64) -> Self {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (version, side) = (version.to_owned(), "test".to_owned());
        let options = service::Options { version, side, error_rate, latency: Duration::ZERO, seed: 7 };
        let task = tokio::spawn(service::serve(options, listener, std::future::pending::<()>()));
        Self { address, task }
    }

    pub async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// An address that refuses connections. It stays bound without listening, so nobody else can take it.
pub fn refusing() -> (SocketAddr, tokio::net::TcpSocket) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(LOOPBACK.parse().unwrap()).unwrap();
    (socket.local_addr().unwrap(), socket)
}

pub fn server(name: &str, address: SocketAddr, weight: u16) -> Server {
    Server { name: name.to_owned(), address, weight, disabled: false }
}

pub fn backend(name: &str, servers: Vec<Server>) -> Backend {
    Backend { name: name.to_owned(), bind: LOOPBACK.parse().unwrap(), servers, check: None }
}

pub fn checked(name: &str, servers: Vec<Server>) -> Backend {
    let check = HealthCheck { path: "/health".into(), interval: Duration::from_millis(50), rise: 2, fall: 2 };
    Backend { check: Some(check), ..backend(name, servers) }
}

/// `api` with checks and both sides up; `web` without, its green side disabled.
pub async fn api_and_web() -> (Both, Vec<Upstream>) {
    let (blue, green) = (Upstream::start("v1", 0.0).await, Upstream::start("v2", 0.0).await);
    let sides =
        |green_weight| vec![server("blue", blue.address, 100), server("green", green.address, green_weight)];
    let mut web = backend("web", sides(100));
    web.servers[1].disabled = true;
    let both = Both::start(vec![checked("api", sides(0)), web]).await;
    both.states_converge().await;
    both.rows_converge(STANDING, |rows| rows["api/green"]["status"] == "UP").await;
    (both, vec![blue, green])
}

/// Every family and sample of the splitter exists in HAProxy with the same words, and the same value where it is no time.
pub async fn metrics_agree(both: &Both) {
    let view = async |world: usize| get(both.0[world].metrics, "/metrics").await.body;
    let (real, ours) = (view(0).await, view(1).await);
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect()
    };
    let (real, ours) = (lines(&real), lines(&ours));
    assert!(ours.len() > 50, "{ours:#?}");
    for line in &ours {
        let timed = ["_seconds{", "_average_", "current_sessions{"].iter().any(|part| line.contains(part));
        if timed && !line.starts_with('#') {
            let (sample, _) = line.rsplit_once(' ').unwrap();
            assert!(real.iter().any(|known| known.starts_with(&format!("{sample} "))), "{sample}");
        } else {
            let near: Vec<_> =
                real.iter().filter(|known| known.split(' ').next() == line.split(' ').next()).collect();
            assert!(real.contains(line), "splitter: {line}\nhaproxy:  {near:?}");
        }
    }
}
