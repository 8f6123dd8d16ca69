//! One call to AWS: paced, repeated where that is safe, and its failure told in our words.

use aws_config::SdkConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{
    orchestrator::HttpResponse,
    result::{ConnectorError, SdkError},
};
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use hyper_util::client::legacy;
use std::{sync::Arc, time::Duration};

use super::{Aws, PROVIDER};
use crate::port::{Context, Fault, Treat};

/// A read that hangs is asked again after this long.
const READ_LIMIT: Duration = Duration::from_secs(4);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MOST: Duration = Duration::from_secs(2);

/// What a call is about.
#[derive(Clone, Debug)]
pub struct Intent {
    /// `ecs`
    pub service: &'static str,
    /// `UpdateService`
    pub operation: &'static str,
    /// The object, for messages.
    pub object: String,
    writes: bool,
}

impl Intent {
    pub fn read(service: &'static str, operation: &'static str, object: impl Into<String>) -> Self {
        Intent { service, operation, object: object.into(), writes: false }
    }

    /// A call that changes something.
    pub fn write(service: &'static str, operation: &'static str, object: impl Into<String>) -> Self {
        Intent { service, operation, object: object.into(), writes: true }
    }

    fn fault(&self, treat: Treat, detail: impl std::fmt::Display) -> Fault {
        Fault::new(treat, PROVIDER, format!("{}:{}", self.service, self.operation), &self.object, detail)
    }
}

/// What an error means for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Nothing was done, and it may be asked again soon.
    Throttled,
    /// Nothing was done: the credentials are too old.
    Expired,
    /// Nothing was done, and asking again gives the same.
    Refused,
    /// Nothing was sent.
    Unsent,
    /// It may have been done.
    Unknown,
}

/// Makes the call, again where that is safe and there is time. `send` gets the configuration to make its
/// client of. Faults: reads end `Permanent` or `Temporary`; writes also `OutcomeUnknown`.
pub async fn call<T, E, F>(
    aws: &Arc<Aws>,
    cx: &Context,
    intent: &Intent,
    send: impl Fn(SdkConfig) -> F,
) -> Result<T, Fault>
where
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let mut wait = BACKOFF_FIRST;
    let mut renewed = false;
    loop {
        aws.pacer.turn(cx, intent.service).await;
        let generation = aws.generation();
        let config = aws.config().await?;
        let limit = if intent.writes { cx.left() } else { READ_LIMIT.min(cx.left()) };
        let answer = cx.within(limit).bounded(send(config)).await;
        let (meaning, fault) = match answer {
            Ok(Ok(done)) => {
                aws.pacer.answered(intent.service);
                return Ok(done);
            }
            Ok(Err(error)) => judge(intent, &error),
            Err(late) => {
                let detail = format!("no answer within {:.1} s", late.0.as_secs_f64());
                (Meaning::Unknown, intent.fault(Treat::OutcomeUnknown, detail))
            }
        };
        let again = match meaning {
            Meaning::Throttled => {
                aws.pacer.throttled(cx, intent.service);
                true
            }
            Meaning::Expired if !renewed => {
                renewed = true;
                aws.renew(generation);
                continue;
            }
            Meaning::Expired | Meaning::Refused => false,
            Meaning::Unsent => true,
            Meaning::Unknown => !intent.writes,
        };
        let treat = match meaning {
            Meaning::Refused | Meaning::Expired => Treat::Permanent,
            Meaning::Unknown if intent.writes => Treat::OutcomeUnknown,
            _ => Treat::Temporary,
        };
        if !again || cx.left() <= wait {
            return Err(Fault { treat, ..fault });
        }
        cx.clock().sleep(jittered(wait)).await;
        wait = (wait * 2).min(BACKOFF_MOST);
    }
}

/// Full jitter: somewhere between nothing and `wait`.
fn jittered(wait: Duration) -> Duration {
    let mut byte = [0u8; 1];
    // without randomness the full time is as good
    let part = getrandom::fill(&mut byte).map_or(1.0, |()| f64::from(byte[0]) / 255.0);
    wait.mul_f64(part)
}

fn judge<E>(intent: &Intent, error: &SdkError<E, HttpResponse>) -> (Meaning, Fault)
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or_default();
            let message = answer.err().message().unwrap_or_default();
            let status = answer.raw().status();
            let meaning = meaning(code, message, status.as_u16());
            let detail = match (code, message) {
                ("", "") => format!("HTTP {}", status.as_u16()),
                ("", message) => message.to_string(),
                (code, "") => code.to_string(),
                (code, message) => format!("{code}: {message}"),
            };
            let fault = intent.fault(Treat::Permanent, detail);
            (meaning, hinted(intent, code, fault))
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            (Meaning::Refused, intent.fault(Treat::Permanent, chain(error)))
        }
        SdkError::DispatchFailure(_) => {
            let text = chain(error);
            if let Some(inner) = find::<CredentialsError>(error) {
                return without_credentials(intent, inner, text);
            }
            if text.contains("invalid peer certificate") {
                let fault = intent.fault(Treat::Permanent, text);
                let hint = "AWS_CA_BUNDLE names the file of certificates to trust beside the system's";
                return (Meaning::Refused, fault.hint(hint));
            }
            let unsent = find::<legacy::Error>(error).is_some_and(legacy::Error::is_connect);
            let meaning = if unsent { Meaning::Unsent } else { Meaning::Unknown };
            (meaning, intent.fault(Treat::Temporary, text))
        }
        SdkError::ConstructionFailure(_) => (Meaning::Refused, intent.fault(Treat::Permanent, chain(error))),
        // a timeout, or an answer that was cut or made no sense
        _ => (Meaning::Unknown, intent.fault(Treat::OutcomeUnknown, chain(error))),
    }
}

