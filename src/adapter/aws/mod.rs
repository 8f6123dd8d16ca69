//! What every adapter for AWS has in common: who calls, where to, and what becomes of a failed call.
//!
//! The SDK's own retries are off. A read is repeated; a write is repeated only where the answer says that
//! nothing was done, and is otherwise an unknown outcome, which the engine looks into.

mod access;
pub mod batch;
mod call;
mod oidc;
mod pacer;

pub use access::{Access, RoleArn};
pub use call::{Intent, call};

use aws_config::SdkConfig;
use futures_util::future::join;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use tokio::sync::OnceCell;

use crate::port::{Context, Fault, Finding, Grade, adapter::Setting};
use pacer::Pacer;

/// Errors name this as the other side.
pub const PROVIDER: &str = "aws";

/// One way into AWS: an identity, a region, an endpoint. Adapters with the same `aws:` options share it,
/// and with it the connections, the credentials and the pace.
pub struct Aws {
    access: Access,
    env: crate::port::adapter::Environment,
    /// Replaced when the credentials in it have expired.
    config: Mutex<Arc<OnceCell<Result<SdkConfig, String>>>>,
    generation: AtomicU64,
    pacer: Pacer,
    caller_told: AtomicBool,
}

impl Aws {
    /// The way in that these options describe. No call goes out.
    pub fn shared(access: &Access, setting: &Setting) -> Arc<Aws> {
        let key = serde_json::to_string(access).unwrap_or_default();
        setting.shared.get(&key, || Aws {
            access: access.clone(),
            env: setting.env.clone(),
            config: Mutex::default(),
            generation: AtomicU64::new(0),
            pacer: Pacer::default(),
            caller_told: AtomicBool::new(false),
        })
    }

    /// The SDK's configuration: a client made of it costs nothing. Loads profiles, and the role's first
    /// credentials when they are needed.
    pub async fn config(&self) -> Result<SdkConfig, Fault> {
        let cell = self.config.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let made = cell.get_or_init(|| access::load(&self.access, &self.env)).await;
        made.clone().map_err(|why| {
            Fault::permanent(PROVIDER, "read the configuration", "the AWS SDK", why).by_setting()
        })
    }

    /// Which load of the credentials is in use.
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Forgets the credentials that were loaded as `generation`: they have expired. The next client reads
    /// the environment, the profile or the role anew.
    fn renew(&self, generation: u64) {
        let next =
            self.generation.compare_exchange(generation, generation + 1, Ordering::AcqRel, Ordering::Acquire);
        if next.is_ok() {
            *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        }
    }

    /// These findings, and before them who calls: once for all adapters that share this way in.
    pub async fn introduced(
        self: &Arc<Self>,
        cx: &Context,
        findings: impl Future<Output = Vec<Finding>>,
    ) -> Vec<Finding> {
        let (caller, found) = join(self.caller(cx), findings).await;
        caller.into_iter().chain(found).collect()
    }

    async fn caller(self: &Arc<Self>, cx: &Context) -> Option<Finding> {
        if self.caller_told.swap(true, Ordering::AcqRel) {
            return None;
        }
        // A network without a way to STS holds nothing else up.
        let cx = &cx.within(cx.left() / 2);
        let asked = cx.bounded(self.identity(cx)).await;
        let late =
            || Fault::temporary(PROVIDER, "sts:GetCallerIdentity", "the identity", "no answer in time");
        Some(match asked.unwrap_or_else(|_| Err(late())) {
            Ok((account, arn)) => Finding::new(Grade::Ok, "aws", format!("{arn} in account {account}")),
            Err(fault) => Finding::fault("aws", &fault),
        })
    }

    /// Account and identity, as `123456789012 arn:aws:sts::…`.
    pub async fn identity(self: &Arc<Self>, cx: &Context) -> Result<(String, String), Fault> {
        let intent = Intent::read("sts", "GetCallerIdentity", "the identity");
        let who = call(self, cx, &intent, async |config| {
            aws_sdk_sts::Client::new(&config).get_caller_identity().send().await
        })
        .await?;
        let text = |text: Option<String>| text.unwrap_or_else(|| "?".into());
        Ok((text(who.account), text(who.arn)))
    }
}

/// A client of S3. Where an endpoint is given, the bucket stands in the path: what answers there seldom has a
/// name for each bucket.
pub fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let own_endpoint = config.endpoint_url().is_some();
    aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::config::Builder::from(config).force_path_style(own_endpoint).build(),
    )
}

/// The last part of an ARN: `service/shop/api` of `arn:aws:ecs:eu-west-1:123456789012:service/shop/api`.
pub fn resource_of(arn: &str) -> &str {
    arn.splitn(6, ':').nth(5).unwrap_or(arn)
}
