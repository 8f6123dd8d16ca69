//! Whether everybody may read the repository a workflow runs in. A journal tells versions, shares, names of
//! services and checks, and what the metrics were: on a public repository that takes somebody's word.

use serde::Deserialize;
use std::io::Read as _;

use crate::port::adapter::Environment;

/// GitHub's payloads are at most 25 MB.
const EVENT_BYTES_MAX: u64 = 32 * 1024 * 1024;

#[derive(Deserialize)]
struct Event {
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: Option<String>,
    private: Option<bool>,
    visibility: Option<String>,
}

/// What the payload of the event that began the workflow says; `None` if it says nothing.
pub(super) fn told(env: &Environment) -> Option<bool> {
    let path = env("GITHUB_EVENT_PATH").filter(|path| !path.is_empty())?;
    let mut text = Vec::new();
    std::fs::File::open(path).ok()?.take(EVENT_BYTES_MAX).read_to_end(&mut text).ok()?;
    let repository = serde_json::from_slice::<Event>(&text).ok()?.repository?;
    let same = |name: &String| env("GITHUB_REPOSITORY").is_some_and(|ours| ours.eq_ignore_ascii_case(name));
    if !repository.full_name.as_ref().is_some_and(same) {
        return None;
    }
    match (repository.visibility.as_deref(), repository.private) {
        (Some("public"), _) | (None, Some(false)) => Some(true),
        (Some(_), _) | (None, Some(true)) => Some(false),
        (None, None) => None,
    }
}

/// What to do instead.
pub(super) fn refusal() -> String {
    "the repository is public, and this file names no journal: everybody could read the versions, shares, names \
     of services and checks, and metrics that the journal keeps; write `journal: git` to accept that, \
     `journal: {git: OWNER/PRIVATE-REPOSITORY}` or `journal: {s3: {bucket: NAME}}` to keep it elsewhere"
        .into()
}
