//! Steps: `smoke`, `hooks`, and the entries inside services and migrations that run something.

use crate::document::nearest::suggestion;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    entry::{Chosen, Spec, each, read_keys},
    problem::{Problems, join, not_a_map, refused, with_hint},
};
use crate::{
    document::node::{Kind as Is, Located, Node},
    domain::{duration::Span, names::EntryName},
    registry::{CommandKind, Registry},
};

/// One step that runs something.
pub struct Step {
    pub name: EntryName,
    pub command: Chosen<CommandKind>,
    pub limit: Span,
}

/// A step and the moment it runs at, such as `before_deploy`.
pub struct Hook {
    pub moment: String,
    pub step: Step,
}

/// What every step may have.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepKeys {
    /// The longest it may take.
    #[serde(default = "five_minutes")]
    pub limit: Span,
}

pub(crate) fn five_minutes() -> Span {
    Span::from_secs(300)
}

/// The commands that can have a hook before and after them.
pub const HOOKED: [&str; 8] = [
    "snapshot_db",
    "migrate",
    "deploy",
    "smoke_test",
    "shift_traffic",
    "verify_metrics",
    "rollback",
    "finish",
];

/// Every key of `hooks`.
pub(crate) fn moments() -> Vec<String> {
    HOOKED.iter().flat_map(|c| [format!("before_{c}"), format!("after_{c}")]).collect()
}

pub(crate) fn kinds(registry: &'static Registry, sections: &[&str]) -> Vec<&'static CommandKind> {
    registry.commands.iter().filter(|k| k.sections.iter().any(|s| sections.contains(s))).collect()
}

fn spec(noun: &'static str, registry: &'static Registry, sections: &[&str]) -> Spec<CommandKind> {
    Spec { later: &["in"], ..Spec::new::<StepKeys>(noun, kinds(registry, sections), &[]) }
}

pub(crate) fn smoke_spec(registry: &'static Registry) -> Spec<CommandKind> {
    spec("a smoke test", registry, &["smoke"])
}

pub(crate) fn hook_spec(registry: &'static Registry) -> Spec<CommandKind> {
    spec("a hook", registry, &["hooks"])
}

pub(crate) fn deploy_spec(registry: &'static Registry) -> Spec<CommandKind> {
    Spec { text: Some("run"), ..spec("a deploy step", registry, &["deploy"]) }
}

/// `undo`, `revision` and `verify` of a migration.
pub(crate) fn migration_step_spec(registry: &'static Registry) -> Spec<CommandKind> {
    Spec { text: Some("run"), ..spec("a migration's step", registry, &["migrations", "smoke"]) }
}

pub(crate) fn read_step(
    spec: &Spec<CommandKind>,
    name: EntryName,
    node: &Node,
    path: &str,
    limit: Option<Span>,
    problems: &mut Problems,
) -> Option<Step> {
    let command = spec.choose(node, path, problems)?;
    let keys: StepKeys = problems.take(read_keys(&command.keys, &[], path))?;
    let own = command.keys.get("limit").is_some();
    let limit = limit.filter(|_| !own).unwrap_or(keys.limit);
    problems.take(lasts(limit, &command.keys, path))?;
    Some(Step { name, command, limit })
}

/// The step under `key` of an entry, if there is one; without a limit of its own it has `limit`.
pub(crate) fn nested_step(
    spec: &Spec<CommandKind>,
    keys: &Node,
    key: &str,
    path: &str,
    limit: Option<Span>,
    problems: &mut Problems,
) -> Option<Step> {
    let node = keys.get(key)?;
    let path = join(path, key);
    let name = problems.take_at(EntryName::new(key), node.position, &path)?;
    read_step(spec, name, node, &path, limit, problems)
}

/// A limit of nothing ends every step before it begins.
pub(crate) fn lasts(limit: Span, keys: &Node, path: &str) -> Result<(), Located> {
    if limit > Span::default() {
        return Ok(());
    }
    let position = keys.get("limit").map_or(keys.position, |n| n.position);
    Err(refused(position, &join(path, "limit"), "a limit of 0s lets nothing run"))
}

pub(crate) fn read_smoke(tree: &Node, registry: &'static Registry, problems: &mut Problems) -> Vec<Step> {
    let spec = smoke_spec(registry);
    each(tree.get("smoke"), "smoke", problems, |name, field, path, problems| {
        read_step(&spec, name, &field.value, path, None, problems)
    })
}

pub(crate) fn read_hooks(tree: &Node, registry: &'static Registry, problems: &mut Problems) -> Vec<Hook> {
    let spec = hook_spec(registry);
    let known = moments();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut hooks = Vec::new();
    let fields = match tree.get("hooks").map(|node| (&node.kind, node)) {
        None | Some((Is::Null, _)) => return hooks,
        Some((Is::Map(fields), _)) => fields,
        Some((_, node)) => {
            problems.add(not_a_map(node, "hooks", "a map such as `before_deploy: {name: {run: …}}`"));
            return hooks;
        }
    };
    for moment in fields {
        let path = join("hooks", &moment.key);
        if !known.contains(&moment.key.as_str()) {
            let message = "a hook runs before_ or after_ a command";
            let hint = suggestion(&moment.key, &known);
            problems.add(Located { hint, ..refused(moment.position, &path, message) });
            continue;
        }
        let steps = each(Some(&moment.value), &path, problems, |name, field, path, problems| {
            if spec.names().contains(&name.as_str()) {
                let message = "a hook has a name of its own first";
                let hint = format!("write `{}: {{NAME: {{{name}: …}}}}`", moment.key);
                problems.add(with_hint(refused(field.position, path, message), hint));
                return None;
            }
            read_step(&spec, name, &field.value, path, None, problems)
        });
        hooks.extend(steps.into_iter().map(|step| Hook { moment: moment.key.clone(), step }));
    }
    hooks
}
