//! The play: a good release goes out step by step, the next one is thrown out by itself.

use std::{
    ffi::OsString,
    fmt::Write as _,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    sync::oneshot,
    task::JoinHandle,
};

use super::{
    folder::Folder,
    load::{self, Tally},
    splitter::{Backend, HealthCheck, Level, Running, RuntimeAddress, RuntimeSocket, Server, Splitter},
};
use crate::{engine::stop::Stop, error::Signal, platform};

/// How the demo is played.
#[derive(Clone, Debug)]
pub struct Play {
    /// The folder it writes.
    pub directory: PathBuf,
    /// Use the HAProxy on PATH.
    pub haproxy: bool,
    /// This program.
    pub program: PathBuf,
}

const REQUESTS_PER_SECOND: f64 = 400.0;
const READY_POLLS_MAX: u32 = 200;
const READY_POLL: Duration = Duration::from_millis(50);

/// How a play ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Played,
    Interrupted(Signal),
}

/// Plays both acts, or until a signal comes. The error says which command did not do what it should have.
pub async fn play(play: &Play, stop: &Stop) -> io::Result<Ending> {
    let folder = Folder::create(&play.directory)?;
    let result = async {
        let stage = tokio::select! {
            biased;
            _ = stop.signal() => return Ok(()),
            stage = Stage::set(play, &folder, stop) => stage?,
        };
        let result = stage.acts().await;
        stage.strike().await;
        result
    }
    .await;
    folder.stop_services();
    platform::adopt_all(&folder.path);
    match stop.requested() {
        Some(signal) => Ok(Ending::Interrupted(signal)),
        None => result.map(|()| Ending::Played),
    }
}

/// What the demo's processes are told: which program they are, and beside which process they live.
fn surroundings(play: &Play) -> [(&'static str, OsString); 2] {
    let process = std::process::id().to_string().into();
    [("TIDEGATE_DEMO", play.program.clone().into()), ("TIDEGATE_DEMO_PROCESS", process)]
}

enum Balancer {
    BuiltIn(Running),
    Real(Child),
}

struct Stage<'a> {
    play: &'a Play,
    stop: &'a Stop,
    folder: &'a Folder,
    balancer: Balancer,
    tally: Arc<Tally>,
    curtain: oneshot::Sender<()>,
    load: JoinHandle<Arc<Tally>>,
}

