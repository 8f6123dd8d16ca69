//! A folder of snapshots: files that appear whole or not at all, and beside each a manifest that says
//! what it is.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    domain::{names::EntryName, record::Artifact},
    platform::{self, Claimed, private},
    port::{Context, Fault, Found, adapter::Setting},
};

const FORMAT: u32 = 1;
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;
const MANIFESTS_MAX: usize = 10_000;
/// How long another process at work on the same key is waited for.
const CLAIM_MAX: Duration = Duration::from_secs(5);
const CLAIM_POLL: Duration = Duration::from_millis(100);
const NAME_BYTES_MAX: usize = 120;
const BLOCK: usize = 256 * 1024;

/// The snapshots of one database.
#[derive(Clone, Debug)]
pub struct Store {
    kind: &'static str,
    database: EntryName,
    folder: PathBuf,
    /// How data files end: `dump`.
    suffix: &'static str,
}

/// `<key>.json`. It is written last, and only what it vouches for is a snapshot.
#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    kind: String,
    database: EntryName,
    key: String,
    /// The data beside it; none where another system keeps it.
    file: Option<String>,
    artifact: Artifact,
}

impl Store {
    /// In `to`, or in the state folder.
    pub fn new(
        kind: &'static str,
        suffix: &'static str,
        database: &EntryName,
        to: Option<&Path>,
        setting: &Setting,
    ) -> Store {
        let folder = match to {
            Some(to) => setting.base.join(to),
            None => setting.state.join("snapshots").join(database.as_str()),
        };
        Store { kind, database: database.clone(), folder, suffix }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Trusts the manifest and the size of the file.
    pub fn find(&self, key: &str) -> Result<Found, Fault> {
        let path = self.manifest_path(key);
        match self.read(&path)? {
            Some(manifest) if manifest.key != key || !self.ours(&manifest) => Ok(Found::Failed(format!(
                "{} belongs to snapshot {} of {} {}",
                path.display(),
                manifest.key,
                manifest.kind,
                manifest.database
            ))),
            Some(manifest) => Ok(self.look(manifest)),
            None if self.being_taken(key) => Ok(Found::Running(None)),
            None => Ok(Found::Absent),
        }
    }

    fn look(&self, manifest: Manifest) -> Found {
        let artifact = manifest.artifact;
        if manifest.file.is_none() {
            return Found::Ready(artifact);
        }
        match (std::fs::metadata(&artifact.id), artifact.bytes) {
            (Ok(file), Some(bytes)) if file.len() != bytes => {
                Found::Failed(format!("{} has {} bytes instead of {bytes}", artifact.id, file.len()))
            }
            (Ok(_), _) => Found::Ready(artifact),
            (Err(e), _) => Found::Failed(format!("{}: {e}", artifact.id)),
        }
    }

    /// The right to take the snapshot of this key, held by one process at a time and lost with it.
    pub async fn claim(&self, cx: &Context, key: &str) -> Result<Claim, Fault> {
        let part = self.folder.join(format!(".{}.part", self.file_name(key)));
        platform::create_folders(&self.folder, 0o700)
            .map_err(|e| self.fault("make the folder", &self.folder, e))?;
        let wait = cx.within(CLAIM_MAX);
        loop {
            let claimed = platform::claim(&part).map_err(|e| self.fault("write", &part, e))?;
            if let Some(file) = claimed {
                return Ok(Claim { store: self.clone(), key: key.to_string(), part, file: Arc::new(file) });
            }
            if wait.left().is_zero() {
                let why = "another process is taking this snapshot";
                return Err(Fault::temporary(self.kind, "take the snapshot", key, why));
            }
            cx.clock().sleep(CLAIM_POLL).await;
        }
    }

    /// Records a snapshot that another system keeps.
    pub fn note(&self, key: &str, artifact: &Artifact) -> Result<(), Fault> {
        let manifest = Manifest {
            format: FORMAT,
            kind: self.kind.to_string(),
            database: self.database.clone(),
            key: key.to_string(),
            file: None,
            artifact: artifact.clone(),
        };
        self.write(&manifest)
    }

    /// Our own, oldest first.
    pub fn list(&self) -> Result<Vec<Artifact>, Fault> {
        Ok(self.manifests()?.into_iter().map(|(_, manifest)| manifest.artifact).collect())
    }

    fn manifests(&self) -> Result<Vec<(PathBuf, Manifest)>, Fault> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(self.fault("list the snapshots", &self.folder, e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| self.fault("list the snapshots", &self.folder, e))?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            // A stranger's file is none of our business.
            if let Ok(Some(manifest)) = self.read(&path)
                && self.ours(&manifest)
            {
                found.push((path, manifest));
            }
            if found.len() > MANIFESTS_MAX {
                let why = format!("there are more than {MANIFESTS_MAX} snapshots");
                return Err(Fault::permanent(self.kind, "list the snapshots", self.place(), why));
            }
        }
        found.sort_by(|(a_path, a), (b_path, b)| (a.artifact.at, a_path).cmp(&(b.artifact.at, b_path)));
        Ok(found)
    }

