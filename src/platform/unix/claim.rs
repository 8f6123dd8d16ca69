//! A lock on the file itself.

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use super::{super::Claimed, adopt, private};

/// The right to write this file, which is empty then; nothing while another process has it.
pub fn claim(path: &Path) -> io::Result<Option<Claimed>> {
    let mut options = OpenOptions::new();
    let file = private(options.read(true).write(true).create(true).truncate(false)).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(e) => return Err(e.into()),
    }
    // Between open and lock the file may have become a finished one, or gone.
    match std::fs::metadata(path) {
        Ok(now) if now.ino() == file.metadata()?.ino() => {
            adopt(&file, path);
            file.set_len(0)?;
            Ok(Some(Claimed { file, _lock: None }))
        }
        Ok(_) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether a process has that right. Looks without taking the lock for longer than this.
pub fn claimed(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
}
