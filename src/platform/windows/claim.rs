//! A lock on a file beside the claimed one: a lock of Windows keeps everybody else from the bytes, also SQLite
//! in the same process. The file beside stays: who deleted it could let two in.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::super::Claimed;

/// The right to write this file, which is empty then; nothing while another process has it.
pub fn claim(path: &Path) -> io::Result<Option<Claimed>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    let lock = options.clone().truncate(false).open(beside(path))?;
    match lock.try_lock() {
        Ok(()) => {
            let file = options.truncate(true).open(path)?;
            Ok(Some(Claimed { file, _lock: Some(lock) }))
        }
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Whether a process has that right. Looks without taking the lock for longer than this.
pub fn claimed(path: &Path) -> bool {
    File::open(beside(path)).is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".lock");
    name.into()
}
