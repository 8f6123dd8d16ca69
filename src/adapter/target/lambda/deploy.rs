//! Publishing the code, and putting the new version into the alias without traffic.
//!
//! Every step may be done again: code that is there is not sent again, AWS publishes the same code and
//! configuration once only, and an alias that is as wanted is not written.

use aws_config::SdkConfig;
use aws_sdk_lambda::{
    Client,
    operation::{publish_version::PublishVersionInput, update_function_code::UpdateFunctionCodeInput},
    primitives::Blob,
};
use futures_util::{FutureExt, StreamExt, stream};
use sha2::{Digest, Sha256};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Lambda, SERVICE, WRITE_LIMIT,
    alias::{Mark, Routing, Standing, Version, place},
    config::{PerFunction, Source},
    look::{Facts, Look, code, listed},
};
use crate::{
    adapter::aws::{Intent, PROVIDER, call},
    domain::share::Share,
    port::{Context, Fault, Treat},
};

/// AWS's limit for a package that is sent with the call.
pub const ZIP_BYTES_MAX: u64 = 50 * 1024 * 1024;
/// Packages are held in memory while they are sent.
const DEPLOYS_MAX: usize = 4;
const ATTEMPTS_MAX: usize = 4;
/// Code that is sent for longer than this has lost its answer; AWS may have to fetch it from a bucket.
const SEND_LIMIT: Duration = Duration::from_secs(60);
/// The slowest upload worth waiting for.
const BYTES_PER_SECOND_LEAST: u64 = 256 * 1024;
const LOOK_FIRST: Duration = Duration::from_millis(250);
const LOOK_MOST: Duration = Duration::from_secs(5);

/// What is to be published.
enum Code {
    Zip { package: Blob, sha256: String },
    S3 { bucket: String, key: String, version: Option<String> },
    Image(String),
}

/// A version that was published, by us now or by anybody before.
struct Published {
    version: Version,
    mark: Option<Mark>,
}

impl Lambda {
    /// Brings this side of every function up with the release, at no traffic.
    pub(super) async fn deploy(
        &self,
        cx: &Context,
        side: usize,
        release: &str,
        image: Option<&str>,
    ) -> Result<(), Fault> {
        self.forget();
        let look = self.look(cx).await?;
        let busy: Vec<&String> = (0..self.functions.len())
            .filter(|function| {
                let placed = &look.placed[*function];
                placed.counts && placed.shares[side].basis_points() > 0
            })
            .map(|function| &self.functions[function])
            .collect();
        if !busy.is_empty() {
            let why = format!("{} has traffic on {}", self.sides[side], listed(&busy));
            return Err(self.refusal("deploy", why));
        }
        let shared = match (&self.source, image) {
            (Source::Elsewhere, None) => return self.published_elsewhere(&look, side),
            (Source::Elsewhere, Some(image)) => Some(Arc::new(Code::Image(image.to_string()))),
            (_, Some(_)) => {
                let why = "the service has an `image:`, and its code comes from a package";
                return Err(self.refusal("deploy", why).hint("remove `image:`, or `zip` and `s3`"));
            }
            // one package for all is read once
            (Source::Zip(PerFunction::All(_)), None) => Some(Arc::new(self.code(0, release).await?)),
            (Source::Zip(PerFunction::Each(_)) | Source::S3(_), None) => None,
        };
        let failed = AtomicBool::new(false);
        let mark = Mark { release: release.to_string(), side };
        let mut each = Vec::with_capacity(self.functions.len());
        for function in 0..self.functions.len() {
            each.push(self.bring_up(cx, &failed, function, shared.clone(), &mark, &look).boxed());
        }
        let results: Vec<_> = stream::iter(each).buffered(DEPLOYS_MAX).collect().await;
        let results = results.into_iter().flatten().collect::<Result<Vec<bool>, Fault>>()?;
        if !results.contains(&true) {
            let why = format!(
                "there is nothing new: code and configuration of {} are those that serve already",
                listed(&self.functions)
            );
            return Err(Fault::permanent(PROVIDER, "deploy", self.whole(), why)
                .hint("build the package of this release first; or there is nothing to release"));
        }
        Ok(())
    }

    /// One function of several, which is not begun once another failed; whether it has a new version.
    async fn bring_up(
        &self,
        cx: &Context,
        failed: &AtomicBool,
        function: usize,
        shared: Option<Arc<Code>>,
        mark: &Mark,
        look: &Look,
    ) -> Option<Result<bool, Fault>> {
        if failed.load(Ordering::Relaxed) {
            return None;
        }
        let result = self.brought_up(cx, function, shared, mark, look).await;
        failed.fetch_or(result.is_err(), Ordering::Relaxed);
        Some(result)
    }

