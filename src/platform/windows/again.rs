//! There is no `exec`: a child does the work, and this process waits for it and ends as it did.

use std::io;

use super::{Signals, Tree};

/// Ends this process with a new run of its own program. Returns only if that could not be started.
pub fn start_again(prepare: impl FnOnce(&mut std::process::Command)) -> io::Error {
    let start = || {
        let mut again = std::process::Command::new(std::env::current_exe()?);
        prepare(&mut again);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            // What is asked at the console reaches the child as well, and its answer counts.
            let mut signals = Signals::listen()?;
            let mut child = Tree::beside(again.into())?;
            loop {
                tokio::select! {
                    ended = child.wait() => return ended,
                    _ = signals.next() => {}
                }
            }
        })
    };
    match start() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}
