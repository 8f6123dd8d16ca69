//! `environments`: what differs elsewhere. The file itself is production.

use super::problem::{Problems, not_a_map, refused, with_hint};
use crate::document::nearest::suggestion;
use crate::{
    document::node::{Entry as Field, Kind as Is, Node, merge},
    domain::names::EnvironmentName,
    error::Failure,
};

pub(crate) const PRODUCTION: &str = "production";
const SECTION: &str = "environments";

/// The environments that the file lists, each with what differs there.
pub(crate) fn listed<'a>(tree: &'a Node, problems: &mut Problems) -> Vec<(EnvironmentName, &'a Node)> {
    let fields = match tree.get(SECTION).map(|node| (&node.kind, node)) {
        None | Some((Is::Null, _)) => return Vec::new(),
        Some((Is::Map(fields), _)) => fields,
        Some((_, node)) => {
            problems.add(not_a_map(node, SECTION, "a map of names and what differs there"));
            return Vec::new();
        }
    };
    let mut environments = Vec::with_capacity(fields.len());
    for field in fields {
        let path = format!("{SECTION}.{}", field.key);
        check_overlay(field, &path, problems);
        environments.extend(
            problems
                .take_at(EnvironmentName::new(&*field.key), field.position, &path)
                .map(|name| (name, &field.value)),
        );
    }
    environments
}

fn check_overlay(field: &Field, path: &str, problems: &mut Problems) {
    if field.key == PRODUCTION {
        let message = "the file itself is production: write this into its sections";
        problems.add(refused(field.position, path, message));
    }
    match &field.value.kind {
        Is::Map(fields) => {
            for inner in fields.iter().filter(|f| f.key == SECTION || f.key == "name") {
                let message = format!("`{}` is the same in every environment", inner.key);
                problems.add(refused(inner.position, path, message));
            }
        }
        Is::Null => {}
        _ => problems.add(not_a_map(&field.value, path, "a map of the sections that differ")),
    }
}

/// The file as it is in `environment`.
pub(crate) fn tree_in(tree: &Node, over: Option<&Node>) -> Node {
    match over {
        None => tree.clone(),
        Some(over) => merge(tree.clone(), over.clone()),
    }
}

/// Any name but `production` must be listed.
pub(crate) fn unlisted(
    file: &str,
    environment: &EnvironmentName,
    listed: &[(EnvironmentName, &Node)],
) -> Failure {
    let names: Vec<&str> =
        std::iter::once(PRODUCTION).chain(listed.iter().map(|(name, _)| name.as_str())).collect();
    Failure::Usage {
        message: format!("environment `{environment}` is not listed in `environments` of {file}"),
        hint: suggestion(environment.as_str(), &names),
    }
}

/// Says in which environment a refusal holds.
pub(crate) fn in_environment(
    environment: &EnvironmentName,
    located: crate::document::node::Located,
) -> crate::document::node::Located {
    let hint = match &located.hint {
        Some(hint) => format!("{hint}; in environment `{environment}`"),
        None => format!("this is so in environment `{environment}`"),
    };
    with_hint(located, hint)
}
