//! The folder of the demo: the config that drives it, the deploy script, the database, the journal. All
//! of it stays, to be looked at.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Where everything of one demo is.
#[derive(Clone, Debug)]
pub struct Folder {
    pub path: PathBuf,
    /// The runtime API of the splitter.
    pub socket: PathBuf,
    /// Where the users' requests go.
    pub front: SocketAddr,
    pub blue: SocketAddr,
    pub green: SocketAddr,
}

/// A unix socket's path may not be longer than this everywhere.
const SOCKET_PATH_MAX: usize = 100;

const DEPLOY: &str = r#"#!/bin/sh
# What `deploy` runs: the new version on the idle side, in place of what was there.
# tidegate tells by TIDEGATE_SIDE and TIDEGATE_RELEASE which. setsid: the service outlives this script.
set -eu
cd "$(dirname "$0")"
side=$TIDEGATE_SIDE
case $side in
  blue) listen=@blue@ ;;
  green) listen=@green@ ;;
esac
case $TIDEGATE_RELEASE in
  v3) fails=0.05 ;; # the bug that nobody has noticed yet
  *) fails=0 ;;
esac
if [ -f "$side.pid" ]; then kill "$(cat "$side.pid")" 2>/dev/null || true; fi
: >"$side.log"
setsid "$TIDEGATE_DEMO" demo serve --side "$side" --running "$TIDEGATE_RELEASE" --listen "$listen" --fails "$fails" --beside "$TIDEGATE_DEMO_PROCESS" >"$side.log" 2>&1 &
echo $! >"$side.pid"
until grep -q listening "$side.log"; do
  kill -0 "$(cat "$side.pid")" || { cat "$side.log"; exit 1; }
  sleep 0.05
done
echo "$TIDEGATE_RELEASE is up on $side ($listen)"
"#;

const CONFIG: &str = r#"# What tidegate is told about this production. `tidegate plan --explain` fills in every default.
name: shop
services:
  web:
    haproxy: {socket: @socket@, backend: web, sides: [blue, green]}
    deploy: {run: ./deploy.sh}            # brings the new version up on the idle side
    url: http://@front@                   # the public face
    health: /health
    version: /version#/version            # tells which version answers
databases:
  main: {sqlite: shop.db, keep: 14d}      # snapshotted before anything changes
migrations:
  stock: {sql: "create table if not exists stock (item text primary key, pieces integer)", database: main}
stages: [10% for 4s, 50% for 4s, 100% for 4s]
checks:
  errors: {haproxy: errors, needs: 100 events}     # may not be worse than baseline
  p95: {scrape: {url: /metrics, histogram: http_request_duration_seconds, at: p95}, fail: above 500ms, warn: above 2x baseline}
  healthy: {target: instances, fail: below 50%}
smoke:
  version: {http: GET /version, expect: {status: 200, /version: present}}
  front: {http: GET /health, expect: {status: 200, /status: ok}}
"#;

const HAPROXY: &str = r#"global
  noreuseport
  stats socket @socket@ mode 600 level admin
defaults
  mode http
  retries 3
  option redispatch
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend web-front
  bind @front@
  default_backend web
backend web
  balance roundrobin
  option httpchk GET /health
  default-server inter 200ms rise 2 fall 3
  server blue @blue@ check weight 256
  server green @green@ check weight 0
"#;

impl Folder {
    /// Makes the folder anew; one that holds something else than an earlier demo is refused.
    pub fn create(path: &Path) -> io::Result<Self> {
        if path.exists() {
            let ours = path.join("deploy.sh").exists() && path.join("tidegate.yml").exists();
            let empty = fs::read_dir(path)?.next().is_none();
            if !ours && !empty {
                let message = format!(
                    "{} exists and is not an earlier demo's; name another with --dir",
                    path.display()
                );
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
            if ours {
                fs::remove_dir_all(path)?;
            }
        }
        fs::create_dir_all(path)?;
        let path = path.canonicalize()?;
        let near = path.join("haproxy.sock");
        let socket = if near.as_os_str().len() <= SOCKET_PATH_MAX {
            near
        } else {
            std::env::temp_dir().join(format!("tidegate-demo-{}.sock", std::process::id()))
        };
        let [front, blue, green] = free_addresses()?;
        let folder = Folder { path, socket, front, blue, green };
        folder.write("tidegate.yml", CONFIG)?;
        folder.write("deploy.sh", DEPLOY)?;
        fs::set_permissions(folder.path.join("deploy.sh"), fs::Permissions::from_mode(0o755))?;
        Ok(folder)
    }

    /// Writes the config of a real HAProxy; returns its path.
    pub fn write_haproxy(&self) -> io::Result<PathBuf> {
        self.write("haproxy.cfg", HAPROXY)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let file = self.path.join(name);
        let text = text
            .replace("@socket@", &self.socket.display().to_string())
            .replace("@front@", &self.front.to_string())
            .replace("@blue@", &self.blue.to_string())
            .replace("@green@", &self.green.to_string());
        fs::write(&file, text)?;
        Ok(file)
    }

    /// Ends the services that `deploy.sh` started.
    pub fn stop_services(&self) {
        for side in ["blue", "green"] {
            let pid = fs::read_to_string(self.path.join(format!("{side}.pid"))).ok();
            let pid = pid.and_then(|p| p.trim().parse().ok()).and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                // Gone already is as good.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            let _ = fs::remove_file(self.path.join(format!("{side}.pid")));
        }
        let _ = fs::remove_file(&self.socket);
    }
}

/// Three free loopback addresses, all different.
fn free_addresses() -> io::Result<[SocketAddr; 3]> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    Ok([listeners[0].local_addr()?, listeners[1].local_addr()?, listeners[2].local_addr()?])
}
