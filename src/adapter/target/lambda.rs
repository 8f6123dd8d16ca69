//! Aliases of Lambda functions, split between two published versions by the weight in each alias.
//!
//! Every function of the service has the same share. Writes go to all of them at the same time and stop at
//! the first refusal; what stands in between shows as a share of its own and is named in the notes.

mod alias;
mod config;
mod deploy;
mod look;
mod preflight;
mod write;

pub use config::{AliasName, Config, FunctionName, Package, PerFunction};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    adapter::aws::{Aws, PROVIDER},
    domain::{
        names::SideName,
        observed::Observed,
        share::{Share, SideShares},
    },
    port::{
        Caps, Change, Context, Fault, Finding, Pace, Target,
        adapter::{Adapter, Setting, TargetAdapter},
    },
};
use alias::SIDES;
use config::Source;
use look::{Known, Look};

const SERVICE: &str = "lambda";
/// A small write that hangs has lost its answer.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// Calls under way at the same time.
const CALLS_MAX: usize = 16;
/// A look asks three times per function; accounts allow 15 calls a second and share them with others.
const CALL_FIRST: Duration = Duration::from_secs(10);
const CALL_EACH: Duration = Duration::from_millis(400);
const HEALTHY_FIRST: Duration = Duration::from_secs(600);
const HEALTHY_EACH: Duration = Duration::from_secs(2);

pub struct Lambda {
    aws: Arc<Aws>,
    functions: Vec<String>,
    alias: String,
    source: Source,
    /// The folder that `zip` starts from.
    base: PathBuf,
    sides: [SideName; 2],
    /// What is known of published versions: they do not change.
    known: Known,
    /// The latest look, until a write is based on it.
    last: Mutex<Option<Look>>,
    /// How many aliases were split when they were last looked at.
    split: AtomicUsize,
}

impl Adapter for Lambda {
    const NAME: &'static str = "lambda";
    const SUMMARY: &'static str = "Lambda functions behind an alias, split between two versions by weight";
    type Config = Config;
}

impl TargetAdapter for Lambda {
    const DEFAULT_CHECKS: &'static [(&'static str, &'static str)] =
        &[("errors", "{cloudwatch: lambda_errors, fail: above 1%}")];
    const DEPLOY_OPTIONS: &'static [&'static str] = &["zip", "s3"];

    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Target>, String> {
        let [blue, green] = SIDES.map(SideName::new);
        let functions = config.functions()?;
        Ok(Box::new(Lambda {
            aws: Aws::shared(&config.aws, setting),
            source: config.source()?,
            alias: config.alias.0,
            base: setting.base.clone(),
            sides: [blue.map_err(|e| e.to_string())?, green.map_err(|e| e.to_string())?],
            known: Known::default(),
            last: Mutex::default(),
            split: AtomicUsize::new(functions.len()),
            functions,
        }))
    }
}

#[async_trait]
impl Target for Lambda {
    fn caps(&self) -> Caps {
        Caps { sides: self.sides.clone(), deploys: true, retires: true, precondition: true, splits: true }
    }

    fn deploys_by_name(&self) -> Result<(), String> {
        match self.source.is_named_by_release() {
            false => Err("the package's place has no `{{release}}` in it, so that what lies there now would be published under the old name".into()),
            true => Ok(()),
        }
    }

    fn pace(&self) -> Pace {
        let functions = u32::try_from(self.functions.len()).unwrap_or(u32::MAX);
        Pace {
            call: CALL_FIRST + CALL_EACH * functions,
            healthy: HEALTHY_FIRST + HEALTHY_EACH * functions,
            ..Pace::default()
        }
    }

    fn between(&self, from: Share, to: Share) -> Vec<Share> {
        alias::between(from, to, self.split.load(Ordering::Relaxed))
    }

    async fn observe(&self, cx: &Context) -> Result<Observed, Fault> {
        let look = self.look(cx).await?;
        let observed = look.observed(self);
        self.remember(look);
        Ok(observed)
    }

    async fn split(&self, cx: &Context) -> Result<SideShares, Fault> {
        let look = self.glance(cx).await?;
        let shares = look.shares();
        self.remember(look);
        Ok(self.sides.iter().cloned().zip(shares).collect())
    }

    async fn apply(&self, cx: &Context, change: &Change) -> Result<(), Fault> {
        match change {
            Change::Share(split) => self.share(cx, self.share_of_first(split)?).await,
            Change::Deploy { side, release, artifact } => {
                self.deploy(cx, self.index(side)?, release.as_str(), artifact.as_deref()).await
            }
            Change::Revive { side } => self.revive(cx, self.index(side)?).await,
            Change::Retire { side } => self.retire(cx, self.index(side)?).await,
        }
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        self.aws.introduced(cx, preflight::preflight(self, cx)).await
    }
}

impl Lambda {
    /// `thumbs:production`
    fn object(&self, function: usize) -> String {
        format!("{}:{}", self.functions[function], self.alias)
    }

    /// The whole service, for messages.
    fn whole(&self) -> String {
        match self.functions.as_slice() {
            [one] => format!("{one}:{}", self.alias),
            many => format!("{} aliases {}", many.len(), self.alias),
        }
    }

    fn refusal(&self, operation: &str, why: impl std::fmt::Display) -> Fault {
        Fault::permanent(PROVIDER, operation, self.whole(), format!("{why}; nothing was changed"))
    }

    fn index(&self, side: &SideName) -> Result<usize, Fault> {
        let known = self.sides.iter().position(|known| known == side);
        known.ok_or_else(|| self.refusal("find the side", format!("there is no side {side}")))
    }

    /// What the change wants the first side to have.
    fn share_of_first(&self, split: &SideShares) -> Result<Share, Fault> {
        let refused = |why: String| self.refusal("set the weights", why);
        if let Some(stranger) = split.keys().find(|name| !self.sides.contains(name)) {
            return Err(refused(format!("there is no side {stranger}")));
        }
        match [0, 1].map(|side: usize| split.get(&self.sides[side]).copied()) {
            [Some(first), Some(second)] if first != second.rest() => {
                Err(refused(format!("{first} and {second} are not the whole")))
            }
            [Some(first), _] => Ok(first),
            [None, Some(second)] => Ok(second.rest()),
            [None, None] => Err(refused("no side was named".into())),
        }
    }
}

/// Runs one future per function, several at a time, in their order; ends at the first fault.
async fn all<T>(work: Vec<BoxFuture<'_, Result<T, Fault>>>) -> Result<Vec<T>, Fault> {
    stream::iter(work).buffered(CALLS_MAX).try_collect().await
}
