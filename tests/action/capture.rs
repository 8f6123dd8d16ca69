//! A process whose two streams are kept byte by byte and can be waited on.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use std::{
    io::Read,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use super::process::{WATCHDOG, pid};

/// Killed when dropped.
pub struct Captured {
    child: Child,
    shared: Arc<Shared>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    said: Mutex<Said>,
    more: Condvar,
}

/// Both streams.
#[derive(Clone, Debug, Default)]
pub struct Said {
    pub out: Vec<u8>,
    pub err: Vec<u8>,
}

impl Said {
    pub fn text(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.out), String::from_utf8_lossy(&self.err))
    }
}

impl Captured {
    pub fn spawn(command: &mut Command) -> Captured {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}: see scripts/test"));
        let shared = Arc::new(Shared::default());
        let out = reader(child.stdout.take().unwrap(), shared.clone(), |said| &mut said.out);
        let err = reader(child.stderr.take().unwrap(), shared.clone(), |said| &mut said.err);
        Captured { child, shared, readers: vec![out, err] }
    }

    pub fn pid(&self) -> Pid {
        pid(self.child.id())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until it has printed this.
    pub fn until(&self, text: &str) {
        let said = self.shared.said.lock().unwrap();
        let lacks = |said: &mut Said| !said.text().contains(text);
        let (said, timeout) = self.shared.more.wait_timeout_while(said, WATCHDOG, lacks).unwrap();
        assert!(!timeout.timed_out(), "it never said {text:?}:\n{}", said.text());
    }

    /// Whether it ends within this time.
    pub fn ends_within(&self, time: Duration) -> bool {
        let process = pidfd_open(self.pid(), PidfdFlags::empty()).unwrap();
        let time = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
        poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&time)).unwrap() > 0
    }

    /// Its exit code, -1 where a signal killed it, and all that it said.
    pub fn ended(mut self) -> (i32, Said) {
        let over = self.ends_within(WATCHDOG);
        if !over {
            let _ = self.child.kill();
        }
        let status = self.child.wait().unwrap();
        for reader in std::mem::take(&mut self.readers) {
            reader.join().unwrap();
        }
        let said = self.shared.said.lock().unwrap().clone();
        assert!(over, "it did not end:\n{}", said.text());
        (status.code().unwrap_or(-1), said)
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reader(
    mut pipe: impl Read + Send + 'static,
    shared: Arc<Shared>,
    stream: fn(&mut Said) -> &mut Vec<u8>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut block = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut block) {
            stream(&mut shared.said.lock().unwrap()).extend_from_slice(&block[..count]);
            shared.more.notify_all();
        }
    })
}
