//! The real binary in front of the double, with the proxy between them.

#![allow(dead_code, reason = "what one suite does not use, another does")]

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

use crate::{
    double::{Double, environment},
    proxy::{Proxy, Trouble, When},
};

pub struct Production {
    pub double: Double,
    pub proxy: Proxy,
    folder: TempDir,
    extra: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Production {
    /// An empty AWS, and this `tidegate.yml`.
    pub fn new(config: &str) -> Production {
        Production::before(Double::start(), config)
    }

    /// This AWS, and this `tidegate.yml`.
    pub fn before(double: Double, config: &str) -> Production {
        let proxy = Proxy::start(&double.url);
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("tidegate.yml"), config).unwrap();
        Production { double, proxy, folder, extra: Vec::new() }
    }

    /// One more environment variable for all commands.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Production {
        self.extra.push((name.into(), value.into()));
        self
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file beside the config.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A program that finds this AWS and nothing else of the machine's own configuration.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let bin = Path::new(env!("CARGO_BIN_EXE_tidegate")).parent().unwrap();
        command
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
            .env("HOME", self.folder())
            .env("TIDEGATE_RUN", "run-1")
            .envs(environment(&self.proxy.url))
            .envs(self.extra.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs `tidegate` with these arguments, separated by blanks.
    pub fn run(&self, arguments: &str) -> Ran {
        let output =
            self.program(env!("CARGO_BIN_EXE_tidegate")).args(arguments.split_whitespace()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs it and expects this exit code.
    pub fn expect(&self, code: i32, arguments: &str) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, code, "tidegate {arguments}\n{}{}", ran.out, ran.err);
        ran
    }

    fn start(&self, arguments: &str) -> Child {
        self.program(env!("CARGO_BIN_EXE_tidegate"))
            .args(arguments.split_whitespace())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Runs it and kills it while its `n`th request has no answer yet, before or after its effect.
    /// `false`: it ended before it made so many.
    pub fn killed_at(&self, n: usize, after: bool, arguments: &str) -> bool {
        let trouble = if after { Trouble::HangAfter } else { Trouble::Hang };
        self.proxy.forget();
        self.proxy.calm();
        self.proxy.plan(When::nth("*", "*", n), trouble);
        let mut child = self.start(arguments);
        let killed = loop {
            if !self.proxy.troubles().is_empty() {
                child.kill().unwrap();
                break true;
            }
            if child.try_wait().unwrap().is_some() {
                break !self.proxy.troubles().is_empty();
            }
            #[expect(clippy::disallowed_methods, reason = "two processes, and neither tells the other")]
            std::thread::sleep(std::time::Duration::from_millis(2));
        };
        child.wait().unwrap();
        self.proxy.calm();
        killed
    }
}
