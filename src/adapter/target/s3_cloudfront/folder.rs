//! The folder that the build wrote: what is in it, safely.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    pattern::{Pattern, is_asset},
    state::OWN,
};

/// Beyond these a folder is a mistake, or nothing that can go over within a moment.
pub const FILES_MAX: usize = 20_000;
pub const SWITCHED_MAX: usize = 1000;
/// S3 takes no more in one request.
const FILE_BYTES_MAX: u64 = 5 << 30;
const DEPTH_MAX: usize = 32;
/// S3's limit of a key, with room for where a file is kept.
const NAME_BYTES_MAX: usize = 900;

/// A file to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    pub path: PathBuf,
    /// Its path within the folder, with `/`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// It goes up before the switch and stays for ever.
    pub asset: bool,
}

/// All files below `folder`, by name. Links that lead out of it, files that cannot be read and names that S3
/// does not take are refused. The message says which file, and why.
pub fn read(folder: &Path, patterns: &[Pattern]) -> Result<Vec<Local>, String> {
    let at = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let root = folder.canonicalize().map_err(|why| at(folder, &why))?;
    if !root.is_dir() {
        return Err(at(folder, &"is not a folder"));
    }
    let mut found = Vec::new();
    let mut folders = vec![(root.clone(), String::new(), 0)];
    while let Some((here, before, depth)) = folders.pop() {
        if depth > DEPTH_MAX {
            return Err(at(
                &here,
                &format!("is more than {DEPTH_MAX} folders deep, or a link leads in a circle"),
            ));
        }
        for entry in fs::read_dir(&here).map_err(|why| at(&here, &why))? {
            let path = entry.map_err(|why| at(&here, &why))?.path();
            let Some(part) = path.file_name().and_then(|part| part.to_str()) else {
                return Err(at(&path, &"its name is not UTF-8"));
            };
            if part.chars().any(char::is_control) {
                return Err(at(&path, &"its name has a control character"));
            }
            let name = format!("{before}{part}");
            if name.len() > NAME_BYTES_MAX {
                return Err(at(&path, &format!("its name is longer than {NAME_BYTES_MAX} bytes")));
            }
            if name == OWN.trim_end_matches('/') {
                return Err(at(&path, &"this name is tidegate's own in the bucket"));
            }
            let real = path.canonicalize().map_err(|why| at(&path, &why))?;
            if !real.starts_with(&root) {
                return Err(at(
                    &path,
                    &format!("is a link that leads out of the folder, to {}", real.display()),
                ));
            }
            let about = fs::metadata(&real).map_err(|why| at(&path, &why))?;
            if about.is_dir() {
                folders.push((path, format!("{name}/"), depth + 1));
                continue;
            }
            if !about.is_file() {
                return Err(at(&path, &"is neither a file nor a folder"));
            }
            if about.len() > FILE_BYTES_MAX {
                return Err(at(&path, &"is larger than 5 GiB"));
            }
            fs::File::open(&real).map_err(|why| at(&path, &why))?;
            let asset = is_asset(&name, patterns);
            found.push(Local { path: real, name, size: about.len(), asset });
            if found.len() > FILES_MAX {
                return Err(at(folder, &format!("holds more than {FILES_MAX} files")));
            }
        }
    }
    let switched = found.iter().filter(|file| !file.asset).count();
    if switched > SWITCHED_MAX {
        return Err(at(
            folder,
            &format!(
                "{switched} files have no hash in their name and would go over one by one, more than \
                 {SWITCHED_MAX}: name with `assets:` those that never change"
            ),
        ));
    }
    if found.is_empty() {
        return Err(at(folder, &"is empty"));
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// SHA-256 of a file that is `size` bytes long, in base64, as S3 has it.
pub fn digest(path: &Path, size: u64) -> Result<String, String> {
    let at = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let mut file = fs::File::open(path).map_err(|why| at(&why))?.take(size + 1);
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut read = 0;
    loop {
        let more = file.read(&mut buffer).map_err(|why| at(&why))?;
        if more == 0 {
            break;
        }
        read += more as u64;
        sha.update(&buffer[..more]);
    }
    match read == size {
        true => Ok(base64(&sha.finalize())),
        false => Err(at(&"changed while it was read")),
    }
}

/// The alphabet of RFC 4648, with padding.
pub fn base64(bytes: &[u8]) -> String {
    aws_smithy_types::base64::encode(bytes)
}

/// What a browser is told that a file is, by its extension; what `aws s3 sync` tells it.
pub fn content_type(name: &str) -> &'static str {
    let extension = name.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map_or("", |(_, e)| e);
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html",
        "js" | "mjs" => "text/javascript",
        "css" => "text/css",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "xml" => "application/xml",
        "rss" => "application/rss+xml",
        "atom" => "application/atom+xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/vnd.microsoft.icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "eot" => "application/vnd.ms-fontobject",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "mp3" => "audio/mpeg",
        "wav" => "audio/x-wav",
        "ogg" => "audio/ogg",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ => "binary/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(unix)]
    use std::os::unix::fs::symlink;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join("dist").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        folder
    }

    fn names(folder: &tempfile::TempDir) -> Result<Vec<String>, String> {
        Ok(read(&folder.path().join("dist"), &[])?.into_iter().map(|file| file.name).collect())
    }

    #[test]
    fn names_with_spaces_dots_and_other_alphabets_are_taken_as_they_are() {
        let all = ["..a/x.txt", "a b/c+d.txt", "a/..b", "index.html", "über/日本.html", "x%2e%2e"];
        let mut found = names(&folder(&all)).unwrap();
        found.sort();
        let mut all = all.map(str::to_string).to_vec();
        all.sort();
        assert_eq!(found, all);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_within_the_folder_is_followed_and_one_out_of_it_is_refused() {
        let site = folder(&["index.html", "a/b.txt"]);
        let dist = site.path().join("dist");
        symlink(dist.join("index.html"), dist.join("home.html")).unwrap();
        symlink(dist.join("a"), dist.join("c")).unwrap();
        assert_eq!(names(&site).unwrap(), ["a/b.txt", "c/b.txt", "home.html", "index.html"]);
        fs::write(site.path().join("secret.txt"), "no").unwrap();
        for target in ["../secret.txt", ".."] {
            let link = dist.join("link");
            symlink(target, &link).unwrap();
            let why = names(&site).unwrap_err();
            assert!(why.contains("leads out of the folder"), "{target}: {why}");
            fs::remove_file(link).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_or_in_a_circle_is_refused() {
        let site = folder(&["index.html"]);
        let dist = site.path().join("dist");
        symlink("nothing", dist.join("link")).unwrap();
        assert!(names(&site).unwrap_err().contains("link: No such file"), "{:?}", names(&site));
        fs::remove_file(dist.join("link")).unwrap();
        symlink(".", dist.join("link")).unwrap();
        let why = names(&site).unwrap_err();
        assert!(why.contains("in a circle") || why.contains("levels of symbolic links"), "{why}");
    }

    // macOS takes no name that is not UTF-8.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_cannot_be_read_or_sent_is_refused_by_name() {
        let site = folder(&["index.html", ".tidegate/x"]);
        assert!(names(&site).unwrap_err().contains("tidegate's own"));

        let site = folder(&["a\nb"]);
        assert!(names(&site).unwrap_err().contains("control character"));

        let site = folder(&["index.html"]);
        let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff.txt");
        let odd = site.path().join("dist").join(odd);
        fs::write(odd, "x").unwrap();
        assert!(names(&site).unwrap_err().contains("not UTF-8"));

        let site = folder(&["index.html"]);
        let pipe = site.path().join("dist/socket");
        let _listener = std::os::unix::net::UnixListener::bind(&pipe).unwrap();
        assert!(names(&site).unwrap_err().contains("neither a file nor a folder"));

        let site = folder(&[]);
        assert!(names(&site).unwrap_err().contains("No such file"));
        fs::create_dir(site.path().join("dist")).unwrap();
        assert!(names(&site).unwrap_err().contains("is empty"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_without_permission_is_refused_by_name() {
        let site = folder(&["index.html"]);
        // /proc/self/mem's neighbours are unreadable even to root; a link there leads out all the same
        let path = site.path().join("dist/index.html");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        match names(&site) {
            Err(why) => assert!(why.contains("index.html: Permission denied"), "{why}"),
            // root reads everything
            Ok(_) => assert!(fs::File::open(&path).is_ok()),
        }
    }

    #[test]
    fn more_files_than_can_go_over_in_a_moment_are_refused_with_the_remedy() {
        let names: Vec<String> = (0..=SWITCHED_MAX).map(|n| format!("page{n}.html")).collect();
        let site = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let why = read(&site.path().join("dist"), &[]).unwrap_err();
        assert!(why.contains("1001 files have no hash") && why.contains("assets:"), "{why}");
        let pattern = Pattern::try_from("page*".to_string()).unwrap();
        assert_eq!(read(&site.path().join("dist"), &[pattern]).unwrap().len(), SWITCHED_MAX + 1);
    }

    #[test]
    fn a_digest_is_what_s3_computes_and_of_the_whole_file() {
        let site = folder(&["a"]);
        let path = site.path().join("dist/a");
        assert_eq!(digest(&path, 1).unwrap(), "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=");
        assert!(digest(&path, 2).unwrap_err().contains("changed while it was read"));
    }

    #[test]
    fn a_type_is_known_by_the_extension_whatever_its_case() {
        assert_eq!(content_type("a/index.HTML"), "text/html");
        assert_eq!(content_type("a.b/README"), "binary/octet-stream");
    }
}