    /// Deletes file and manifest of one of our own; one that is gone already is a success.
    pub fn delete(&self, artifact: &Artifact) -> Result<(), Fault> {
        let known = self.manifests()?.into_iter().find(|(_, manifest)| manifest.artifact.id == artifact.id);
        let Some((path, manifest)) = known else {
            return match std::fs::symlink_metadata(&artifact.id) {
                Ok(_) => {
                    let why = format!("no manifest in {} says that it is ours", self.folder.display());
                    Err(Fault::permanent(self.kind, "delete the snapshot", &artifact.id, why))
                }
                Err(_) => Ok(()),
            };
        };
        // The manifest goes last: a process killed in between can do it again.
        for path in manifest.file.map(|file| self.folder.join(file)).into_iter().chain([path]) {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(self.fault("delete", &path, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes the manifest of a snapshot that another system kept.
    pub fn forget(&self, artifact: &Artifact) -> Result<(), Fault> {
        for (path, manifest) in self.manifests()? {
            if manifest.artifact.id == artifact.id && manifest.file.is_none() {
                std::fs::remove_file(&path).map_err(|e| self.fault("delete", &path, e))?;
            }
        }
        Ok(())
    }

    fn ours(&self, manifest: &Manifest) -> bool {
        manifest.kind == self.kind && manifest.database == self.database
    }

    fn being_taken(&self, key: &str) -> bool {
        platform::claimed(&self.folder.join(format!(".{}.part", self.file_name(key))))
    }

    fn read(&self, path: &Path) -> Result<Option<Manifest>, Fault> {
        let mut text = String::new();
        match File::open(path).and_then(|f| f.take(MANIFEST_BYTES_MAX).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.fault("read the manifest", path, e)),
        }
        let wrong =
            |why: String| Fault::permanent(self.kind, "read the manifest", path.display().to_string(), why);
        let mut manifest: Manifest = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if manifest.format > FORMAT {
            return Err(wrong(format!("its format {} is newer than this build knows", manifest.format)));
        }
        if let Some(file) = &manifest.file {
            if Path::new(file).file_name() != Some(file.as_ref()) || file.starts_with('.') {
                return Err(wrong("its file is not a plain name".into()));
            }
            // The folder may have been moved.
            manifest.artifact.id = self.folder.join(file).display().to_string();
        }
        Ok(Some(manifest))
    }

    fn write(&self, manifest: &Manifest) -> Result<(), Fault> {
        let path = self.manifest_path(&manifest.key);
        let part = self.folder.join(format!(".{}.json.part", self.stem(&manifest.key)));
        let text = serde_json::to_vec_pretty(manifest)
            .map_err(|e| Fault::permanent(self.kind, "write the manifest", path.display().to_string(), e))?;
        let written = || {
            platform::create_folders(&self.folder, 0o700)?;
            let mut options = OpenOptions::new();
            let mut file = private(options.write(true).create(true).truncate(true)).open(&part)?;
            platform::adopt(&file, &part);
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&part, &path)?;
            platform::sync_folder(&self.folder)
        };
        written().map_err(|e| self.fault("write the manifest", &path, e))
    }

    fn manifest_path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{}.json", self.stem(key)))
    }

    fn file_name(&self, key: &str) -> String {
        format!("{}.{}", self.stem(key), self.suffix)
    }

    /// The key as a file name. One that had to be changed gets a part of its hash, so that no two keys meet.
    fn stem(&self, key: &str) -> String {
        let plain: String = key
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
            .collect();
        if plain == key && !key.starts_with('.') && (1..=NAME_BYTES_MAX).contains(&key.len()) {
            return plain;
        }
        let cut: String = plain.trim_start_matches('.').chars().take(NAME_BYTES_MAX).collect();
        let hash: String = hex(&Sha256::digest(key.as_bytes())).chars().take(12).collect();
        format!("{cut}-{hash}")
    }

    pub fn place(&self) -> String {
        self.folder.display().to_string()
    }

    pub fn fault(&self, operation: &str, path: &Path, error: io::Error) -> Fault {
        Fault::permanent(self.kind, operation, path.display().to_string(), error)
    }
}

/// A snapshot being taken. What is not committed is removed.
pub struct Claim {
    store: Store,
    key: String,
    part: PathBuf,
    /// Held open for the lock on it.
    file: Arc<Claimed>,
}

impl Claim {
    pub fn part(&self) -> &Path {
        &self.part
    }

