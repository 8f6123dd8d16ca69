//! Who calls, in which region, through which endpoint.

use aws_config::{
    BehaviorVersion, Region, SdkConfig, profile::ProfileFileCredentialsProvider,
    provider_config::ProviderConfig, retry::RetryConfig, sts::AssumeRoleProvider,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::timeout::TimeoutConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::port::adapter::Environment;

/// The session's name in CloudTrail.
const SESSION: &str = "tidegate";
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// `aws: {region: eu-west-1, role: arn:aws:iam::123456789012:role/deploy}`. What is not said comes from the
/// SDK's default chain: environment, profiles, web identity, container and instance roles. In GitHub Actions the
/// input `aws-role` (`TIDEGATE_AWS_ROLE`) is taken by the job's OIDC token, and taken anew before it expires.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The region (`AWS_REGION`, or the profile's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A profile of the shared configuration files (`AWS_PROFILE`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// A role to assume with the credentials found; several are a chain, each assumed with the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_more")]
    #[schemars(with = "Option<OneOrMore>")]
    pub role: Vec<RoleArn>,
    /// Where to send every request (`AWS_ENDPOINT_URL`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// `arn:aws:iam::123456789012:role/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RoleArn(String);

impl TryFrom<String> for RoleArn {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.starts_with("arn:") && text.contains(":role/") {
            true => Ok(RoleArn(text)),
            false => Err(format!("`{text}` is not a role: write arn:aws:iam::ACCOUNT:role/NAME")),
        }
    }
}

impl From<RoleArn> for String {
    fn from(role: RoleArn) -> String {
        role.0
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a role's ARN, or a list of them")]
enum OneOrMore {
    One(RoleArn),
    More(Vec<RoleArn>),
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<RoleArn>, D::Error> {
    Ok(match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(role) => vec![role],
        OneOrMore::More(roles) => roles,
    })
}

/// Reads environment and profiles. The message says which file or variable is wrong.
pub(super) async fn load(access: &Access, env: &Environment) -> Result<SdkConfig, String> {
    let http = http_client(env)?;
    let variable = |name: &str| env(name).filter(|value| !value.is_empty());
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_LIMIT).build());
    if let Some(region) = access.region.clone().or_else(|| variable("AWS_REGION")) {
        loader = loader.region(Region::new(region));
    }
    if let Some(profile) = &access.profile {
        loader = loader.profile_name(profile);
    } else if let (Some(key), Some(secret)) =
        (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"))
    {
        let token = variable("AWS_SESSION_TOKEN");
        loader = loader.credentials_provider(Credentials::new(key, secret, token, None, "environment"));
    }
    if let Some(endpoint) = &access.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let mut config = loader.load().await;
    let Some(region) = config.region().cloned() else {
        return Err("no region is known: set AWS_REGION, or `aws: {region: …}` beside the adapter".into());
    };
    if let Some(profile) = &access.profile {
        // The SDK's chain prefers keys in the environment even to a profile that was asked for.
        let around = ProviderConfig::default().with_http_client(http).with_region(Some(region));
        let provider =
            ProfileFileCredentialsProvider::builder().profile_name(profile).configure(&around).build();
        config = config.to_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build();
    }
    if let (None, Some(role)) = (&access.profile, variable(super::oidc::ROLE)) {
        let role: String = RoleArn::try_from(role).map_err(|why| format!("aws-role: {why}"))?.into();
        // Asking for a token and a role twice is harmless: here the SDK may try again.
        let around = config.to_builder().retry_config(RetryConfig::standard()).build();
        let provider = super::oidc::GitHubOidc::new(role, SESSION, around, env)?;
        config = config.to_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build();
    }
    for role in &access.role {
        // Assuming a role twice is harmless: here the SDK may try again.
        let patient = config.to_builder().retry_config(RetryConfig::standard()).build();
        let assumed =
            AssumeRoleProvider::builder(&role.0).session_name(SESSION).configure(&patient).build().await;
        config = config.to_builder().credentials_provider(SharedCredentialsProvider::new(assumed)).build();
    }
    Ok(config)
}

/// HTTPS by rustls with ring, trusting the system's certificates and those of `AWS_CA_BUNDLE`.
fn http_client(env: &Environment) -> Result<SharedHttpClient, String> {
    let mut store = TrustStore::default();
    if let Some(path) = env("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) {
        let pem = std::fs::read(&path).map_err(|e| format!("AWS_CA_BUNDLE: {path}: {e}"))?;
        if !pem.windows(10).any(|part| part == b"-----BEGIN") {
            return Err(format!("AWS_CA_BUNDLE: {path} holds no certificate in PEM form"));
        }
        store.add_pem_certificate(pem);
    }
    let context = TlsContext::builder().with_trust_store(store).build();
    let context = context.map_err(|e| format!("AWS_CA_BUNDLE: {e}"))?;
    Ok(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build_https())
}
