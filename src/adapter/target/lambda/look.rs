//! One look at the aliases and at the versions behind them.

use aws_config::SdkConfig;
use aws_sdk_lambda::{
    Client,
    operation::{
        get_alias::GetAliasInput,
        get_function_configuration::{GetFunctionConfigurationInput, GetFunctionConfigurationOutput},
    },
    types::{LastUpdateStatus, PackageType, State},
};
use futures_util::FutureExt;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError, atomic::Ordering},
};

use super::{
    Lambda, SERVICE,
    alias::{Mark, Placed, Routing, Standing, Version, mean, place},
    all,
};
use crate::{
    adapter::aws::{Intent, PROVIDER, call},
    domain::{
        observed::{Activity, Health, Instance, Observed, Side},
        share::Share,
    },
    port::{Context, Fault},
};

/// What is being edited, as opposed to published.
pub const LATEST: &str = "$LATEST";
const NOTED_MAX: usize = 10;

/// An alias as it was read.
#[derive(Clone, Debug)]
pub struct Alias {
    pub routing: Routing,
    /// The precondition of the next write.
    pub revision: Option<String>,
}

/// What is known of a version, or of `$LATEST`.
#[derive(Clone, Debug)]
pub struct Facts {
    pub mark: Option<Mark>,
    pub health: Health,
    /// It will not change any more.
    settled: bool,
    pub updating: bool,
    /// Why the last update failed.
    pub update_failed: Option<String>,
    pub modified: String,
    pub code_sha256: String,
    pub revision: Option<String>,
    pub role: String,
    pub dead_letters: Option<String>,
    pub image: bool,
}

/// Facts of published versions, for the life of the process.
#[derive(Default)]
pub struct Known(Mutex<HashMap<(usize, Version), Facts>>);

impl Known {
    fn get(&self, function: usize, version: &Version) -> Option<Facts> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(function, version.clone())).cloned()
    }

    fn put(&self, function: usize, version: &Version, facts: &Facts) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((function, version.clone()), facts.clone());
    }
}

/// All functions, in the order of the file.
pub struct Look {
    pub aliases: Vec<Alias>,
    pub standings: Vec<Standing>,
    pub placed: Vec<Placed>,
    /// Of the primary and of the additional version.
    pub facts: Vec<[Option<Facts>; 2]>,
}

impl Lambda {
    /// Looks at everything.
    pub(super) async fn look(&self, cx: &Context) -> Result<Look, Fault> {
        self.looked(cx, false).await
    }

    /// Looks at the aliases; what was said of versions before is taken as it was.
    pub(super) async fn glance(&self, cx: &Context) -> Result<Look, Fault> {
        self.looked(cx, true).await
    }

    async fn looked(&self, cx: &Context, known_is_enough: bool) -> Result<Look, Fault> {
        let mut reads = Vec::with_capacity(self.functions.len());
        for function in 0..self.functions.len() {
            reads.push(self.read(cx, function, known_is_enough).boxed());
        }
        let (aliases, facts): (Vec<Alias>, Vec<[Option<Facts>; 2]>) = all(reads).await?.into_iter().unzip();
        let split = aliases.iter().any(|alias| alias.routing.additional.is_some());
        let mut stands = Vec::with_capacity(self.functions.len());
        for (function, (alias, facts)) in aliases.iter().zip(&facts).enumerate() {
            stands.push(self.standing(cx, function, alias, facts, split).boxed());
        }
        let standings = all(stands).await?;
        let placed = place(&standings);
        let counting = placed.iter().filter(|p| p.counts).count();
        self.split.store(counting, Ordering::Relaxed);
        Ok(Look { placed, aliases, standings, facts })
    }

    /// An alias, and what is known of its versions.
    async fn read(
        &self,
        cx: &Context,
        function: usize,
        known_is_enough: bool,
    ) -> Result<(Alias, [Option<Facts>; 2]), Fault> {
        let alias = self.alias(cx, function).await?;
        let primary = self.version(cx, function, &alias.routing.primary, known_is_enough).await?;
        let additional = match &alias.routing.additional {
            Some((version, _)) => Some(self.version(cx, function, version, known_is_enough).await?),
            None => None,
        };
        Ok((alias, [Some(primary), additional]))
    }

