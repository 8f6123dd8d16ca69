//! Secrets are references; their values live in the environment or in files, and are never printed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

use super::veil;

/// `{env: NAME}` or `{file: PATH}`. A literal is refused.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "snake_case",
    expecting = "a secret must be a reference, `{env: NAME}` or `{file: PATH}`"
)]
pub enum Secret {
    Env(String),
    File(PathBuf),
}

/// Where the process keeps the token that an action was given (`github-token`), and the job's own that it falls
/// back on. Nothing else reads them, and no program that tidegate starts inherits them: steps of the user's own
/// get what the environment of their job has.
pub const TOKEN_GIVEN: &str = "TIDEGATE_GITHUB_TOKEN";
pub const TOKEN_OF_JOB: &str = "TIDEGATE_JOB_TOKEN";

const SECRET_BYTES_MAX: u64 = 64 * 1024;

impl Secret {
    /// The value, through `env` (a reader of environment variables). The message names the reference,
    /// never the value. A file's trailing line end is cut.
    pub fn resolve(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
        let value = match self {
            Secret::Env(name) => {
                env(name).ok_or_else(|| format!("environment variable {name} is not set"))?
            }
            Secret::File(path) => {
                let size = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?.len();
                if size > SECRET_BYTES_MAX {
                    return Err(format!("{} is larger than {SECRET_BYTES_MAX} bytes", path.display()));
                }
                std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?
            }
        };
        let value = value.trim_end_matches(['\r', '\n']).to_string();
        if value.is_empty() {
            return Err(format!("{self} is empty"));
        }
        veil::remember(&value);
        Ok(value)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Env(name) => write!(f, "environment variable {name}"),
            Secret::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}
