//! A production on loopback: a real HAProxy before two sides, and folders that release to it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tidegate::{
    demo::splitter::{Backend, HealthCheck, Level, Server, Splitter},
    domain::{
        history::{History, Release},
        record::{Event, Record, Step},
    },
};

use super::haproxy::HaProxy;

pub struct World {
    haproxy: HaProxy,
}

/// Backend `api` has green at nothing.
pub const BLUE_HAS_ALL: [u64; 2] = [250, 0];
pub const GREEN_HAS_ALL: [u64; 2] = [0, 250];
pub const GREEN_HAS_A_TENTH: [u64; 2] = [225, 25];
const UP_POLLS_MAX: u32 = 1000;

impl World {
    /// Returns when both sides are healthy.
    pub fn start() -> World {
        let sides = [side("blue"), side("green")];
        let server =
            |name: &str, address, weight| Server { name: name.into(), address, weight, disabled: false };
        let check = HealthCheck { interval: Duration::from_millis(200), ..HealthCheck::get("/health") };
        let backend = Backend {
            name: "api".into(),
            bind: "127.0.0.1:0".parse().unwrap(),
            servers: vec![server("blue", sides[0], 250), server("green", sides[1], 0)],
            check: Some(check),
        };
        let splitter = Splitter { backends: vec![backend], ..Splitter::default() };
        let world = World { haproxy: HaProxy::start(&splitter).unwrap_or_else(|e| panic!("{e}")) };
        for _ in 0..UP_POLLS_MAX {
            if world.ask("show stat").lines().filter(|row| row.contains(",L7OK,")).count() == 2 {
                return world;
            }
            #[expect(clippy::disallowed_methods, reason = "HAProxy tells nobody when a check has passed")]
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the sides did not become healthy");
    }

    pub fn socket(&self) -> PathBuf {
        self.haproxy.socket(Level::Admin)
    }

    pub fn operator_socket(&self) -> PathBuf {
        self.haproxy.socket(Level::Operator)
    }

    pub fn front(&self) -> SocketAddr {
        self.haproxy.address("api").unwrap()
    }

    pub fn ask(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Of blue and green, as HAProxy says.
    pub fn weights(&self) -> [u64; 2] {
        ["blue", "green"].map(|side| {
            let answer = self.ask(&format!("get weight api/{side}"));
            answer
                .split(' ')
                .next()
                .and_then(|weight| weight.parse().ok())
                .unwrap_or_else(|| panic!("{answer}"))
        })
    }

    pub fn set_weights(&self, [blue, green]: [u64; 2]) {
        self.ask(&format!("set weight api/blue {blue};set weight api/green {green}"));
        assert_eq!(self.weights(), [blue, green]);
    }

    /// The service `api` as a config has it, through this socket.
    pub fn service(&self, socket: &Path) -> String {
        format!(
            "services:\n  api:\n    haproxy: {{socket: {}, backend: api, sides: [blue, green]}}\n    url: http://{}\n",
            socket.display(),
            self.front()
        )
    }
}

/// A side: answers every request with its name.
fn side(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || answer(connection, name));
        }
    });
    address
}

fn answer(connection: TcpStream, name: &str) {
    let _ = connection.set_nodelay(true);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-side: {name}\r\n\r\n{name}", name.len());
    let Ok(mut writer) = connection.try_clone() else { return };
    let mut reader = BufReader::new(connection);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line == b"\r\n" => {
                if writer.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            Ok(_) => {}
        }
    }
}

/// A folder with a `tidegate.yml`.
pub struct Site {
    folder: TempDir,
}

impl Site {
    pub fn new(config: &str) -> Site {
        let site = Site { folder: tempfile::Builder::new().prefix("tidegate-real").tempdir().unwrap() };
        site.write("tidegate.yml", &format!("name: shop\n{config}"));
        site
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// A small database `shop.db`.
    pub fn with_database(self) -> Site {
        let connection = rusqlite::Connection::open(self.file("shop.db")).unwrap();
        connection
            .execute_batch("create table orders (item text); insert into orders values ('lamp'), ('chair');")
            .unwrap();
        self
    }

    /// The program in this folder, with nothing of the surroundings but the path.
    pub fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.path()).env("TIDEGATE_CALL_SECONDS", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `tidegate` with arguments that hold no spaces.
    pub fn tidegate(&self, arguments: &str) -> Command {
        let mut command = self.program(TIDEGATE);
        command.args(arguments.split_whitespace());
        command
    }

    pub fn journal(&self) -> PathBuf {
        self.file("journal/shop/production")
    }

    /// All records; a sequence that could not have been written is a panic.
    pub fn records(&self) -> Vec<Record> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(self.journal())
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .collect();
        paths.sort();
        let records: Vec<Record> = paths
            .iter()
            .map(|p| serde_json::from_str(&std::fs::read_to_string(p).unwrap()).unwrap())
            .collect();
        for (index, record) in records.iter().enumerate() {
            assert_eq!(record.seq, index as u64 + 1, "a record is missing");
        }
        records
    }

    pub fn history(&self) -> History {
        History::replay(&self.records()).unwrap_or_else(|e| panic!("the journal is illegal: {e}"))
    }

    pub fn release(&self) -> Release {
        self.history().release.unwrap()
    }

    /// The intents of shares, as wanted.
    pub fn shares_intended(&self) -> Vec<u16> {
        self.records()
            .iter()
            .filter_map(|record| match &record.event {
                Event::Intent { step: Step::Share { moves, .. } } => Some(moves),
                _ => None,
            })
            .map(|moves| moves.values().next().unwrap().wanted.basis_points())
            .collect()
    }

    /// The finished snapshots of database `main`, and what else lies beside them.
    pub fn snapshots(&self) -> (Vec<String>, Vec<String>) {
        let names = std::fs::read_dir(self.file(".tidegate/snapshots/main")).into_iter().flatten();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let (kept, rest) =
            names.partition(|n| !n.starts_with('.') && (n.ends_with(".sqlite") || n.ends_with(".dump")));
        (kept, rest)
    }
}

pub const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");
/// A journal in the folder with a short lease.
pub const JOURNAL: &str = "journal: {file: {path: journal, lease: 1s}}\n";
