//! A real PostgreSQL server for one test.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Stopped when it goes.
pub struct Server {
    child: Child,
    port: u16,
    bin: PathBuf,
    _folder: tempfile::TempDir,
}

const PASSWORD: &str = "s3cr3t-pw";

impl Server {
    /// On a free loopback port, with a superuser `postgres` whose password is asked for.
    pub fn start() -> Server {
        let bin = binaries();
        let folder = tempfile::Builder::new().prefix("tidegate-pg").tempdir_in("/tmp").unwrap();
        let data = folder.path().join("data");
        copy(&template(&bin), &data);
        own(folder.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = as_user(&bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-k", "", "-h", "127.0.0.1", "-F"])
            .args(["-c", "shared_buffers=16MB", "-c", "max_connections=30", "-c", "lc_messages=C"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready to accept connections") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "PostgreSQL did not start");
        }
        // A full pipe would stop the server.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Server { child, port, bin, _folder: folder }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL through psql and returns what it prints.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let done = Command::new(self.bin.join("psql"))
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url(database)])
            .output()
            .unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::QUIT);
        }
        let _ = self.child.wait();
    }
}

fn binaries() -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop().expect("no PostgreSQL server in /usr/lib/postgresql: scripts/test installs what is needed")
}

/// A data folder made once and copied from then on.
fn template(bin: &Path) -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(cache).unwrap();
    let lock = File::create(cache.join("postgres.lock")).unwrap();
    lock.lock().unwrap();
    let version = bin.parent().and_then(Path::file_name).unwrap().to_string_lossy();
    let template = cache.join(format!("postgres-{version}"));
    if !template.join("PG_VERSION").is_file() {
        let work = tempfile::Builder::new().prefix("tidegate-initdb").tempdir_in("/tmp").unwrap();
        let password = work.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        own(work.path());
        let made = as_user(&bin.join("initdb"))
            .args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "-N"])
            .arg(format!("--pwfile={}", password.display()))
            .arg("-D")
            .arg(work.path().join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let part = cache.join("postgres-part");
        let _ = fs::remove_dir_all(&part);
        copy(&work.path().join("data"), &part);
        fs::rename(&part, &template).unwrap();
    }
    template
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// PostgreSQL refuses root.
fn account() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|l| l.starts_with("postgres:"));
    let line = line.expect("no user postgres: scripts/test installs what is needed");
    let mut ids = line.split(':').skip(2).map(|id| id.parse().unwrap());
    Some((ids.next().unwrap(), ids.next().unwrap()))
}

fn as_user(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/tmp");
    if let Some((user, group)) = account() {
        command.uid(user).gid(group);
    }
    command
}

fn own(path: &Path) {
    let Some((user, group)) = account() else { return };
    chown(path, Some(user), Some(group)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            own(&entry.unwrap().path());
        }
    }
}