    /// `split` says whether any alias is.
    async fn standing(
        &self,
        cx: &Context,
        function: usize,
        alias: &Alias,
        [primary, additional]: &[Option<Facts>; 2],
        split: bool,
    ) -> Result<Standing, Fault> {
        let side = |facts: &Option<Facts>| facts.as_ref()?.mark.as_ref().map(|mark| mark.side);
        let release = |facts: &Option<Facts>| Some(facts.as_ref()?.mark.as_ref()?.release.clone());
        let time =
            |facts: &Option<Facts>| facts.as_ref().map_or_else(String::new, |facts| facts.modified.clone());
        let code = primary.as_ref().map_or("", |facts| facts.code_sha256.as_str());
        // where some are split, those that are not have nothing new, or were left behind
        let newest = split
            && alias.routing.additional.is_none()
            && self.latest(cx, function).await?.code_sha256 == code;
        Ok(Standing {
            routing: alias.routing.clone(),
            marked: [side(primary), side(additional)],
            released: [release(primary), release(additional)],
            published: [time(primary), time(additional)],
            newest,
        })
    }

    pub(super) fn remember(&self, look: Look) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
    }

    /// A write comes, or came, that does not start from what was seen last.
    pub(super) fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What was seen last, for one write; a new look where nothing was, or where a write was based on it.
    pub(super) async fn seen(&self, cx: &Context) -> Result<Look, Fault> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
        match last {
            Some(look) => Ok(look),
            None => self.glance(cx).await,
        }
    }

    pub(super) async fn alias(&self, cx: &Context, function: usize) -> Result<Alias, Fault> {
        let intent = Intent::read(SERVICE, "GetAlias", self.object(function));
        let (name, alias) = (&self.functions[function], &self.alias);
        let asked = GetAliasInput::builder().function_name(name).name(alias);
        let found = call(&self.aws, cx, &intent, move |config: SdkConfig| {
            let asked = asked.clone();
            async move { asked.send_with(&Client::new(&config)).await }
        })
        .await
        .map_err(|fault| match code(&fault) {
            "ResourceNotFoundException" => fault.hint(format!(
                "make it: `aws lambda create-alias --function-name {name} --name {alias} --function-version NUMBER`"
            )),
            _ => fault,
        })?;
        let weights = found.routing_config.and_then(|routing| routing.additional_version_weights);
        let routing = routing(found.function_version, weights);
        let routing =
            routing.map_err(|why| Fault::permanent(PROVIDER, "read the alias", &intent.object, why))?;
        Ok(Alias { routing, revision: found.revision_id })
    }

    pub(super) async fn version(
        &self,
        cx: &Context,
        function: usize,
        version: &Version,
        known_is_enough: bool,
    ) -> Result<Facts, Fault> {
        if let Some(facts) = self.known.get(function, version)
            && (facts.settled || known_is_enough)
        {
            return Ok(facts);
        }
        let facts = self.configuration(cx, function, &version.0).await?;
        if version.0 != LATEST {
            self.known.put(function, version, &facts);
        }
        Ok(facts)
    }

    /// What would be published now.
    pub(super) async fn latest(&self, cx: &Context, function: usize) -> Result<Facts, Fault> {
        self.configuration(cx, function, LATEST).await
    }

    async fn configuration(&self, cx: &Context, function: usize, version: &str) -> Result<Facts, Fault> {
        let name = &self.functions[function];
        let intent = Intent::read(SERVICE, "GetFunctionConfiguration", format!("{name}:{version}"));
        let asked = GetFunctionConfigurationInput::builder().function_name(name).qualifier(version);
        let found = call(&self.aws, cx, &intent, move |config: SdkConfig| {
            let asked = asked.clone();
            async move { asked.send_with(&Client::new(&config)).await }
        });
        Ok(facts(found.await?))
    }
}

/// The error's name in AWS's words.
pub fn code(fault: &Fault) -> &str {
    fault.detail.split(':').next().unwrap_or_default()
}

/// Routing as AWS answers it.
pub fn routing(version: Option<String>, weights: Option<HashMap<String, f64>>) -> Result<Routing, String> {
    let primary = Version(version.ok_or("it has no version")?);
    let mut weights = weights.unwrap_or_default().into_iter();
    match (weights.next(), weights.next()) {
        (None, _) => Ok(Routing { primary, additional: None }),
        (Some((version, weight)), None) => {
            Ok(Routing { primary, additional: Some((Version(version), Routing::share(weight))) })
        }
        (Some(_), Some(_)) => Err("it has more than two versions".into()),
    }
}

fn facts(found: GetFunctionConfigurationOutput) -> Facts {
    let reason = |reason: Option<String>| reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let updating = found.last_update_status == Some(LastUpdateStatus::InProgress);
    let update_failed = (found.last_update_status == Some(LastUpdateStatus::Failed))
        .then(|| format!("its last update failed{}", reason(found.last_update_status_reason)));
    let health = match (&found.state, &update_failed) {
        (_, Some(why)) => Health::Down { why: why.clone() },
        // an idle function sleeps, and wakes with its next call
        (None | Some(State::Active | State::Inactive), None) => Health::Up,
        (Some(other), None) => {
            Health::Down { why: format!("{}{}", other.as_str(), reason(found.state_reason)) }
        }
    };
    Facts {
        mark: Mark::read(found.description.as_deref().unwrap_or_default()),
        settled: health == Health::Up && !updating,
        health,
        updating: updating || found.state == Some(State::Pending),
        update_failed,
        modified: found.last_modified.unwrap_or_default(),
        code_sha256: found.code_sha256.unwrap_or_default(),
        revision: found.revision_id,
        role: found.role.unwrap_or_default(),
        dead_letters: found.dead_letter_config.and_then(|letters| letters.target_arn),
        image: found.package_type == Some(PackageType::Image),
    }
}