    async fn brought_up(
        &self,
        cx: &Context,
        function: usize,
        shared: Option<Arc<Code>>,
        mark: &Mark,
        look: &Look,
    ) -> Result<bool, Fault> {
        let code = match shared {
            Some(code) => code,
            None => Arc::new(self.code(function, &mark.release).await?),
        };
        let published = self.publish(cx, function, &code, mark).await?;
        self.put(cx, function, mark.side, &published, look).await
    }

    /// Another tool publishes: its versions must be in the aliases.
    fn published_elsewhere(&self, look: &Look, side: usize) -> Result<(), Fault> {
        let there = look.placed.iter().any(|p| p.versions[side].is_some());
        let lacking: Vec<&String> = look
            .placed
            .iter()
            .zip(&self.functions)
            .filter(|(p, _)| p.versions[side].is_none() && (p.counts || !there))
            .map(|(_, name)| name)
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let why = format!("the alias of {} has no second version, and no code was given", listed(&lacking));
        Err(self.refusal("deploy", why).hint(
            "give `zip`, `s3` or the service's `image:`; or let your own tool publish a version and add it to the \
             alias at weight 0 before this",
        ))
    }

    async fn code(&self, function: usize, release: &str) -> Result<Code, Fault> {
        let name = &self.functions[function];
        let refused = |why: String| self.refusal("deploy", why);
        match &self.source {
            Source::Zip(paths) => {
                let path = paths.of(name, release).map_err(|why| refused(format!("zip: {why}")))?;
                let package = package(&self.base.join(&path)).await;
                let package = package.map_err(|why| refused(format!("zip: {path}: {why}")))?;
                let sha256 = aws_smithy_types::base64::encode(Sha256::digest(&package));
                Ok(Code::Zip { package: Blob::new(package), sha256 })
            }
            Source::S3(package) => {
                let key = package.key.of(name, release).map_err(|why| refused(format!("s3: {why}")))?;
                Ok(Code::S3 { bucket: package.bucket.clone(), key, version: package.version.clone() })
            }
            Source::Elsewhere => Err(refused("no code was given".into())),
        }
    }

    async fn publish(
        &self,
        cx: &Context,
        function: usize,
        package: &Code,
        mark: &Mark,
    ) -> Result<Published, Fault> {
        let before = self.settled(cx, function).await?;
        self.fits(function, package, &before)?;
        let mut latest = match package.is_in(&before) {
            true => before,
            false => self.send(cx, function, package, before).await?,
        };
        let name = &self.functions[function];
        let intent = Intent::write(SERVICE, "PublishVersion", name);
        let mut attempt = 0;
        loop {
            let writing = cx.within(WRITE_LIMIT);
            let asked = PublishVersionInput::builder()
                .function_name(name)
                .code_sha256(&latest.code_sha256)
                .set_revision_id(latest.revision.clone())
                .description(mark.to_string());
            let answer = call(&self.aws, &writing, &intent, move |config: SdkConfig| {
                let asked = asked.clone();
                async move { asked.send_with(&Client::new(&config)).await }
            });
            let fault = match answer.await {
                Ok(published) => {
                    let version = published.version.map(Version);
                    let version = version.ok_or_else(|| {
                        Fault::outcome_unknown(PROVIDER, "publish", name, "the answer has no version")
                    })?;
                    let mark = Mark::read(published.description.as_deref().unwrap_or_default());
                    return Ok(Published { version, mark });
                }
                Err(fault) if may_look_again(&fault) => fault,
                Err(fault) => return Err(fault),
            };
            attempt += 1;
            if attempt >= ATTEMPTS_MAX || cx.left().is_zero() {
                return Err(fault);
            }
            // the same code is published once only, so that asking again is safe while it is the same
            let now = self.settled(cx, function).await.map_err(|why| unseen(fault.clone(), &why))?;
            if now.code_sha256 != latest.code_sha256 {
                return Err(meanwhile(name, fault));
            }
            latest = now;
        }
    }

