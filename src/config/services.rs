//! `services`: what goes out.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    entry::{Chosen, Spec, each, read_keys},
    problem::{Problems, join, refused, with_hint},
    steps::{Step, deploy_spec, nested_step},
};
#[cfg(feature = "http")]
use crate::adapter::target::probed::{Health, VersionSource};
use crate::{
    document::node::Node,
    domain::{
        duration::Span,
        names::TargetName,
        share::Share,
        stage::{Stage, Stages},
        template,
    },
    registry::{Registry, TargetKind},
};

/// One service.
pub struct Service {
    pub name: TargetName,
    pub target: Chosen<TargetKind>,
    pub keys: ServiceKeys,
    /// Brings the candidate up where the target does not do so itself.
    pub deploy: Option<Step>,
    /// Takes the old side down where the target does not do so itself.
    pub retire: Option<Step>,
}

/// What every service may have, whatever its target.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceKeys {
    /// What `deploy` brings up on the idle side, with `{{release}}` in it; absent = another tool does.
    pub image: Option<String>,
    /// The public face: `https://api.example.com`.
    pub url: Option<String>,
    /// Reaches the candidate while it has no traffic.
    pub test_url: Option<String>,
    /// Stages of its own: the service is walked up by itself, in its place in the file.
    #[schemars(with = "Option<OneOrMoreStages>")]
    pub stages: Option<OwnStages>,
    /// The stage in which a target that cannot be split goes over (100%); a rollback takes it back first.
    pub switch_at: Option<SwitchAt>,
    /// How long requests in flight get before the old side is taken down at `finish`.
    pub drain: Option<Span>,
    /// Must answer 200 before an instance counts as healthy: a path, or
    /// `{http: /ready, expect: {status: 200, /db: up}, within: 2s}`.
    #[cfg(feature = "http")]
    pub health: Option<Health>,
    /// The path, and the pointer in its JSON, that say which version answers: `/version#/version`.
    #[cfg(feature = "http")]
    pub version: Option<VersionSource>,
}

/// `100%`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = r"^\d{1,3}(\.\d{1,2})? ?%$"))]
pub struct SwitchAt(pub Share);

impl TryFrom<String> for SwitchAt {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let share: Share = match text.trim_end().ends_with('%') {
            true => text.parse().map_err(|e| format!("{e}"))?,
            false => return Err(format!("`{text}` is not a share: write a percentage, such as `100%`")),
        };
        match share {
            Share::NONE => Err("at 0% nothing is ever switched".into()),
            share => Ok(SwitchAt(share)),
        }
    }
}

/// One stage, or several in rising order that end at 100 %.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "OneOrMoreStages")]
pub struct OwnStages(pub Stages);

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a stage such as `10% for 15m`, or a list of them")]
enum OneOrMoreStages {
    One(Stage),
    More(Vec<Stage>),
}

impl TryFrom<OneOrMoreStages> for OwnStages {
    type Error = String;
    fn try_from(stages: OneOrMoreStages) -> Result<Self, String> {
        let stages = match stages {
            OneOrMoreStages::One(stage) => vec![stage],
            OneOrMoreStages::More(stages) => stages,
        };
        Stages::new(stages).map(OwnStages)
    }
}

/// Keys of a service that hold entries of their own.
pub(crate) const NESTED: [&str; 2] = ["deploy", "retire"];
const LATER: &[&str] = &["after"];

pub(crate) fn spec(registry: &'static Registry) -> Spec<TargetKind> {
    let kinds = registry.targets.iter().collect();
    Spec { later: LATER, ..Spec::new::<ServiceKeys>("a service", kinds, &NESTED) }
}

pub(crate) fn read(tree: &Node, registry: &'static Registry, problems: &mut Problems) -> Vec<Service> {
    let spec = spec(registry);
    let deploy = deploy_spec(registry);
    let section = tree.get("services");
    let services = each(section, "services", problems, |name, field, path, problems| {
        let name = problems.take_at(TargetName::new(name.as_str()), field.position, path)?;
        let target = spec.choose(&field.value, path, problems)?;
        let nested = |key: &str, problems: &mut Problems| {
            nested_step(&deploy, &target.keys, key, path, None, problems)
        };
        let (deploy, retire) = (nested("deploy", problems), nested("retire", problems));
        let keys: ServiceKeys = problems.take(read_keys(&target.keys, &NESTED, path))?;
        check_texts(&keys, &target.keys, path, problems);
        Some(Service { name, target, keys, deploy, retire })
    });
    let written =
        matches!(section.map(|s| &s.kind), Some(crate::document::node::Kind::Map(f)) if !f.is_empty());
    if !written && section.is_none_or(super::is_map_or_null) {
        let position = section.map_or(tree.position, |s| s.position);
        let kinds = spec.names().join(", ");
        problems.add(with_hint(
            refused(position, "", "`services` is missing: a release needs at least one service"),
            format!("write `services: {{api: {{<target>: …}}}}` with one of: {kinds}"),
        ));
    }
    services
}

fn check_texts(keys: &ServiceKeys, nodes: &Node, path: &str, problems: &mut Problems) {
    let place = |key: &str| nodes.get(key).map_or(nodes.position, |n| n.position);
    for (key, url) in [("url", &keys.url), ("test_url", &keys.test_url)] {
        let fine = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        if let Some(url) = url.as_ref().filter(|url| !fine(url)) {
            let message = format!("`{url}` is not an address: begin with https:// or http://");
            problems.add(refused(place(key), &join(path, key), message));
        }
    }
    if let Some(image) = &keys.image {
        problems.take_at(template::words_of(image), place("image"), &join(path, "image"));
    }
}