impl Look {
    /// Of both sides, over the functions that count.
    pub fn shares(&self) -> [Share; 2] {
        let counting: Vec<Share> = self.placed.iter().filter(|p| p.counts).map(|p| p.shares[0]).collect();
        let first = mean(&counting);
        [first, first.rest()]
    }

    pub(super) fn observed(&self, target: &Lambda) -> Observed {
        let shares = self.shares();
        let sides = [0, 1].map(|side| self.side(target, side, shares[side]));
        Observed { sides: sides.into(), activity: Activity::Idle, notes: self.notes(target) }
    }

    /// What is known of the version that a function has on a side.
    fn facts(&self, function: usize, side: usize) -> Option<(&Version, &Facts)> {
        let placed = &self.placed[function];
        let facts = &self.facts[function][usize::from(placed.primary != side)];
        Some((placed.versions[side].as_ref()?, facts.as_ref()?))
    }

    fn side(&self, target: &Lambda, side: usize, share: Share) -> Side {
        let mut instances = Vec::new();
        let (mut functions, mut versions, mut releases) = (Vec::new(), Vec::new(), Vec::new());
        let served = self.placed.iter().any(|p| p.versions[side].is_some());
        for (function, name) in target.functions.iter().enumerate() {
            match self.facts(function, side) {
                Some((version, facts)) => {
                    let name = format!("{name}:{version}");
                    instances.push(Instance { name, address: None, health: facts.health.clone() });
                    functions.push(target.functions[function].as_str());
                    versions.push(version.0.as_str());
                    releases.push(facts.mark.as_ref().map(|mark| mark.release.as_str()));
                }
                None if served && self.placed[function].counts => {
                    let why = format!("alias {} has no version of this side", target.alias);
                    instances.push(Instance {
                        name: name.clone(),
                        address: None,
                        health: Health::Down { why },
                    });
                }
                None => {}
            }
        }
        let release = releases.first().copied().flatten();
        let version = match release {
            Some(release) if releases.iter().all(|other| *other == Some(release)) => {
                Some(release.to_string())
            }
            _ => (!versions.is_empty()).then(|| {
                let pairs: Vec<String> = functions
                    .iter()
                    .zip(&versions)
                    .map(|(name, version)| format!("{name}:{version}"))
                    .collect();
                pairs.join(",")
            }),
        };
        let labels = match versions.is_empty() {
            true => BTreeMap::new(),
            false => [
                ("functions", functions.join(",")),
                ("alias", target.alias.clone()),
                ("versions", versions.join(",")),
            ]
            .map(|(name, value)| (name.to_string(), value))
            .into(),
        };
        Side { name: target.sides[side].clone(), version, share, instances, elastic: false, labels }
    }

    fn notes(&self, target: &Lambda) -> Vec<String> {
        let mut notes = Vec::new();
        let counting: Vec<(usize, Share)> =
            self.placed.iter().enumerate().filter(|(_, p)| p.counts).map(|(f, p)| (f, p.shares[1])).collect();
        let differ = counting.iter().any(|(_, share)| *share != counting[0].1);
        if differ {
            let mut by_share: BTreeMap<Share, Vec<&str>> = BTreeMap::new();
            for (function, share) in &counting {
                by_share.entry(*share).or_default().push(&target.functions[*function]);
            }
            let each: Vec<String> =
                by_share.iter().map(|(share, names)| format!("{} at {share}", listed(names))).collect();
            notes.push(format!("the functions differ in what {} has: {}", target.sides[1], each.join(", ")));
        }
        let same: Vec<&str> = self
            .placed
            .iter()
            .zip(&target.functions)
            .filter(|(p, _)| !p.counts)
            .map(|(_, name)| name.as_str())
            .collect();
        if !same.is_empty() {
            notes.push(format!(
                "this release changes nothing of {}: one version serves both sides",
                listed(&same)
            ));
        }
        notes
    }
}

/// Names with commas, and how many more.
pub fn listed<T: std::fmt::Display>(names: &[T]) -> String {
    let shown: Vec<String> = names.iter().take(NOTED_MAX).map(ToString::to_string).collect();
    match names.len().saturating_sub(NOTED_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
