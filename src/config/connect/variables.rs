//! Variables that the file names: put in, looked for, and refused in words that help.

use super::Work;
use crate::{
    config::problem::{refused, with_hint},
    document::{
        nearest::nearest,
        node::{Kind as Is, Located, Node, Position},
    },
    port::Secret,
};

impl Work<'_> {
    /// A `{{env.NAME}}` whose variable is not set.
    pub(super) fn unset(&self, position: Position, path: &str, name: &str) -> Located {
        let message =
            format!("environment variable {name} is not set, which `{{{{env.{name}}}}}` stands for");
        self.advised(refused(position, path, message), name, "vars")
    }

    /// A secret that is not there.
    pub(super) fn missing(&self, position: Position, path: &str, message: &str, secret: &Secret) -> Located {
        let located = refused(position, path, message);
        match secret {
            Secret::Env(name) => self.advised(located, name, "secrets"),
            Secret::File(_) => located,
        }
    }

    /// What may have been meant: only names that the file itself mentions, never others that are set.
    fn advised(&self, located: Located, name: &str, context: &str) -> Located {
        let mut mentioned = Vec::new();
        variables(&self.config.tree, &mut mentioned);
        let set: Vec<&str> =
            mentioned.into_iter().filter(|m| *m != name && (self.setting.env)(m).is_some()).collect();
        // Names of variables share long endings (`_URL`): only a slip of the hand counts.
        let slip = |near: &&str| strsim::normalized_damerau_levenshtein(name, near) > 0.6;
        match nearest(name, &set).filter(slip) {
            Some(near) => with_hint(located, format!("did you mean `{near}`? that one is set")),
            None => with_hint(
                located,
                format!("pass it to the job, such as `{name}: ${{{{ {context}.{name} }}}}`"),
            ),
        }
    }
}

/// Puts in what `{{env.NAME}}` stands for; notes the names that are not set.
pub(super) fn fill_env(
    node: &mut Node,
    env: &dyn Fn(&str) -> Option<String>,
    unset: &mut Vec<(Position, String)>,
) {
    let position = node.position;
    match &mut node.kind {
        Is::Text(text) => {
            // what a variable holds is text, and never asks for another one
            let (mut filled, mut left) = (String::new(), text.as_str());
            while let Some((before, (name, after))) =
                left.split_once("{{env.").and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
            {
                filled.push_str(before);
                match env(name) {
                    Some(value) => filled.push_str(&value),
                    None => unset.push((position, name.to_string())),
                }
                left = after;
            }
            *text = filled + left;
        }
        Is::Map(fields) => fields.iter_mut().for_each(|f| fill_env(&mut f.value, env, unset)),
        Is::List(items) => items.iter_mut().for_each(|item| fill_env(item, env, unset)),
        _ => {}
    }
}

/// Replaces the path of the `{file: PATH}` that stands at `position`.
pub(super) fn put_path(node: &mut Node, position: Position, path: &str) {
    let here = node.position == position;
    match &mut node.kind {
        Is::Map(fields) => {
            for field in fields {
                match &mut field.value.kind {
                    Is::Text(text) if here && field.key == "file" => *text = path.to_string(),
                    _ => put_path(&mut field.value, position, path),
                }
            }
        }
        Is::List(items) => items.iter_mut().for_each(|item| put_path(item, position, path)),
        _ => {}
    }
}

/// The environment variables that the file names.
fn variables<'a>(node: &'a Node, found: &mut Vec<&'a str>) {
    match &node.kind {
        Is::Map(fields) => {
            for field in fields {
                match &field.value.kind {
                    Is::Text(name) if field.key == "env" => found.push(name),
                    _ => variables(&field.value, found),
                }
            }
        }
        Is::List(items) => items.iter().for_each(|item| variables(item, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_variable_holds_is_not_filled_in_again() {
        let position = Position { line: 1, column: 1 };
        let of = |text: &str| {
            let (mut node, mut unset) = (Node { position, kind: Is::Text(text.into()) }, Vec::new());
            let env = |name: &str| match name {
                "SELF" => Some("{{env.SELF}}".to_string()),
                "TAG" => Some("v1".to_string()),
                _ => None,
            };
            fill_env(&mut node, &env, &mut unset);
            let Is::Text(text) = node.kind else { panic!("{node:?}") };
            (text, unset.into_iter().map(|(_, name)| name).collect::<Vec<_>>())
        };
        assert_eq!(of("a{{env.SELF}}b{{env.TAG}}c"), ("a{{env.SELF}}bv1c".into(), vec![]));
        assert_eq!(of("a{{env.NONE}}b{{env.TAG"), ("ab{{env.TAG".into(), vec!["NONE".into()]));
    }
}
