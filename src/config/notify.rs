//! `notify`: who hears how a release goes, and of what.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    entry::{Chosen, Spec, each, read_keys},
    problem::{Problems, join, refused},
};
use crate::{
    document::node::Node,
    domain::names::EntryName,
    port::Occasion,
    registry::{NotifierKind, Registry},
};

/// One who hears.
pub struct Notify {
    pub name: EntryName,
    pub notifier: Chosen<NotifierKind>,
    pub events: Vec<Occasion>,
}

/// What everyone who hears may have.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotifyKeys {
    /// Of what; every adapter has its usual ones.
    #[serde(default)]
    pub events: Option<Vec<Occasion>>,
}

pub(crate) fn spec(registry: &'static Registry) -> Spec<NotifierKind> {
    let kinds = registry.notifiers.iter().collect();
    Spec { later: &["every"], ..Spec::new::<NotifyKeys>("one who hears", kinds, &[]) }
}

pub(crate) fn read(tree: &Node, registry: &'static Registry, problems: &mut Problems) -> Vec<Notify> {
    let spec = spec(registry);
    each(tree.get("notify"), "notify", problems, |name, field, path, problems| {
        let notifier = spec.choose(&field.value, path, problems)?;
        let keys: NotifyKeys = problems.take(read_keys(&notifier.keys, &[], path))?;
        let events = keys.events.unwrap_or_else(|| notifier.kind.usual.to_vec());
        if events.is_empty() {
            let position = notifier.keys.get("events").map_or(notifier.position, |node| node.position);
            problems.add(refused(position, &join(path, "events"), "without an event it hears nothing"));
            return None;
        }
        Some(Notify { name, notifier, events })
    })
}
