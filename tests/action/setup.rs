//! `setup/install`, which puts the binary of a release on PATH: against a release on loopback, and a `gh` that
//! answers as the test says. What it starts is real: `curl`, `tar`, `sha256sum`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

use super::{
    demo::Demo,
    http_server::{HttpServer, Reply, status},
    manifest::repository,
    runner::Job,
};

/// What `gh` answers: the tags of `release list`, newest first, and whether an attestation is good.
const GH: &str = r#"#!/bin/sh
echo "$*" >>"$GH_ASKED"
case $1 in
  release) printf 'v1.2.3\nv1.10.0\nv1.11.0-rc.1\nv1.9.9\nv0.9.0\n' ;;
  attestation) [ "$ATTESTED" = yes ] ;;
esac
"#;

struct Machine {
    folder: TempDir,
    host: HttpServer,
    sums: Arc<Mutex<String>>,
    variables: Vec<(&'static str, String)>,
}

struct Ended {
    code: i32,
    said: String,
    /// What is on PATH for the steps that follow.
    path: Vec<PathBuf>,
    environment: String,
}

impl Machine {
    /// Whose `uname` says this. Every version that is asked for is there, for every machine.
    fn new(system: &str, processor: &str) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bin", "temp", "release"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        program(&folder.path().join("bin/gh"), GH);
        let uname = format!("#!/bin/sh\ncase $1 in -s) echo {system} ;; -m) echo {processor} ;; esac\n");
        program(&folder.path().join("bin/uname"), &uname);
        let (release, sums) = (folder.path().join("release"), Arc::new(Mutex::new(String::new())));
        let told = sums.clone();
        let host = HttpServer::start(move |asked| {
            let path = asked.line.strip_prefix("GET /tidegate/tidegate/releases/download/v").unwrap_or("");
            match path.split_once('/') {
                Some((version, "SHA256SUMS")) => {
                    let other = format!("{}  tidegate-other-{version}.tar.gz\n", "0".repeat(64));
                    file(format!("{other}{}", told.lock().unwrap()).as_bytes())
                }
                Some((version, name)) if name.ends_with(".tar.gz") => {
                    let (bytes, sum) = archive(&release, version, name.contains("windows"));
                    let mut told = told.lock().unwrap();
                    if told.is_empty() {
                        *told = format!("{sum}  {name}\n");
                    }
                    file(&bytes)
                }
                _ => status(404, "no such file"),
            }
        });
        Machine { folder, host, sums, variables: vec![("ATTESTED", "yes".into())] }
    }

    fn linux() -> Machine {
        Machine::new("Linux", "x86_64")
    }

    /// With a tidegate on PATH already.
    fn with_tidegate(self, version: &str) -> Machine {
        program(&self.folder.path().join("bin/tidegate"), &format!("#!/bin/sh\necho tidegate {version}\n"));
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Machine {
        self.variables.push((name, value.into()));
        self
    }

    fn install(&self, version: &str) -> Ended {
        let at = |name: &str| self.folder.path().join(name);
        for name in ["path", "environment", "gh-asked"] {
            fs::write(at(name), "").unwrap();
        }
        let mut install = Command::new(repository().join("setup/install"));
        install.current_dir(self.folder.path()).env_clear().envs(self.variables.iter().cloned());
        install.env("PATH", format!("{}:/usr/bin:/bin", at("bin").display())).env("VERSION", version);
        install.env("GITHUB_SERVER_URL", self.host.url("")).env("RUNNER_TEMP", at("temp"));
        install.env("GITHUB_PATH", at("path")).env("GITHUB_ENV", at("environment"));
        let ended = install.env("GH_ASKED", at("gh-asked")).output().unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        Ended {
            code: ended.status.code().unwrap(),
            said: String::from_utf8(said).unwrap(),
            path: fs::read_to_string(at("path")).unwrap().lines().map(PathBuf::from).collect(),
            environment: fs::read_to_string(at("environment")).unwrap(),
        }
    }

    fn asked_of_gh(&self) -> String {
        fs::read_to_string(self.folder.path().join("gh-asked")).unwrap()
    }
}

impl Ended {
    #[track_caller]
    fn puts_on_path(&self, program: &str, version: &str) {
        assert_eq!(self.code, 0, "{}", self.said);
        let [folder] = &self.path[..] else { panic!("{:?}: {}", self.path, self.said) };
        let said = Command::new(folder.join(program)).output().unwrap().stdout;
        assert_eq!(String::from_utf8(said).unwrap().trim(), format!("tidegate {version}"));
    }

