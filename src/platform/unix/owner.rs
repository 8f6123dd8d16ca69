//! Who owns what tidegate writes.
//!
//! In a container tidegate is root, and the folder it writes into is mounted and somebody's: a CI runner's
//! workspace, which that user must be able to clean up. So what root makes gets the owner of the folder it
//! is in.

use rustix::{
    fs::{Gid, Uid, fchown},
    process::geteuid,
};
use std::{
    fs::{DirBuilder, File, Metadata},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
};

/// Gives a file that was made just now to the owner of its folder, if root made it. A file system that
/// knows no owners, or root without that right, leaves it as it is: what was written counts.
pub fn adopt(file: &File, path: &Path) {
    let folder = path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
    let (Ok(folder), Ok(made)) = (folder.metadata(), file.metadata()) else { return };
    if let Some((user, group)) = heir(geteuid().is_root(), &folder, &made) {
        let _ = fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
    }
}

/// Gives away a folder that was made just now, with all that others put into it.
pub fn adopt_all(folder: &Path) {
    if let Ok(made) = File::open(folder) {
        adopt(&made, folder);
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        if kind.is_dir() {
            adopt_all(&path);
        } else if kind.is_file()
            && let Ok(made) = File::open(&path)
        {
            adopt(&made, &path);
        }
    }
}

/// Makes a folder and those above it that are missing; each gets the owner of the one it is in.
pub fn create_folders(path: &Path, mode: u32) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        create_folders(above, mode)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {
            if let Ok(made) = File::open(path) {
                adopt(&made, path);
            }
            Ok(())
        }
        // Somebody else was faster.
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(e),
    }
}

/// User and group that a thing is to be given to.
fn heir(root: bool, folder: &Metadata, made: &Metadata) -> Option<(u32, u32)> {
    let wanted = (folder.uid(), folder.gid());
    (root && made.uid() == 0 && folder.uid() != 0).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of another user, wherever the tests run: this machine's root folder is root's, a new one is ours.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(1234), Some(5678)).unwrap();
        }
        folder
    }

    fn owner(path: &Path) -> (u32, u32) {
        let found = std::fs::symlink_metadata(path).unwrap();
        (found.uid(), found.gid())
    }

    #[test]
    fn a_file_that_root_makes_belongs_to_the_owner_of_its_folder() {
        let folder = folder();
        let path = folder.path().join("record");
        adopt(&File::create_new(&path).unwrap(), &path);
        assert_eq!(owner(&path).0, owner(folder.path()).0);
    }

    #[test]
    fn all_folders_made_on_the_way_belong_to_the_owner_of_the_first() {
        let folder = folder();
        let path = folder.path().join("one/two/three");
        create_folders(&path, 0o700).unwrap();
        create_folders(&path, 0o700).unwrap();
        for made in ["one", "one/two", "one/two/three"] {
            let made = folder.path().join(made);
            assert_eq!(owner(&made).0, owner(folder.path()).0);
            assert_eq!(made.metadata().unwrap().mode() & 0o777, 0o700);
        }
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(create_folders(&folder.path().join("file"), 0o700).is_err());
    }

    #[test]
    fn only_root_gives_away_and_only_its_own() {
        let (ours, roots) = (folder(), Path::new("/").metadata().unwrap());
        let theirs = ours.path().metadata().unwrap();
        assert_eq!(roots.uid(), 0);
        assert_eq!(heir(false, &theirs, &roots), None);
        assert_eq!(heir(true, &roots, &roots), None);
        assert_eq!(heir(true, &roots, &theirs), None);
        assert_ne!(theirs.uid(), 0);
        assert_eq!(heir(true, &theirs, &roots), Some((theirs.uid(), theirs.gid())));
    }
}