/// The call never went out: there were no credentials for it.
fn without_credentials(intent: &Intent, inner: &CredentialsError, text: String) -> (Meaning, Fault) {
    let hint = "give the job credentials: `aws-actions/configure-aws-credentials`, a profile, \
                a role; `aws sts get-caller-identity` shows what the SDK finds";
    let Some(told) = find::<ErrorMetadata>(inner) else {
        let unreached = find::<ConnectorError>(inner).is_some();
        return match inner {
            CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_) if !unreached => {
                (Meaning::Refused, intent.fault(Treat::Permanent, text).hint(hint))
            }
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
                (Meaning::Refused, intent.fault(Treat::Permanent, text).hint(hint))
            }
            // STS, or whoever gives them, did not answer
            _ => (Meaning::Unsent, intent.fault(Treat::Temporary, text)),
        };
    };
    let (code, message) = (told.code().unwrap_or_default(), told.message().unwrap_or_default());
    let fault = intent.fault(Treat::Permanent, format!("no credentials: {code}: {message}"));
    let status = if code.starts_with("Internal") || code == "ServiceUnavailable" { 500 } else { 400 };
    match meaning(code, message, status) {
        Meaning::Refused => (Meaning::Refused, fault.hint(hint)),
        Meaning::Expired => (Meaning::Expired, fault.hint(EXPIRED_HINT)),
        Meaning::Throttled => (Meaning::Throttled, fault),
        _ => (Meaning::Unsent, fault),
    }
}

/// The first error of this type among the causes.
fn find<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    error.downcast_ref().or_else(|| error.source().and_then(find))
}

fn meaning(code: &str, message: &str, status: u16) -> Meaning {
    const THROTTLED: [&str; 12] = [
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottledException",
        "RequestThrottled",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "SlowDown",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
    ];
    const EXPIRED: [&str; 4] =
        ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId"];
    match status {
        // Lambda says LimitExceeded of things that waiting does not mend, with another status
        429 => Meaning::Throttled,
        _ if code == "LimitExceededException" => Meaning::Refused,
        _ if THROTTLED.contains(&code) || message.contains("Rate exceeded") => Meaning::Throttled,
        _ if EXPIRED.contains(&code) => Meaning::Expired,
        400..=499 => Meaning::Refused,
        _ => Meaning::Unknown,
    }
}

const EXPIRED_HINT: &str = "the credentials have expired: log in again, or let the job take new ones";

fn hinted(intent: &Intent, code: &str, fault: Fault) -> Fault {
    let denied = code.contains("AccessDenied") || code.contains("UnauthorizedOperation");
    if denied {
        return fault.hint(format!(
            "the identity lacks `{}`: docs/permissions.md has the least policy",
            action(intent.service, intent.operation)
        ));
    }
    if code.starts_with("Expired") || code == "InvalidClientTokenId" {
        return fault.hint(EXPIRED_HINT);
    }
    fault
}

/// The action in a policy that allows an operation; most have its name.
pub fn action(service: &str, operation: &str) -> String {
    let operation = match (service, operation) {
        ("s3", "ListObjectsV2" | "HeadBucket") => "ListBucket",
        ("s3", "HeadObject") => "GetObject",
        ("s3", "CopyObject") => "PutObject",
        ("lambda", "Invoke") => "InvokeFunction",
        (_, operation) => operation,
    };
    format!("{service}:{operation}")
}

/// An error with all its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, message: &str, status: u16) -> Meaning {
        meaning(code, message, status)
    }

    #[test]
    fn an_error_that_says_nothing_was_done_may_be_asked_again_and_others_not() {
        assert_eq!(of("Throttling", "Rate exceeded", 400), Meaning::Throttled);
        assert_eq!(of("TooManyRequestsException", "", 429), Meaning::Throttled);
        assert_eq!(of("ExpiredTokenException", "", 400), Meaning::Expired);
        assert_eq!(of("AccessDenied", "", 403), Meaning::Refused);
        assert_eq!(of("InternalFailure", "", 500), Meaning::Unknown);
        assert_eq!(of("ServiceUnavailable", "", 503), Meaning::Unknown);
    }
}