    /// Sends the code and waits until it is what would be published.
    async fn send(
        &self,
        cx: &Context,
        function: usize,
        package: &Code,
        mut latest: Facts,
    ) -> Result<Facts, Fault> {
        let name = &self.functions[function];
        let intent = Intent::write(SERVICE, "UpdateFunctionCode", name);
        let limit = SEND_LIMIT + Duration::from_secs(package.bytes() / BYTES_PER_SECOND_LEAST);
        for _ in 0..ATTEMPTS_MAX {
            let writing = cx.within(limit);
            let asked = UpdateFunctionCodeInput::builder()
                .function_name(name)
                .set_revision_id(latest.revision.clone());
            let asked = match package {
                Code::Zip { package, .. } => asked.zip_file(package.clone()),
                Code::S3 { bucket, key, version } => {
                    asked.s3_bucket(bucket).s3_key(key).set_s3_object_version(version.clone())
                }
                Code::Image(uri) => asked.image_uri(uri),
            };
            let answer = call(&self.aws, &writing, &intent, move |config: SdkConfig| {
                let asked = asked.clone();
                async move { asked.send_with(&Client::new(&config)).await }
            });
            let fault = answer.await.err();
            if let Some(fault) = &fault
                && !may_look_again(fault)
            {
                return Err(fault.clone());
            }
            latest = self.settled(cx, function).await.map_err(|why| match &fault {
                Some(fault) => unseen(fault.clone(), &why),
                None => Fault::outcome_unknown(
                    PROVIDER,
                    format!("{SERVICE}:UpdateFunctionCode"),
                    name,
                    format!("it was accepted; {}", why.detail),
                ),
            })?;
            if let Some(why) = &latest.update_failed {
                return Err(Fault::permanent(PROVIDER, "update the code", name, why));
            }
            match (package, fault) {
                _ if package.is_in(&latest) => return Ok(latest),
                (Code::Zip { .. }, None) => {
                    let fault = Fault::permanent(PROVIDER, "update the code", name, "");
                    return Err(meanwhile(name, fault));
                }
                (Code::Zip { .. }, Some(fault)) if code(&fault) == "PreconditionFailedException" => {
                    return Err(meanwhile(name, fault));
                }
                (_, None) => return Ok(latest),
                // a write is not begun at the deadline: nobody would see what becomes of it
                (_, Some(fault)) if cx.left().is_zero() => {
                    return Err(Fault { treat: Treat::OutcomeUnknown, ..fault });
                }
                // whether it arrived cannot be seen: the same once more, on what is there now
                (_, Some(_)) => {}
            }
        }
        let detail = "the answers were lost again and again; what the function has now is not known";
        Err(Fault::outcome_unknown(PROVIDER, "update the code", name, detail))
    }

    /// `$LATEST`, once nothing changes it any more.
    async fn settled(&self, cx: &Context, function: usize) -> Result<Facts, Fault> {
        let mut wait = LOOK_FIRST;
        loop {
            let latest = self.latest(cx, function).await?;
            if !latest.updating {
                return Ok(latest);
            }
            if cx.left() <= wait {
                let name = &self.functions[function];
                let detail = "an update of the function is still in progress";
                return Err(Fault::temporary(PROVIDER, "wait for the function", name, detail));
            }
            cx.clock().sleep(wait).await;
            wait = (wait * 2).min(LOOK_MOST);
        }
    }

    fn fits(&self, function: usize, package: &Code, latest: &Facts) -> Result<(), Fault> {
        let name = &self.functions[function];
        let (is, given) = match (latest.image, package) {
            (true, Code::Zip { .. } | Code::S3 { .. }) => ("an image", "a package"),
            (false, Code::Image(_)) => ("a package", "an image"),
            _ => return Ok(()),
        };
        let why = format!("{name} runs from {is} and was given {given}; AWS does not change that");
        Err(self.refusal("deploy", why))
    }

    /// Puts a version into the free place of the alias; whether it is another one than the one that serves.
    async fn put(
        &self,
        cx: &Context,
        function: usize,
        side: usize,
        published: &Published,
        look: &Look,
    ) -> Result<bool, Fault> {
        let placed = &look.placed[function];
        let seen = &look.aliases[function].routing;
        let new = &published.version;
        let Some(serving) = &placed.versions[1 - side] else {
            return Err(self.refusal("deploy", format!("{} serves on no side", self.functions[function])));
        };
        let wanted = if serving == new {
            // both sides are this one; an older candidate must not be taken for the new one
            Routing::alone(serving)
        } else if placed.primary == side {
            Routing { primary: new.clone(), additional: Some((serving.clone(), Share::ALL)) }
        } else {
            Routing { primary: serving.clone(), additional: Some((new.clone(), Share::NONE)) }
        };
        if serving != new {
            self.keeps_its_side(function, side, published, &wanted, look)?;
        }
        let mut base = look.aliases[function].clone();
        let mut attempt = 0;
        while base.routing != wanted {
            if base.routing != *seen {
                let why = format!("its alias was changed meanwhile: {}", base.routing);
                return Err(self.refusal("deploy", format!("{}: {why}", self.functions[function])));
            }
            let fault = match self.write(cx, function, &base, &wanted).await {
                Ok(()) => break,
                Err(fault) if fault.treat == Treat::Permanent => return Err(fault),
                Err(fault) => fault,
            };
            attempt += 1;
            if attempt >= ATTEMPTS_MAX || cx.left().is_zero() {
                return Err(fault);
            }
            base = self.alias(cx, function).await.map_err(|why| unseen(fault, &why))?;
        }
        Ok(serving != new)
    }

