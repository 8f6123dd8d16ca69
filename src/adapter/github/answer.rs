//! What GitHub answered, and what that means for the call.

use reqwest::header::HeaderMap;
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Duration;

use super::{Call, PROVIDER};
use crate::{
    domain::duration::spoken,
    port::{Clock, Fault, Treat, excerpt},
};

/// Where GitHub names no time: its documentation asks for at least a minute.
const WAIT_UNTOLD: Duration = Duration::from_secs(60);
const MESSAGE_CHARS_MAX: usize = 400;

/// A whole answer: 2xx, 304, or a refusal that means something to whoever asked (404, 409, 422).
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// To ask again with; where nothing changed the answer is 304.
    pub etag: Option<String>,
    pub body: Vec<u8>,
    pub(super) headers: HeaderMap,
}

/// What an answer means before anybody looks into it.
#[derive(Debug)]
pub(super) enum Meaning {
    Told,
    /// Nothing was done, and GitHub wants to be left alone for so long.
    Limited(Duration, String),
    /// A write may have been done.
    Broken,
    /// Nothing was done, and asking again gives the same.
    Refused(Fault),
}

#[derive(Default, Deserialize)]
struct Told {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: serde_json::Value,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What GitHub says about a refusal, on one line.
    pub fn message(&self) -> String {
        let told: Told = serde_json::from_slice(&self.body).unwrap_or_default();
        let errors = match told.errors {
            serde_json::Value::Null => String::new(),
            errors => format!(" {errors}"),
        };
        let whole = match told.message.is_empty() {
            true => String::from_utf8_lossy(&self.body).into_owned(),
            false => told.message + &errors,
        };
        excerpt(&whole, MESSAGE_CHARS_MAX)
    }

    /// The body of a success, read; any other answer is a fault.
    pub fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Fault> {
        if !self.is_success() {
            return Err(self.refused(call));
        }
        serde_json::from_slice(&self.body).map_err(|e| {
            call.fault(Treat::Permanent, format!("the answer is not what GitHub documents: {e}"))
        })
    }

    /// The fault of a refusal.
    pub fn refused(&self, call: &Call) -> Fault {
        let fault = call.fault(Treat::Permanent, format!("HTTP {}: {}", self.status, self.message()));
        match self.status {
            401 => fault.hint("the token is wrong, or its job has ended: give the step a valid one"),
            403 => fault.hint(self.permission(call)),
            404 => fault.hint(format!(
                "GitHub answers 404 too where a token may not see what is there: {}",
                self.permission(call)
            )),
            301 | 302 | 307 | 308 => fault.hint("it has moved: write its new name in `repository`"),
            409 if self.message().contains("empty") => {
                fault.hint("the repository has no commit yet: push one first")
            }
            _ => fault,
        }
    }

    fn permission(&self, call: &Call) -> String {
        let accepted = self.header("x-accepted-github-permissions").map(|told| {
            let told = told.replace('=', ": ").replace(';', ", or ");
            format!(" (GitHub accepts {})", excerpt(&told, 100))
        });
        format!(
            "the token needs `{}` on {}{}; in a workflow: `permissions: {{{}}}`",
            call.permission,
            call.object,
            accepted.unwrap_or_default(),
            call.permission
        )
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Rate limits are told with 403 or 429: by `retry-after`, by nothing remaining until a reset, or in
    /// words alone (docs.github.com, "Rate limits for the REST API").
    pub(super) fn meaning(&self, call: &Call, clock: &dyn Clock) -> Meaning {
        match self.status {
            403 | 429 => match self.limited(clock) {
                Some((wait, why)) => Meaning::Limited(wait, why),
                None => Meaning::Refused(self.refused(call)),
            },
            200..=299 | 304 | 404 | 409 | 422 => Meaning::Told,
            500..=599 | 408 => Meaning::Broken,
            _ => Meaning::Refused(self.refused(call)),
        }
    }

    fn limited(&self, clock: &dyn Clock) -> Option<(Duration, String)> {
        let number = |name: &str| self.header(name)?.trim().parse::<u64>().ok();
        let message = self.message();
        let spoken_of = ["rate limit", "abuse"].iter().any(|word| message.to_lowercase().contains(word));
        let wait = if let Some(seconds) = number("retry-after") {
            Duration::from_secs(seconds)
        } else if number("x-ratelimit-remaining") == Some(0) {
            let now = u64::try_from(clock.now().as_second()).unwrap_or_default();
            number("x-ratelimit-reset")
                .map_or(WAIT_UNTOLD, |at| Duration::from_secs(at.saturating_sub(now) + 1))
        } else if spoken_of || self.status == 429 {
            WAIT_UNTOLD
        } else {
            return None;
        };
        let primary = number("x-ratelimit-remaining") == Some(0);
        let kind = if primary { "the rate limit is used up" } else { "a secondary rate limit is exceeded" };
        Some((wait, format!("{kind}: {message}; GitHub asks to wait {}", spoken(wait))))
    }
}

impl Call {
    pub(super) fn fault(&self, treat: Treat, detail: impl std::fmt::Display) -> Fault {
        Fault::new(treat, PROVIDER, self.operation, &self.object, detail)
    }
}
