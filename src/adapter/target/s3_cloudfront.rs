//! A static site: files in an S3 bucket, CloudFront before it.
//!
//! What a page names must be there before the page is, and stay as long as a tab shows the page. So a file
//! with a hash in its name is sent first and never deleted, and only the rest is switched: it is kept twice,
//! in `.tidegate/blue/` and `.tidegate/green/`, and one of the two is copied over the live files.
//! `.tidegate/state.json` has what each place holds, and the last switch: `begun`, files, the page that
//! names the others, what only the other side had is deleted, invalidation, `done`. Killed anywhere in
//! between, neither side has the whole: both show half of the traffic, and the same switch, or the one
//! back, makes it whole. So does an invalidation that is still under way. Why not otherwise:
//! docs/decisions/static-assets.md.

mod cdn;
mod config;
mod deploy;
mod each;
mod folder;
mod look;
mod pattern;
mod preflight;
mod state;
mod store;
mod swap;

pub use config::Config;

use async_trait::async_trait;
use futures_util::{FutureExt, future::try_join};
use std::{path::PathBuf, time::Duration};

use crate::{
    adapter::aws::{Aws, PROVIDER},
    domain::{
        names::SideName,
        observed::{Activity, Observed, Side},
        share::{Share, SideShares},
    },
    port::{
        Caps, Change, Context, Fault, Finding, Pace, Target,
        adapter::{Adapter, Setting, TargetAdapter},
    },
};
use cdn::Cdn;
use config::{FileName, Prefix, ViewerPath};
use pattern::Pattern;
use state::{OWN, between};
use store::Store;

const SIDES: [&str; 2] = ["blue", "green"];
/// A thousand files are copied within seconds.
const CALL: Duration = Duration::from_secs(30);
/// CloudFront says minutes, and no number.
const SETTLE: Duration = Duration::from_secs(900);
const LOOK: Duration = Duration::from_secs(5);
const HEALTHY: Duration = Duration::from_secs(900);

pub struct Site {
    store: Store,
    cdn: Option<Cdn>,
    sides: [SideName; 2],
    prefix: Prefix,
    entry: FileName,
    upload: PathBuf,
    assets: Vec<Pattern>,
    invalidate: Vec<ViewerPath>,
}

impl Adapter for Site {
    const NAME: &'static str = "s3_cloudfront";
    const SUMMARY: &'static str = "static files on S3, switched as a whole, with CloudFront before them";
    type Config = Config;
}

impl TargetAdapter for Site {
    const DEFAULT_CHECKS: &'static [(&'static str, &'static str)] =
        &[("healthy", "{target: instances, fail: below 50%}")];
    const DEPLOY_OPTIONS: &'static [&'static str] = &["upload"];

    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Target>, String> {
        let aws = Aws::shared(&config.aws, setting);
        let [blue, green] = SIDES.map(SideName::new);
        Ok(Box::new(Site {
            cdn: config.distribution.map(|id| Cdn::new(aws.clone(), id.to_string())),
            store: Store {
                aws,
                bucket: config.bucket.to_string(),
                own: format!("{}{OWN}", config.prefix.as_str()),
                acl: config.acl,
            },
            sides: [blue.map_err(|why| why.to_string())?, green.map_err(|why| why.to_string())?],
            prefix: config.prefix,
            entry: config.entry,
            upload: setting.base.join(config.upload),
            assets: config.assets,
            invalidate: config.invalidate,
        }))
    }
}

#[async_trait]
impl Target for Site {
    fn caps(&self) -> Caps {
        Caps { sides: self.sides.clone(), deploys: true, retires: false, precondition: false, splits: false }
    }

    fn pace(&self) -> Pace {
        Pace { call: CALL, settle: SETTLE, healthy: HEALTHY, look: LOOK }
    }

    fn nearest(&self, share: Share) -> Share {
        if share >= between() { Share::ALL } else { Share::NONE }
    }

