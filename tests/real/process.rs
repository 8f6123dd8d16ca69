//! Processes of a test: waited for with a watchdog, heard line by line, looked up where they may be left.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::fd::OwnedFd,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, ExitStatus, Output},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

/// Nothing here takes this long, even on a busy machine. It decides nothing but when a test gives up.
pub const WATCHDOG: Duration = Duration::from_secs(120);

/// A child whose output is heard while it runs; killed when dropped.
pub struct Heard {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Heard {
    pub fn spawn(command: &mut std::process::Command) -> Heard {
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}: see scripts/test"));
        let (sender, lines) = channel();
        let out = child.stdout.take().map(|o| Box::new(o) as Box<dyn std::io::Read + Send>);
        let err = child.stderr.take().map(|e| Box::new(e) as Box<dyn std::io::Read + Send>);
        for pipe in [out, err].into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Heard { child, lines, seen: Vec::new() }
    }

    pub fn pid(&self) -> Pid {
        pid(self.child.id())
    }

    /// Waits for a line that holds this text.
    pub fn until(&mut self, text: &str) -> String {
        while let Ok(line) = self.lines.recv_timeout(WATCHDOG) {
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
        panic!("it never said {text:?}:\n{}", self.seen.join("\n"));
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Its end, and all that it said.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let pidfd = pidfd_open(self.pid(), PidfdFlags::empty()).unwrap();
        let over = gone(&pidfd);
        if !over {
            let _ = self.child.kill();
        }
        let status = self.child.wait().unwrap();
        // The pipes may be held by a service that outlives the child: what is there by now is enough.
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) {
            self.seen.push(line);
        }
        let text = self.seen.join("\n");
        assert!(over, "it did not end:\n{text}");
        (status, text)
    }

    /// Its exit code, and all that it said.
    pub fn code(self) -> (i32, String) {
        let (status, text) = self.ended();
        (status.code().unwrap_or_else(|| panic!("killed by {:?}:\n{text}", status.signal())), text)
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end.
pub fn run(command: &mut std::process::Command) -> Output {
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}: see scripts/test"));
    let readers = [
        child.stdout.take().map(|o| Box::new(o) as Box<dyn std::io::Read + Send>),
        child.stderr.take().map(|e| Box::new(e) as Box<dyn std::io::Read + Send>),
    ];
    let [out, err] = readers.map(|pipe| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes);
            }
            bytes
        })
    });
    let pidfd = pidfd_open(pid(child.id()), PidfdFlags::empty()).unwrap();
    let over = gone(&pidfd);
    if !over {
        let _ = child.kill();
    }
    let status = child.wait().unwrap();
    let output = Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() };
    assert!(over, "{command:?} did not end:\n{}", told(&output));
    output
}

/// Runs it and returns its exit code with everything it said.
pub fn code(command: &mut std::process::Command) -> (i32, String) {
    let output = run(command);
    let text = told(&output);
    (output.status.code().unwrap_or_else(|| panic!("killed by {:?}:\n{text}", output.status.signal())), text)
}

/// Runs it; it must end with 0.
pub fn good(command: &mut std::process::Command) -> String {
    let (code, text) = code(command);
    assert_eq!(code, 0, "{command:?}:\n{text}");
    text
}

pub fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn pid(id: u32) -> Pid {
    i32::try_from(id).ok().and_then(Pid::from_raw).unwrap()
}

/// A process that can be waited for though it is no child.
pub fn handle(text: &str) -> OwnedFd {
    let raw: i32 = text.trim().parse().unwrap_or_else(|_| panic!("{text:?} is no process id"));
    pidfd_open(Pid::from_raw(raw).unwrap(), PidfdFlags::empty()).unwrap()
}

/// Waits for the end of a process; false when the watchdog barked.
pub fn gone(process: &OwnedFd) -> bool {
    let timeout = Timespec { tv_sec: WATCHDOG.as_secs().cast_signed(), tv_nsec: 0 };
    let mut ends = [PollFd::new(process, PollFlags::IN)];
    poll(&mut ends, Some(&timeout)).unwrap() > 0
}

/// The processes that work in this folder or name it on their command line.
pub fn at_work_in(folder: &Path) -> Vec<(Pid, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let here = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
        // A process that has ended and was not waited for has no command line.
        if !line.is_empty() && (here || line.contains(&folder.display().to_string())) {
            found.push((pid(id), line));
        }
    }
    found
}

/// Every process of the folder ends without being told once more.
pub fn nobody_left_in(folder: &Path) {
    for _ in 0..100 {
        let left = at_work_in(folder);
        if left.is_empty() {
            return;
        }
        for (id, line) in left {
            if let Ok(process) = pidfd_open(id, PidfdFlags::empty()) {
                assert!(gone(&process), "it was left behind: {line}");
            }
        }
    }
    panic!("new processes keep coming: {:?}", at_work_in(folder));
}
