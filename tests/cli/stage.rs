//! A folder with a config, two small services behind a splitter, and the binary.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};
use tempfile::TempDir;
use tidegate::demo::{
    service,
    splitter::{Backend, HealthCheck, Level, Running, RuntimeAddress, RuntimeSocket, Server, Splitter},
};
use tokio::{net::TcpListener, process::Command, sync::oneshot};

pub struct Stage {
    folder: TempDir,
    splitter: Running,
    /// Where blue and green answer by themselves.
    pub services: Vec<SocketAddr>,
    _services: Vec<oneshot::Sender<()>>,
}

/// What one run of the binary came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The one JSON object on standard output.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// Everything that was printed.
    pub fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

impl Stage {
    /// `extra` is added to the config after its services.
    pub async fn set(extra: &str) -> Self {
        Stage::with_errors(extra, [0.0, 0.0]).await
    }

    /// Blue and green fail this part of their requests.
    pub async fn with_errors(extra: &str, rates: [f64; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("haproxy.sock");
        let mut services = Vec::new();
        let mut servers = Vec::new();
        let mut addresses = Vec::new();
        for ((side, weight), error_rate) in [("blue", 256), ("green", 0)].into_iter().zip(rates) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            servers.push(server(side, listener.local_addr().unwrap(), weight));
            let (end, ended) = oneshot::channel::<()>();
            let options = service::Options {
                version: side.into(),
                side: side.into(),
                error_rate,
                latency: Duration::ZERO,
                seed: 1,
            };
            tokio::spawn(service::serve(options, listener, ended));
            services.push(end);
        }
        let splitter = Splitter {
            backends: vec![Backend {
                name: "web".into(),
                bind: "127.0.0.1:0".parse().unwrap(),
                servers,
                check: Some(HealthCheck {
                    interval: Duration::from_millis(20),
                    ..HealthCheck::get("/health")
                }),
            }],
            runtime: vec![RuntimeSocket { address: RuntimeAddress::Unix(socket), level: Level::Admin }],
            metrics: None,
        };
        let stage = Stage {
            folder,
            splitter: splitter.start().await.unwrap(),
            services: addresses,
            _services: services,
        };
        stage.config(extra);
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn front(&self) -> SocketAddr {
        self.splitter.address("web").unwrap()
    }

    /// Writes the config anew.
    pub fn config(&self, extra: &str) {
        let text = format!(
            "name: shop\nservices:\n  web:\n    haproxy: {{socket: haproxy.sock, backend: web, sides: [blue, green]}}\n    health: /health\n    url: http://{}\n{extra}",
            self.front()
        );
        std::fs::write(self.path("tidegate.yml"), text).unwrap();
    }

    /// Runs `tidegate` with these arguments.
    pub async fn run(&self, arguments: &str) -> Ran {
        self.run_as("someone@here", arguments).await
    }

    /// The same in another CI run.
    pub async fn run_as(&self, run: &str, arguments: &str) -> Ran {
        self.run_with(run, arguments, &[]).await
    }

    /// The same with more in the environment.
    pub async fn run_with(&self, run: &str, arguments: &str, variables: &[(String, String)]) -> Ran {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let output: Output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(arguments)
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("TIDEGATE_RUN", run)
            .env("TIDEGATE_CALL_SECONDS", "5")
            // As a CI hands over an input that was not given.
            .env("TIDEGATE_HOTFIX", "")
            .env("TIDEGATE_SERVICE", "")
            .envs(variables.iter().cloned())
            .output()
            .await
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Candidate's share in percent, as the splitter has it.
    pub async fn green(&self) -> f64 {
        let weight = async |server: &str| -> f64 {
            let answer = self.ask(&format!("get weight web/{server}")).await;
            answer.split_whitespace().next().unwrap().parse().unwrap()
        };
        let (blue, green) = (weight("blue").await, weight("green").await);
        100.0 * green / (blue + green)
    }

    /// One line of the runtime API.
    pub async fn ask(&self, line: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::UnixStream::connect(self.path("haproxy.sock")).await.unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// The kinds of the journal's records, in order.
    pub fn journal(&self) -> Vec<String> {
        self.records().into_iter().map(|(kind, _)| kind).collect()
    }

    /// The file of the last record of this kind.
    pub fn record(&self, kind: &str) -> PathBuf {
        self.records().into_iter().rfind(|(other, _)| other == kind).unwrap().1
    }

    fn records(&self) -> Vec<(String, PathBuf)> {
        let folder = self.path(".tidegate/journal/shop/production");
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
        files.retain(|f| f.extension().is_some_and(|e| e == "json"));
        files.sort();
        let kind = |file: &PathBuf| {
            let record: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            record["event"]["kind"].as_str().unwrap().to_string()
        };
        files.into_iter().map(|file| (kind(&file), file)).collect()
    }

    /// A database to snapshot, with one order in it.
    pub fn with_database(&self, name: &str) {
        let connection = rusqlite::Connection::open(self.path(name)).unwrap();
        connection
            .execute_batch("create table orders (item text); insert into orders values ('lamp');")
            .unwrap();
    }

    /// Sends requests to the public face until the command has ended.
    pub async fn under_load(&self, arguments: &str) -> Ran {
        let target = tidegate::demo::load::Target { address: self.front(), path: "/".into() };
        let (end, ended) = oneshot::channel::<()>();
        let load = tokio::spawn(tidegate::demo::load::run(target, 300.0, Default::default(), ended));
        let ran = self.run(arguments).await;
        let _ = end.send(());
        assert_eq!(load.await.unwrap().snapshot().failures, 0);
        ran
    }
}

fn server(name: &str, address: SocketAddr, weight: u16) -> Server {
    Server { name: name.into(), address, weight, disabled: false }
}