    /// Neither side has the whole while files are copied or caches still hold the old ones.
    fn between(&self, from: Share, to: Share) -> Vec<Share> {
        if from == to { Vec::new() } else { vec![between()] }
    }

    async fn observe(&self, cx: &Context) -> Result<Observed, Fault> {
        let own = format!("{}{OWN}", self.prefix.as_str());
        let (look, kept) = try_join(self.look(cx).boxed(), self.store.list(cx, &own).boxed()).await?;
        let side = |name: &SideName| Side {
            elastic: false,
            name: name.clone(),
            version: look.version(name),
            share: look.standing.share(name),
            instances: self.instance(&look, &kept, name).into_iter().collect(),
            labels: self.labels(),
        };
        let sides = self.sides.iter().map(side).collect();
        Ok(Observed { sides, activity: Activity::Idle, notes: self.notes(&look) })
    }

    async fn split(&self, cx: &Context) -> Result<SideShares, Fault> {
        let look = self.look(cx).await?;
        Ok(self.sides.iter().map(|side| (side.clone(), look.standing.share(side))).collect())
    }

    async fn apply(&self, cx: &Context, change: &Change) -> Result<(), Fault> {
        match change {
            Change::Share(split) => {
                let to = self.whole(split).map_err(|why| self.refusal("switch", why))?;
                self.switch(cx, to).await
            }
            Change::Deploy { artifact: Some(artifact), .. } => Err(self
                .refusal(
                    "deploy",
                    format!("it sends the folder `upload:` names, and no artifact ({artifact})"),
                )
                .hint("take `image:` out of the service")),
            Change::Deploy { side, release, artifact: None } => {
                self.known(side).map_err(|why| self.refusal("deploy", why))?;
                self.deploy(cx, side, release).await
            }
            Change::Revive { .. } | Change::Retire { .. } => {
                Err(self.refusal("start or stop a side", "files neither start nor stop"))
            }
        }
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        self.store.aws.introduced(cx, preflight::preflight(self, cx)).await
    }
}

impl Site {
    /// Where a file is live.
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix.as_str())
    }

    /// Where it is kept for a side.
    fn place_key(&self, side: &SideName, name: &str) -> String {
        format!("{}{OWN}{side}/{name}", self.prefix.as_str())
    }

    fn state_key(&self) -> String {
        format!("{}{OWN}state.json", self.prefix.as_str())
    }

    fn object(&self) -> String {
        format!("s3://{}/{}", self.store.bucket, self.prefix.as_str())
    }

    fn refusal(&self, operation: &str, why: impl std::fmt::Display) -> Fault {
        Fault::permanent(PROVIDER, operation, self.object(), why)
    }

    fn known<'s>(&'s self, side: &SideName) -> Result<&'s SideName, String> {
        self.sides.iter().find(|known| *known == side).ok_or_else(|| format!("there is no side {side}"))
    }

    /// The side that shall have everything.
    fn whole(&self, split: &SideShares) -> Result<&SideName, String> {
        for side in split.keys() {
            self.known(side)?;
        }
        let [first, second] = &self.sides;
        let share = match (split.get(first), split.get(second)) {
            (Some(first), Some(second)) if *first != second.rest() => {
                return Err(format!("{first} and {second} are not the whole"));
            }
            (Some(first), _) => *first,
            (None, Some(second)) => second.rest(),
            (None, None) => return Err("no side was named".into()),
        };
        match share {
            Share::ALL => Ok(first),
            Share::NONE => Ok(second),
            part => Err(format!("files cannot be split: {part} is neither all nor nothing")),
        }
    }

    /// Something made up, never the same again.
    fn made_up(&self) -> Result<String, Fault> {
        let mut bytes = [0u8; 8];
        getrandom::fill(&mut bytes).map_err(|why| self.refusal("switch", format!("no randomness: {why}")))?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
