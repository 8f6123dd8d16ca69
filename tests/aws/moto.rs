//! moto, a stand-in for AWS that others wrote. It lies in places: see where it is not used.

#![allow(dead_code, reason = "what one suite does not use, another does")]

use sha2::{Digest as _, Sha256};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

/// It ends with the process that started it, even if that is killed.
const PROGRAM: &str = "
import os, sys, threading
from moto.server import main
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
main(['-H', '127.0.0.1', '-p', '0'])
";
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running moto; it ends when dropped.
pub struct Moto {
    pub url: String,
    child: Child,
}

impl Moto {
    pub fn start() -> Moto {
        let python = python();
        let mut child = Command::new(python.join("bin/python"))
            .args(["-c", PROGRAM])
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", python.display()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, told) = mpsc::channel();
        // reads on for as long as moto writes, so that it never waits for us
        std::thread::spawn(move || {
            let mut before = String::new();
            for line in lines.map_while(Result::ok) {
                match line.split_once("Running on ") {
                    Some((_, url)) => drop(tell.send(Ok(url.trim().to_string()))),
                    None if before.len() < 4000 => before = before + &line + "\n",
                    None => {}
                }
            }
            let _ = tell.send(Err(before));
        });
        match told.recv_timeout(START_LIMIT) {
            Ok(Ok(url)) => Moto { url, child },
            Ok(Err(said)) => panic!("moto did not start:\n{said}"),
            Err(_) => {
                let _ = child.kill();
                panic!("moto did not say where it listens within {START_LIMIT:?}")
            }
        }
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.post("/moto-api/reset");
    }

    /// Runs a script beside this file: `STEP URL ARGUMENTS`. Returns what it printed.
    pub fn by_hand(&self, script: &str, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws").join(script);
        let mut command = Command::new(python().join("bin/python"));
        command.arg(script).arg(arguments[0]).arg(&self.url).args(&arguments[1..]);
        let output = command.env_remove("AWS_PROFILE").output().unwrap();
        let [said, wrong] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{arguments:?}: {said}{wrong}");
        said
    }

    fn post(&self, path: &str) {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        )
        .unwrap();
        let answer = crate::wire::read_answer(&mut BufReader::new(stream), "POST").unwrap();
        assert_eq!(answer.status(), 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Python environment that `need_moto` of `scripts/setup` makes.
pub fn python() -> PathBuf {
    let folder = std::env::var_os("TIDEGATE_TEST_PYTHON").map(PathBuf::from).unwrap_or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
        let digest = Sha256::digest(include_bytes!("../requirements.txt"));
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        cache.join("tidegate").join(format!("python-{}", &digest[..12]))
    });
    assert!(
        folder.join("complete").exists(),
        "{} is missing: run `bash -c '. scripts/setup; need_moto'`, or all of `scripts/test`",
        folder.display()
    );
    folder
}
