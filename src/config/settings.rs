//! `journal`, `stages`, `when` and `finish`.

use crate::document::nearest::suggestion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    entry::{Chosen, Spec},
    problem::{Problems, refused},
};
use crate::{
    document::{
        de::from_node,
        node::{Kind as Is, Located, Node},
    },
    domain::{
        duration::Span,
        stage::{Stage, Stages},
    },
    engine::unit::{Finish, Reaction, When},
    port::adapter::Environment,
    registry::{JournalKind, Registry},
};

/// The journal of a file that names none, where no other is the usual one.
pub(crate) const JOURNAL: &str = "file";

/// A journal has no keys beside its adapter.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoKeys {}

pub(crate) fn journal_spec(registry: &'static Registry) -> Spec<JournalKind> {
    Spec::new::<NoKeys>("a journal", registry.journals.iter().collect(), &[])
}

pub(crate) fn names_journal(tree: &Node) -> bool {
    tree.get("journal").is_some_and(|node| node.kind != Is::Null)
}

pub(crate) fn read_journal(
    tree: &Node,
    registry: &'static Registry,
    env: &Environment,
    problems: &mut Problems,
) -> Option<Chosen<JournalKind>> {
    let spec = journal_spec(registry);
    let node = tree.get("journal").filter(|n| n.kind != Is::Null);
    let (name, position) = match node {
        None => {
            let usual = spec.kinds.iter().find(|kind| (kind.is_usual)(env));
            (usual.map_or(JOURNAL, |kind| kind.common.name), tree.position)
        }
        Some(Node { kind: Is::Text(name), position }) => (name.as_str(), *position),
        Some(node) => return spec.choose(node, "journal", problems),
    };
    match spec.kinds.iter().copied().find(|k| k.common.name == name) {
        Some(kind) => Some(Chosen::implied(kind, "journal", position)),
        None => {
            let hint = suggestion(name, &spec.names());
            let message = format!("there is no journal `{name}`");
            problems.add(Located { hint, ..refused(position, "journal", message) });
            None
        }
    }
}

/// Stages, one or several.
pub(crate) fn read_stages(tree: &Node, problems: &mut Problems) -> Option<Stages> {
    let Some(node) = tree.get("stages").filter(|n| n.kind != Is::Null) else {
        return Some(Stages::standard());
    };
    let nodes: &[Node] = match &node.kind {
        Is::List(items) => items,
        _ => std::slice::from_ref(node),
    };
    let mut stages: Vec<Stage> = Vec::with_capacity(nodes.len());
    for (index, item) in nodes.iter().enumerate() {
        let path = stage_path(node, index);
        if let Is::Map(fields) = &item.kind {
            let first = fields.first().map_or(item.position, |f| f.position);
            let message = "the long form of a stage is not supported yet: write `25% for 2d`";
            problems.add(refused(first, &path, message));
            return None;
        }
        stages.push(problems.take(from_node(item, &path))?);
    }
    let rises = |pair: &[Stage]| matches!(pair, [a, b] if b.to > a.to);
    let falls = stages.windows(2).position(|pair| !rises(pair)).map(|i| i + 1);
    let guilty = falls.and_then(|i| nodes.get(i)).or(nodes.last()).unwrap_or(node);
    problems.take_at(Stages::new(stages), guilty.position, "stages")
}

pub(crate) fn stage_path(section: &Node, index: usize) -> String {
    match section.kind {
        Is::List(_) => format!("stages[{index}]"),
        _ => "stages".to_string(),
    }
}

/// `hold`, `extend 15m`, `rollback` or `pass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^(hold|rollback|pass|extend .+)$"))]
pub(crate) struct Reacting(Reaction);