    /// A version that was published before may be marked for the side that serves now.
    fn keeps_its_side(
        &self,
        function: usize,
        side: usize,
        published: &Published,
        wanted: &Routing,
        look: &Look,
    ) -> Result<(), Fault> {
        let standing = &look.standings[function];
        let serving = match &standing.routing.additional {
            Some((version, _)) if *version != wanted.primary && wanted.primary == published.version => {
                standing.marked[1]
            }
            _ => standing.marked[0],
        };
        let new = published.mark.as_ref().map(|mark| mark.side);
        let marked = if wanted.primary == published.version { [new, serving] } else { [serving, new] };
        let mut standings: Vec<Standing> = look.standings.clone();
        standings[function] = Standing { routing: wanted.clone(), marked, ..standing.clone() };
        let placed = place(&standings);
        if placed.get(function).and_then(|p| p.versions[side].as_ref()) == Some(&published.version) {
            return Ok(());
        }
        let name = &self.functions[function];
        let why = format!(
            "version {} of {name} has the same code and was published for {} before, which serves now",
            published.version,
            self.sides[1 - side]
        );
        Err(self.refusal("deploy", why).hint(format!(
            "change something so that a new version is published, such as the description: \
             `aws lambda update-function-configuration --function-name {name} --description TEXT`"
        )))
    }
}

impl Code {
    /// Whether it is what would be published, as far as that can be told without sending it.
    fn is_in(&self, latest: &Facts) -> bool {
        match self {
            Code::Zip { sha256, .. } => *sha256 == latest.code_sha256 && latest.update_failed.is_none(),
            Code::S3 { .. } | Code::Image(_) => false,
        }
    }

    /// That go out with the call.
    fn bytes(&self) -> u64 {
        match self {
            Code::Zip { package, .. } => package.as_ref().len() as u64,
            Code::S3 { .. } | Code::Image(_) => 0,
        }
    }
}

/// The answer was lost, or something came before it: what is there now tells.
fn may_look_again(fault: &Fault) -> bool {
    fault.treat == Treat::OutcomeUnknown
        || matches!(code(fault), "PreconditionFailedException" | "ResourceConflictException")
}

/// A write whose answer was lost, and what is there now could not be looked at.
fn unseen(fault: Fault, why: &Fault) -> Fault {
    let detail = format!("{}; what became of it could not be seen: {}", fault.detail, why.detail);
    Fault { treat: Treat::OutcomeUnknown, detail, ..fault }
}

fn meanwhile(function: &str, fault: Fault) -> Fault {
    let detail = "somebody else changed its code or configuration meanwhile; the alias is as it was";
    Fault { treat: Treat::Permanent, object: function.to_string(), detail: detail.into(), ..fault }
        .hint("find out who deploys beside this release, then run `tidegate deploy` again")
}

/// The bytes of a package, if it is one that can be sent.
async fn package(path: &Path) -> Result<Vec<u8>, String> {
    check_package(path).await?;
    tokio::fs::read(path).await.map_err(|e| e.to_string())
}

/// Whether a package is there and small enough.
pub async fn check_package(path: &Path) -> Result<u64, String> {
    let found = tokio::fs::metadata(path).await.map_err(|e| e.to_string())?;
    match found.len() {
        _ if !found.is_file() => Err("it is not a file".into()),
        0 => Err("it is empty".into()),
        bytes if bytes > ZIP_BYTES_MAX => Err(format!(
            "it has {} MiB, and at most 50 can be sent this way: upload it to a bucket and give `s3`",
            bytes.div_ceil(1024 * 1024)
        )),
        bytes => Ok(bytes),
    }
}
