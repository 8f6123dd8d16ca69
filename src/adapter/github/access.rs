//! Which repository, through which address, in whose name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::port::{
    Secret,
    adapter::Environment,
    secret::{TOKEN_GIVEN, TOKEN_OF_JOB},
    veil,
};

/// `github: {token: {env: DEPLOY_TOKEN}}`. What is not said comes from the workflow's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The token (the action's `github-token`, `GITHUB_TOKEN`, `GH_TOKEN`, the job's own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Where the API is (`GITHUB_API_URL`, or `https://api.github.com`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
}

/// The usual address; GitHub Enterprise Server has `https://HOST/api/v3`.
const API: &str = "https://api.github.com";
/// Where a token may be, best first: what the step was given, what the environment has, what every job has.
const TOKENS: [&str; 4] = [TOKEN_GIVEN, "GITHUB_TOKEN", "GH_TOKEN", TOKEN_OF_JOB];

/// `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository(String);

impl Repository {
    /// The one that is named, else the workflow's.
    pub fn find(named: Option<&str>, env: &Environment) -> Result<Repository, String> {
        let from = |name: &str| env(name).filter(|value| !value.is_empty());
        let Some(text) = named.map(str::to_string).or_else(|| from("GITHUB_REPOSITORY")) else {
            return Err(
                "no repository is known: write `repository: OWNER/NAME`, or set GITHUB_REPOSITORY".into()
            );
        };
        let part = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        match text.split_once('/') {
            Some((owner, name)) if part(owner) && part(name) => Ok(Repository(text)),
            _ => Err(format!("`{text}` is not a repository: write OWNER/NAME")),
        }
    }
}

impl std::fmt::Display for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Access {
    /// The API's address without a slash at its end.
    pub(super) fn address(&self, env: &Environment) -> Result<String, String> {
        let set = env("GITHUB_API_URL").filter(|url| !url.is_empty());
        let text = self.api.clone().or(set).unwrap_or_else(|| API.into());
        let url =
            reqwest::Url::parse(&text).map_err(|e| format!("`{text}` is not the address of an API: {e}"))?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain {
            return Err(format!("the API's address must be like {API}"));
        }
        Ok(text.trim_end_matches('/').to_string())
    }

    /// The token; `None` if there is none anywhere.
    pub(super) fn token(&self, env: &Environment) -> Result<Option<String>, String> {
        let token = match &self.token {
            Some(secret) => Some(secret.resolve(&**env)?),
            None => TOKENS.iter().find_map(|name| {
                env(name).map(|value| value.trim().to_string()).filter(|value| !value.is_empty())
            }),
        };
        match token {
            // anything else could not be sent in a header
            Some(token) if !token.chars().all(|c| c.is_ascii_graphic()) => {
                Err("the token for GitHub holds characters that no token has".into())
            }
            token => {
                token.iter().for_each(|token| veil::remember(token));
                Ok(token)
            }
        }
    }
}
