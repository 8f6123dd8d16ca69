//! The demo's production, as a machine that jobs release to: its services, its splitter and its users are outside of
//! every job, and a job reaches them over the network alone.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};
use tempfile::TempDir;
use tidegate::demo::{
    folder::Folder,
    load::{self, Snapshot, Tally},
    service,
    splitter::{Backend, HealthCheck, Level, RuntimeAddress, RuntimeSocket, Server, Splitter},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::runner::Job;

/// What `deploy` runs in a job: it asks the machine for a version on a side.
const DEPLOY: &str = r#"exec 3<>"/dev/tcp/127.0.0.1/@port@"
echo "$TIDEGATE_SIDE $TIDEGATE_RELEASE" >&3
read -r told <&3
echo "$told"
"#;

/// As in the demo.
const REQUESTS_PER_SECOND: f64 = 400.0;
const LATENCY: Duration = Duration::from_millis(4);
const FAILS: (&str, f64) = ("v3", 0.05);

pub struct Demo {
    folder: Folder,
    runtime: SocketAddr,
    deployer: SocketAddr,
    shut: Arc<AtomicBool>,
    tally: Arc<Tally>,
    end: Option<oneshot::Sender<()>>,
    machine: Option<JoinHandle<()>>,
    _place: TempDir,
}

impl Demo {
    /// v1 on blue with all traffic, nothing on green; with or without users.
    pub fn start(users: bool) -> Demo {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::create(&place.path().join("demo")).unwrap();
        let (shut, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
        let (end, ended) = oneshot::channel();
        let (ready, up) = mpsc::channel();
        let machine = {
            let (folder, shut, tally) = (folder.clone(), shut.clone(), tally.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let splitter = splitter(&folder).start().await.unwrap();
                    let mut services = BTreeMap::new();
                    serve(&folder, &mut services, "blue", "v1").await;
                    let (runtime, deployer) = (listener().await, listener().await);
                    let addresses = [&runtime, &deployer].map(|listener| listener.local_addr().unwrap());
                    tokio::spawn(relay(runtime, folder.socket.clone(), shut));
                    let front = load::Target { address: folder.front, path: "/".into() };
                    tokio::spawn(deploys(deployer, folder, services));
                    if users {
                        tokio::spawn(load::run(
                            front,
                            REQUESTS_PER_SECOND,
                            tally,
                            std::future::pending::<()>(),
                        ));
                    }
                    ready.send(addresses).unwrap();
                    let _: Result<(), _> = ended.await;
                    drop(splitter);
                });
            })
        };
        let [runtime, deployer] = up.recv().unwrap();
        Demo { folder, runtime, deployer, shut, tally, end: Some(end), machine: Some(machine), _place: place }
    }

    /// What a checkout has: the demo's own config, which reaches this machine; `database` stands for the demo's
    /// `{sqlite: shop.db…}` if there is one.
    pub fn check_out(&self, job: &Job, database: Option<&str>) {
        let mut config = std::fs::read_to_string(self.folder.path.join("tidegate.yml")).unwrap();
        let mut swap = |from: &str, to: &str| {
            assert!(config.contains(from), "{from} in\n{config}");
            config = config.replace(from, to);
        };
        swap(&self.folder.socket.display().to_string(), &self.runtime.to_string());
        swap("run: ./deploy.sh", "run: bash deploy.sh");
        match database {
            Some(database) => swap("{sqlite: shop.db, keep: 14d}", database),
            None => {
                let shop = rusqlite::Connection::open(job.workspace().join("shop.db")).unwrap();
                shop.execute_batch("create table orders (item text); insert into orders values ('lamp')")
                    .unwrap();
            }
        }
        job.write("tidegate.yml", &config);
        job.write("deploy.sh", &DEPLOY.replace("@port@", &self.deployer.port().to_string()));
        job.give(&job.workspace());
    }

    /// Whether the splitter's runtime API hangs up on everybody.
    pub fn unreachable(&self, is: bool) {
        self.shut.store(is, Ordering::SeqCst);
    }

    /// Green's share of the weights in percent, as the splitter says.
    pub fn green(&self) -> f64 {
        let [blue, green] = ["blue", "green"].map(|side| {
            let mut stream = UnixStream::connect(&self.folder.socket).unwrap();
            stream.write_all(format!("get weight web/{side}\n").as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer.split(' ').next().unwrap().parse::<f64>().unwrap()
        });
        (100.0 * green / (blue + green)).round()
    }

    /// What the users have seen so far.
    pub fn seen(&self) -> Snapshot {
        self.tally.snapshot()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.machine.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the demo's machine broke down");
    }
}

fn splitter(folder: &Folder) -> Splitter {
    let server = |name: &str, address, weight| Server { name: name.into(), address, weight, disabled: false };
    let check = HealthCheck { interval: Duration::from_millis(200), ..HealthCheck::get("/health") };
    Splitter {
        backends: vec![Backend {
            name: "web".into(),
            bind: folder.front,
            servers: vec![server("blue", folder.blue, 256), server("green", folder.green, 0)],
            check: Some(check),
        }],
        runtime: vec![RuntimeSocket {
            address: RuntimeAddress::Unix(folder.socket.clone()),
            level: Level::Admin,
        }],
        metrics: None,
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

type Services = BTreeMap<String, (oneshot::Sender<()>, tokio::task::JoinHandle<()>)>;

/// Puts a version on a side, in place of what was there.
async fn serve(folder: &Folder, services: &mut Services, side: &str, version: &str) {
    if let Some((end, gone)) = services.remove(side) {
        drop(end);
        gone.await.unwrap();
    }
    let address = if side == "blue" { folder.blue } else { folder.green };
    let listener = TcpListener::bind(address).await.unwrap();
    let error_rate = if version == FAILS.0 { FAILS.1 } else { 0.0 };
    let (version, name) = (version.to_string(), side.to_string());
    let options = service::Options { version, side: name, error_rate, latency: LATENCY, seed: 7 };
    let (end, ended) = oneshot::channel::<()>();
    services.insert(side.into(), (end, tokio::spawn(service::serve(options, listener, ended))));
}

async fn deploys(listener: TcpListener, folder: Folder, mut services: Services) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        if stream.read_line(&mut line).await.is_err() {
            continue;
        }
        let Some((side, version)) = line.trim().split_once(' ') else { continue };
        serve(&folder, &mut services, side, version).await;
        let _ = stream.write_all(format!("{version} is up on {side}\n").as_bytes()).await;
    }
}

/// The splitter's runtime API by TCP.
async fn relay(listener: TcpListener, socket: impl AsRef<Path>, shut: Arc<AtomicBool>) {
    while let Ok((mut near, _)) = listener.accept().await {
        if shut.load(Ordering::SeqCst) {
            continue;
        }
        let Ok(mut far) = tokio::net::UnixStream::connect(&socket).await else { continue };
        tokio::spawn(async move {
            let near: &mut TcpStream = &mut near;
            let _ = tokio::io::copy_bidirectional(near, &mut far).await;
        });
    }
}