impl<'a> Stage<'a> {
    async fn set(play: &'a Play, folder: &'a Folder, stop: &'a Stop) -> io::Result<Stage<'a>> {
        say(
            "A miniature production on this machine: a shop behind a balancer that speaks HAProxy's runtime API (--haproxy takes a real one), v1 on its blue side, users at 400 requests a second.",
        );
        say(&format!("  its config: {}", folder.path.join("tidegate.yml").display()));
        database(&folder.path.join("shop.db"))?;
        let mut first = Command::new("./deploy.sh");
        first.current_dir(&folder.path).env("TIDEGATE_SIDE", "blue").env("TIDEGATE_RELEASE", "v1");
        first.envs(surroundings(play)).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        if !first.status().await?.success() {
            return Err(io::Error::other("v1 did not start: see blue.log in the demo's folder"));
        }
        let balancer = if play.haproxy { real(folder)? } else { Balancer::BuiltIn(built_in(folder).await?) };
        answers(folder).await?;
        let tally = Arc::new(Tally::default());
        let (curtain, down) = oneshot::channel::<()>();
        let target = load::Target { address: folder.front, path: "/".into() };
        let load = tokio::spawn(load::run(target, REQUESTS_PER_SECOND, tally.clone(), down));
        Ok(Stage { play, stop, folder, balancer, tally, curtain, load })
    }

    async fn acts(&self) -> io::Result<()> {
        say("\nAct one: v2 is good. The steps one by one, as a workflow would compose them.");
        for command in [
            "preflight --release v2",
            "snapshot-db --release v2",
            "migrate --release v2",
            "deploy --release v2",
            "smoke-test",
            "shift-traffic --to 10",
            "verify-metrics",
            "shift-traffic --to 50",
            "verify-metrics",
            "shift-traffic --to 100",
            "verify-metrics",
            "finish",
        ] {
            self.run(command, 0).await?;
        }
        self.traffic();
        say(
            "\nAct two: v3 fails 5 % of its requests, and its health check does not see it. The whole plan in one command.",
        );
        self.run("rollout --release v3", 10).await?;
        self.traffic();
        self.run("status", 0).await?;
        Ok(())
    }

    /// Runs one command as a user would, and holds it to the exit code it must have.
    async fn run(&self, command: &str, expected: i32) -> io::Result<()> {
        say(&format!("\n$ tidegate {command}"));
        let mut child = Command::new(&self.play.program)
            .args(command.split(' '))
            .current_dir(&self.folder.path)
            .envs(surroundings(self.play))
            // its journal is the folder's, wherever it is played
            .env_remove("GITHUB_ACTIONS")
            .env_remove("RUNNER_ENVIRONMENT")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let status = tokio::select! {
            biased;
            status = child.wait() => status?,
            signal = self.stop.signal() => {
                end(&mut child, signal).await?;
                return Err(io::Error::other("interrupted"));
            }
        };
        let code = status.code().unwrap_or(-1);
        if code == expected {
            if expected != 0 {
                say(&format!("(exit code {code}, as it should be: a workflow stops here)"));
            }
            return Ok(());
        }
        Err(io::Error::other(format!(
            "`tidegate {command}` ended with {code} and should have ended with {expected}"
        )))
    }

    /// What the users have seen so far.
    fn traffic(&self) {
        let seen = self.tally.snapshot();
        let mut line = String::from("\nUsers saw:");
        for (version, count) in &seen.versions {
            let _ = write!(line, "  {version} {} answers, {} errors;", count.responses, count.errors);
        }
        let _ = write!(line, "  {} requests without an answer", seen.failures);
        say(&line);
    }

    async fn strike(self) {
        let _ = self.curtain.send(());
        let tally = self.load.await;
        match self.balancer {
            Balancer::BuiltIn(running) => running.stop().await,
            Balancer::Real(mut child) => {
                let _ = child.kill().await;
            }
        }
        if let Ok(tally) = tally {
            let seen = tally.snapshot();
            say(&format!(
                "\nAll of it stays in {} to be looked at: tidegate.yml, deploy.sh, the snapshots, the journal in .tidegate/journal. {} requests were answered.",
                self.folder.path.display(),
                seen.responses()
            ));
        }
    }
}

/// Passes a signal on and waits until the command has tidied up.
async fn end(child: &mut Child, signal: Signal) -> io::Result<()> {
    let signal = match signal {
        Signal::Interrupt => rustix::process::Signal::INT,
        Signal::Terminate => rustix::process::Signal::TERM,
    };
    if let Some(pid) = child.id().and_then(|id| id.try_into().ok()).and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, signal);
    }
    child.wait().await.map(|_| ())
}

fn say(line: &str) {
    // A closed pipe must not stop the play before it has tidied up.
    let _ = writeln!(io::stdout(), "{line}");
}

async fn built_in(folder: &Folder) -> io::Result<Running> {
    let server = |name: &str, address, weight| Server { name: name.into(), address, weight, disabled: false };
    let splitter = Splitter {
        backends: vec![Backend {
            name: "web".into(),
            bind: folder.front,
            servers: vec![server("blue", folder.blue, 256), server("green", folder.green, 0)],
            check: Some(HealthCheck { interval: Duration::from_millis(200), ..HealthCheck::get("/health") }),
        }],
        runtime: vec![RuntimeSocket {
            address: RuntimeAddress::Unix(folder.socket.clone()),
            level: Level::Admin,
        }],
        metrics: None,
    };
    splitter.start().await.map_err(io::Error::other)
}

fn real(folder: &Folder) -> io::Result<Balancer> {
    let config = folder.write_haproxy()?;
    let log = std::fs::File::create(folder.path.join("haproxy.log"))?;
    let child = Command::new("haproxy")
        .args(["-db", "-f"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn();
    child.map(Balancer::Real).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            io::Error::new(error.kind(), "there is no haproxy on PATH: install it, or leave --haproxy away")
        }
        _ => error,
    })
}

/// Waits until the balancer passes requests on.
async fn answers(folder: &Folder) -> io::Result<()> {
    for _ in 0..READY_POLLS_MAX {
        if get_health(folder).await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            return Ok(());
        }
        tokio::time::sleep(READY_POLL).await;
    }
    Err(io::Error::other("the balancer did not pass requests on"))
}

async fn get_health(folder: &Folder) -> io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(folder.front).await?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer).await?;
    Ok(answer)
}

fn database(path: &Path) -> io::Result<()> {
    let connection = rusqlite::Connection::open(path).map_err(io::Error::other)?;
    let rows = "create table orders (id integer primary key, item text not null);
                insert into orders (item) values ('lamp'), ('chair'), ('lamp');";
    connection.execute_batch(rows).map_err(io::Error::other)
}