    #[track_caller]
    fn refuses(&self, why: &str) {
        assert_ne!(self.code, 0, "{}", self.said);
        assert!(self.said.contains(why), "{}", self.said);
        assert!(self.path.is_empty() && self.environment.is_empty(), "{:?}", self.path);
    }
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn file(bytes: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len());
    Reply::Raw([head.as_bytes(), bytes].concat())
}

/// A release's archive with a program that tells its version, and the SHA-256.
fn archive(folder: &Path, version: &str, windows: bool) -> (Vec<u8>, String) {
    let name = if windows { "tidegate.exe" } else { "tidegate" };
    program(&folder.join(name), &format!("#!/bin/sh\necho tidegate {version}\n"));
    let run = |line: String| {
        let done = Command::new("sh").args(["-euc", &line]).current_dir(folder).output().unwrap();
        assert!(done.status.success(), "{line}");
        String::from_utf8(done.stdout).unwrap()
    };
    let sum = run(format!("tar -czf archive {name}; sha256sum archive | cut -d ' ' -f 1"));
    (fs::read(folder.join("archive")).unwrap(), sum.trim().into())
}

#[test]
fn a_release_is_downloaded_and_checked_and_put_on_path() {
    let machine = Machine::linux();
    machine.install("v1.2.3").puts_on_path("tidegate", "1.2.3");
    let asked = machine.asked_of_gh();
    let workflow = "--signer-workflow tidegate/tidegate/.github/workflows/release.yml";
    let verified =
        format!("attestation verify tidegate-linux-amd64.tar.gz --repo tidegate/tidegate {workflow}");
    assert_eq!(asked.trim(), verified);
}

#[test]
fn an_archive_with_another_checksum_is_refused_before_anything_of_it_runs() {
    let machine = Machine::linux();
    *machine.sums.lock().unwrap() = format!("{}  tidegate-linux-amd64.tar.gz\n", "5".repeat(64));
    let ended = machine.install("v1.2.3");
    ended.refuses(&format!("instead of {}; nothing was installed", "5".repeat(64)));
    assert_eq!(machine.asked_of_gh(), "");
    assert!(!machine.folder.path().join("temp/tidegate-v1.2.3/tidegate").exists());
}

#[test]
fn an_archive_that_the_checksums_do_not_name_is_refused() {
    let machine = Machine::linux();
    *machine.sums.lock().unwrap() = format!("{}  tidegate-linux-amd64.tar.gz.old\n", "5".repeat(64));
    machine.install("v1.2.3").refuses("SHA256SUMS of v1.2.3 does not name tidegate-linux-amd64.tar.gz");
}

#[test]
fn an_archive_that_another_workflow_built_is_refused() {
    let machine = Machine::linux().with("ATTESTED", "no");
    machine.install("v1.2.3").refuses("was not built by this project's release workflow");
    assert!(!machine.folder.path().join("temp/tidegate-v1.2.3/tidegate").exists());
}

#[test]
fn a_release_that_is_not_there_is_told_with_its_address() {
    let machine = Machine::linux().with("REPOSITORY", "shop/tidegate");
    let address = machine.host.url("/shop/tidegate/releases/download/v1.2.3/tidegate-linux-amd64.tar.gz");
    machine.install("v1.2.3").refuses(&format!("failed to download {address}"));
}

#[test]
fn the_wanted_version_on_path_is_taken_and_nothing_is_asked_for() {
    let machine = Machine::linux().with_tidegate("1.2.3");
    let ended = machine.install("v1.2.3");
    assert_eq!((ended.code, ended.said.trim()), (0, "tidegate v1.2.3 is on PATH"));
    assert!(ended.path.is_empty() && machine.host.asked().is_empty());
    assert_eq!(machine.asked_of_gh(), "");
}

#[test]
fn another_version_on_path_is_not_taken() {
    let machine = Machine::linux().with_tidegate("1.2.2");
    machine.install("v1.2.3").puts_on_path("tidegate", "1.2.3");
}

#[test]
fn whatever_is_on_path_is_taken_where_that_is_asked_for() {
    let by_input = Machine::linux().with_tidegate("1.2.2");
    let by_variable = Machine::linux().with_tidegate("1.2.2").with("TIDEGATE_SETUP", "installed");
    for (machine, version) in [(by_input, "installed"), (by_variable, "v1")] {
        let ended = machine.install(version);
        assert_eq!((ended.code, ended.said.trim()), (0, "tidegate v1.2.2 is on PATH"));
        assert_eq!(ended.environment, "TIDEGATE_SETUP=installed\n");
        assert!(ended.path.is_empty() && machine.host.asked().is_empty());
    }
    Machine::linux().install("installed").refuses("no tidegate on PATH");
}

#[test]
fn a_major_version_is_its_newest_release_by_number() {
    let machine = Machine::linux();
    machine.install("v1").puts_on_path("tidegate", "1.10.0");
    machine.install("v3").refuses("has no release of v3");
    machine.install("main").refuses("not a version: main");
}

#[test]
fn each_machine_gets_the_archive_for_it() {
    for (system, processor, name, program) in [
        ("Linux", "x86_64", "linux-amd64", "tidegate"),
        ("Linux", "aarch64", "linux-arm64", "tidegate"),
        ("Darwin", "arm64", "macos-arm64", "tidegate"),
        ("Darwin", "x86_64", "macos-amd64", "tidegate"),
        ("MINGW64_NT-10.0-26100", "x86_64", "windows-amd64", "tidegate.exe"),
        ("MSYS_NT-10.0-26100", "x86_64", "windows-amd64", "tidegate.exe"),
    ] {
        let machine = Machine::new(system, processor);
        machine.install("v1.2.3").puts_on_path(program, "1.2.3");
        let first = machine.host.asked()[0].line.clone();
        assert!(first.ends_with(&format!("/v1.2.3/tidegate-{name}.tar.gz")), "{first}");
    }
    Machine::new("SunOS", "sun4v").install("v1.2.3").refuses("no binary for SunOS on sun4v");
}

#[test]
fn an_action_that_runs_on_the_machine_takes_the_binary_of_its_own_version_first() {
    let (demo, job) = (Demo::start(false), Job::new());
    demo.check_out(&job, None);
    let looked = job.step("smoke-test").with("release", "v2").with("dry-run", "true").run();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        looked.said.text().starts_with(&format!("tidegate v{version} is on PATH\n")),
        "{}",
        looked.said.text()
    );
    assert_eq!(looked.output("release"), Some("v2"), "{}", looked.said.text());
}