    pub fn file(&self) -> Arc<Claimed> {
        self.file.clone()
    }

    /// Makes the file durable, gives it its name and vouches for it.
    pub async fn commit(self, cx: &Context, artifact: Artifact) -> Result<Artifact, Fault> {
        let file = self.store.file_name(&self.key);
        let path = self.store.folder.join(&file);
        let (part, to, folder) = (self.part.clone(), path.clone(), self.store.folder.clone());
        let held = self.file.clone();
        let renamed = on_thread(cx, move |_| {
            held.sync_all()?;
            std::fs::rename(&part, &to)?;
            platform::sync_folder(&folder)
        });
        renamed.await.map_err(|e| self.store.fault("keep the snapshot", &path, e))?;
        let artifact = Artifact { id: path.display().to_string(), ..artifact };
        let manifest = Manifest {
            format: FORMAT,
            kind: self.store.kind.to_string(),
            database: self.store.database.clone(),
            key: self.key.clone(),
            file: Some(file),
            artifact: artifact.clone(),
        };
        self.store.write(&manifest)?;
        Ok(artifact)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // The lock is still held, so this is our own file; after a commit there is none.
        let _ = std::fs::remove_file(&self.part);
        let journal = format!("{}-journal", self.part.display());
        let _ = std::fs::remove_file(journal);
    }
}

struct AskToStop(Arc<AtomicBool>);

impl Drop for AskToStop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Does file work on a thread of its own. The flag is set at the deadline, or when nobody waits any more.
pub async fn on_thread<T: Send + 'static>(
    cx: &Context,
    work: impl FnOnce(&AtomicBool) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let guard = AskToStop(Arc::new(AtomicBool::new(false)));
    let stop = guard.0.clone();
    match cx.bounded(tokio::task::spawn_blocking(move || work(&stop))).await {
        Ok(Ok(done)) => done,
        Ok(Err(e)) => Err(io::Error::other(e)),
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    }
}

/// Copies to the end and hashes on the way: number of bytes, SHA-256 in hex. `done` counts along.
pub fn copy(
    mut from: impl Read,
    mut to: impl Write,
    done: &AtomicU64,
    stop: &AtomicBool,
) -> io::Result<(u64, String)> {
    let mut block = vec![0; BLOCK];
    let mut hash = Sha256::new();
    let mut bytes = 0u64;
    loop {
        if stop.load(Ordering::Acquire) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = match from.read(&mut block) {
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let piece = block.get(..count).unwrap_or_default();
        if piece.is_empty() {
            return Ok((bytes, hex(&hash.finalize())));
        }
        to.write_all(piece)?;
        hash.update(piece);
        bytes += count as u64;
        done.store(bytes, Ordering::Relaxed);
    }
}

/// Reads a snapshot's file and compares size and checksum.
pub async fn check(cx: &Context, kind: &'static str, artifact: &Artifact) -> Result<(), Fault> {
    let fault = |why: String| Fault::permanent(kind, "verify the snapshot", &artifact.id, why);
    let path = PathBuf::from(&artifact.id);
    let read = on_thread(cx, move |stop| copy(File::open(path)?, io::sink(), &AtomicU64::new(0), stop));
    let (bytes, checksum) = read.await.map_err(|e| match e.kind() {
        io::ErrorKind::TimedOut => Fault::temporary(kind, "verify the snapshot", &artifact.id, e),
        _ => fault(e.to_string()),
    })?;
    if artifact.bytes.is_some_and(|wanted| wanted != bytes) {
        return Err(fault(format!("it has {bytes} bytes instead of {}", artifact.bytes.unwrap_or_default())));
    }
    match &artifact.checksum {
        Some(wanted) if *wanted != checksum => {
            Err(fault(format!("its SHA-256 is {checksum} instead of {wanted}: it was damaged")))
        }
        _ => Ok(()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