impl TryFrom<String> for Reacting {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "hold" => Ok(Reacting(Reaction::Hold)),
            "rollback" => Ok(Reacting(Reaction::Rollback)),
            "pass" => Ok(Reacting(Reaction::Pass)),
            other => match other.strip_prefix("extend ") {
                Some(span) => {
                    let span: Span = span.trim().parse().map_err(|e| format!("{e}"))?;
                    Ok(Reacting(Reaction::Extend(span)))
                }
                None => Err(format!("`{text}` is none of: hold, rollback, pass, `extend 15m`")),
            },
        }
    }
}

impl From<Reacting> for String {
    fn from(reacting: Reacting) -> String {
        match reacting.0 {
            Reaction::Hold => "hold".into(),
            Reaction::Rollback => "rollback".into(),
            Reaction::Pass => "pass".into(),
            Reaction::Extend(span) => format!("extend {span}"),
        }
    }
}

fn hold() -> Reacting {
    Reacting(Reaction::Hold)
}

fn rollback() -> Reacting {
    Reacting(Reaction::Rollback)
}

/// What `rollout` does at a verdict that is not `pass`, or when it is cancelled.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhenKeys {
    /// Evidence of harm: rollback or hold.
    #[serde(default = "rollback")]
    fail: Reacting,
    /// The time is over and the evidence is not there: hold, extend, rollback, or `pass` where a release of which
    /// nothing bad is known is good enough.
    #[serde(default = "hold")]
    insufficient: Reacting,
    /// A metric source could not be read.
    #[serde(default = "hold")]
    error: Reacting,
    /// The job was cancelled: hold or rollback.
    #[serde(default = "hold")]
    cancelled: Reacting,
    /// The requests are counted elsewhere than they were sent: hold, or `pass` where sessions stick or the checks
    /// count something else, and it is only told.
    #[serde(default = "hold")]
    elsewhere: Reacting,
}

pub(crate) fn read_when(tree: &Node, problems: &mut Problems) -> Option<When> {
    let Some(node) = tree.get("when").filter(|n| n.kind != Is::Null) else {
        return Some(When::default());
    };
    let keys: WhenKeys = problems.take(from_node(node, "when"))?;
    for (key, reacting) in [("fail", keys.fail), ("cancelled", keys.cancelled)] {
        if let (Reacting(Reaction::Extend(_)), Some(at)) = (reacting, node.get(key)) {
            let message = "only `rollback` or `hold`: watching longer changes nothing";
            problems.add(refused(at.position, &format!("when.{key}"), message));
        }
    }
    for (key, reacting) in [("fail", keys.fail), ("error", keys.error), ("cancelled", keys.cancelled)] {
        if let (Reacting(Reaction::Pass), Some(at)) = (reacting, node.get(key)) {
            let message = "only `insufficient` may be taken for a pass";
            problems.add(refused(at.position, &format!("when.{key}"), message));
        }
    }
    if let (Reacting(Reaction::Extend(_) | Reaction::Rollback), Some(at)) =
        (keys.elsewhere, node.get("elsewhere"))
    {
        let message = "only `hold` or `pass`";
        problems.add(refused(at.position, "when.elsewhere", message));
    }
    Some(When {
        fail: keys.fail.0,
        insufficient: keys.insufficient.0,
        error: keys.error.0,
        cancelled: keys.cancelled.0,
        elsewhere: keys.elsewhere.0,
    })
}

/// Afterwards.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FinishKeys {
    /// How long the old side is kept, healthy and scaled, after the last stage.
    #[serde(default = "keep_old")]
    keep_old: Span,
    /// How long after the finish `verify-metrics --recheck` asks the checks again; a `warn` counts.
    #[serde(default)]
    recheck: Vec<Span>,
}

fn keep_old() -> Span {
    Finish::default().keep_old
}

pub(crate) fn read_finish(tree: &Node, problems: &mut Problems) -> Option<Finish> {
    let Some(node) = tree.get("finish").filter(|n| n.kind != Is::Null) else {
        return Some(Finish::default());
    };
    let keys: FinishKeys = problems.take(from_node(node, "finish"))?;
    Some(Finish { keep_old: keys.keep_old, recheck: keys.recheck })
}
