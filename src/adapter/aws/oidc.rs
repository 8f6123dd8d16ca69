//! Credentials of a role for a job of GitHub Actions, without a key: the job asks GitHub for a token that says
//! which workflow of which repository it is, and STS gives the role to whoever has such a token
//! (docs.github.com, "Configuring OpenID Connect in Amazon Web Services").
//!
//! The token lives for minutes and the credentials for an hour. A release may bake for longer: a new token is
//! asked for whenever the credentials come near their end, for as long as the job runs.

use aws_config::SdkConfig;
use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError, future},
};
use aws_smithy_runtime_api::client::result::SdkError;
use serde::Deserialize;
use std::{fmt, sync::Arc, time::Duration};

use crate::{
    adapter::web::{Request, Web, escape, refusal},
    port::{Context, Fault, Treat, adapter::Environment, clock::SystemClock, veil},
};

/// The role that the `aws-role` input names.
pub const ROLE: &str = "TIDEGATE_AWS_ROLE";
/// Who the token is for.
const AUDIENCE: &str = "sts.amazonaws.com";
const LIMIT: Duration = Duration::from_secs(10);
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_millis(200);
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Takes the role anew whenever the SDK asks.
pub(super) struct GitHubOidc {
    role: String,
    session: String,
    /// Where tokens are given out, for whoever has `bearer`.
    url: String,
    bearer: String,
    /// Region, endpoint and transport of STS; its credentials are not used.
    around: SdkConfig,
    web: Web,
}

impl fmt::Debug for GitHubOidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubOidc").field("role", &self.role).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Token {
    value: String,
}

impl GitHubOidc {
    /// What is missing is said, with what to write into the workflow.
    pub fn new(role: String, session: &str, around: SdkConfig, env: &Environment) -> Result<Self, String> {
        let variable = |name: &str| env(name).filter(|value| !value.is_empty());
        let (Some(url), Some(bearer)) =
            (variable("ACTIONS_ID_TOKEN_REQUEST_URL"), variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
        else {
            return Err(format!(
                "the role {role} is to be taken by GitHub's OIDC, and this job has no token for it: give it \
                 `permissions: {{id-token: write}}`"
            ));
        };
        let web = Web::new("github");
        Ok(GitHubOidc { role, session: session.into(), url, bearer, around, web })
    }

    async fn fetch(&self) -> provider::Result {
        let token = self.token().await.map_err(|fault| match fault.treat {
            Treat::Permanent => CredentialsError::provider_error(fault),
            // asked again by whoever needs them
            _ => CredentialsError::provider_timed_out(LIMIT),
        })?;
        let sts = aws_sdk_sts::Client::new(&self.around);
        let request = sts
            .assume_role_with_web_identity()
            .role_arn(&self.role)
            .role_session_name(&self.session)
            .web_identity_token(token);
        let answer = request.send().await.map_err(|error| match error {
            SdkError::ServiceError(refused) => CredentialsError::provider_error(refused.into_err()),
            lost => CredentialsError::provider_error(lost),
        })?;
        let Some(given) = answer.credentials else {
            return Err(CredentialsError::provider_error("STS gave no credentials"));
        };
        let expires = std::time::SystemTime::try_from(given.expiration).ok();
        let (key, secret, token) = (given.access_key_id, given.secret_access_key, given.session_token);
        [&secret, &token].into_iter().for_each(|value| veil::remember(value));
        Ok(Credentials::new(key, secret, Some(token), expires, "GitHubOidc"))
    }

    async fn token(&self) -> Result<String, Fault> {
        let cx = Context::new(Arc::new(SystemClock::default()), LIMIT);
        let mut tried = 1;
        loop {
            match self.ask(&cx).await {
                Err(fault) if fault.treat != Treat::Permanent && tried < TRIES && cx.left() > WAIT => {
                    tried += 1;
                    cx.clock().sleep(WAIT).await;
                }
                answer => return answer,
            }
        }
    }

    async fn ask(&self, cx: &Context) -> Result<String, Fault> {
        const OPERATION: &str = "ask for the job's OIDC token";
        let and = if self.url.contains('?') { '&' } else { '?' };
        let url = format!("{}{and}audience={}", self.url, escape(AUDIENCE));
        let fault = |why: String| Fault::permanent("github", OPERATION, "the job", why);
        let request = Request::get(url).bearer(&self.bearer).map_err(fault)?;
        let answer = self.web.ask(cx, OPERATION, request, TOKEN_BYTES_MAX).await?;
        if let Some((treat, why)) = refusal(answer.status) {
            return Err(Fault::new(treat, "github", OPERATION, "the job", why));
        }
        let token: Token = serde_json::from_slice(&answer.body)
            .map_err(|_| fault("the answer is not what GitHub documents".into()))?;
        veil::remember(&token.value);
        Ok(token.value)
    }
}

impl ProvideCredentials for GitHubOidc {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.fetch())
    }
}
