//! An entry of a section: one adapter with its options, and the section's own keys beside it.

use crate::document::nearest::suggestion;
use schemars::{JsonSchema, SchemaGenerator};

use super::{
    options::{Options, properties},
    problem::{Problems, join, not_a_map, not_yet, refused, unknown_key, with_hint},
};
use crate::{
    document::{
        de::from_node,
        node::{Entry as Field, Kind as Is, Located, Node, Position},
    },
    domain::names::EntryName,
    registry::{Common, Kind},
};

/// What the entries of one place may hold.
pub(crate) struct Spec<K: 'static> {
    /// Such as "a service".
    pub noun: &'static str,
    pub kinds: Vec<&'static K>,
    /// The section's own keys.
    pub keys: Vec<String>,
    /// Keys that are planned.
    pub later: &'static [&'static str],
    /// The adapter that plain text stands for.
    pub text: Option<&'static str>,
}

/// One adapter, chosen.
pub struct Chosen<K: 'static> {
    pub kind: &'static K,
    /// The adapter's options, those written beside it included.
    pub options: Node,
    /// What is left: the section's own keys.
    pub keys: Node,
    /// Such as `checks.errors`.
    pub path: String,
    /// Where the adapter's name stands.
    pub position: Position,
    /// Options that were not written inside: the short form, and those beside the adapter.
    outside: Vec<(String, String)>,
}

impl<K: Kind> Chosen<K> {
    pub fn common(&self) -> &'static Common {
        self.kind.common()
    }

    pub fn name(&self) -> &'static str {
        self.common().name
    }

    /// Such as `checks.errors.haproxy`.
    pub fn options_path(&self) -> String {
        join(&self.path, self.name())
    }

    /// Puts a refusal by the adapter in the words of the file: an option has the path it was written at.
    pub(crate) fn relocate(&self, located: Located) -> Located {
        for (inside, written) in &self.outside {
            let rest = located.path.strip_prefix(inside.as_str());
            if rest.is_some_and(|r| r.is_empty() || r.starts_with(['.', '['])) {
                let path = located.path.replacen(inside.as_str(), written, 1);
                let message = located.message.replacen(inside.as_str(), written, 1);
                return Located { path, message, ..located };
            }
        }
        located
    }

    /// Refuses a secret that is written out, without showing it.
    fn references_only(&self) -> Result<(), Located> {
        match Options::of(self.common()).literal(&self.options, &self.options_path()) {
            None => Ok(()),
            Some((position, path)) => Err(with_hint(
                refused(position, &path, "a secret is written out here"),
                "write a reference, `{env: NAME}` or `{file: PATH}`, and change the secret: it was in a file",
            )),
        }
    }

    /// An entry that the file does not have, with no options.
    pub(crate) fn implied(kind: &'static K, path: &str, position: Position) -> Self {
        let empty = || Node { position, kind: Is::Map(Vec::new()) };
        let path = path.to_string();
        Chosen { kind, options: empty(), keys: empty(), path, position, outside: Vec::new() }
    }
}

impl<K: Kind> Spec<K> {
    /// A place whose own keys are the fields of `Keys`, and `nested` (keys that hold entries).
    pub(crate) fn new<Keys: JsonSchema>(noun: &'static str, kinds: Vec<&'static K>, nested: &[&str]) -> Self {
        let schema = super::options::generator().into_root_schema_for::<Keys>();
        let mut keys: Vec<String> = properties(schema.as_value()).into_iter().map(|p| p.0).collect();
        keys.extend(nested.iter().map(ToString::to_string));
        Spec { noun, kinds, keys, later: &[], text: None }
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.kinds.iter().map(|k| k.common().name).collect()
    }

    fn find(&self, name: &str) -> Option<&'static K> {
        self.kinds.iter().copied().find(|k| k.common().name == name)
    }

    /// Reads one entry; what is wrong goes to `problems`.
    pub(crate) fn choose(&self, node: &Node, path: &str, problems: &mut Problems) -> Option<Chosen<K>> {
        let spelled;
        let fields = match (&node.kind, self.text) {
            (Is::Map(fields), _) => fields,
            (Is::Text(_), Some(adapter)) => {
                spelled = vec![Field { key: adapter.into(), position: node.position, value: node.clone() }];
                &spelled
            }
            _ => {
                let what = format!("a map with one of: {}", self.names().join(", "));
                problems.add(not_a_map(node, path, &what));
                return None;
            }
        };
        let (field, kind) = problems.take(self.the_one(fields, node, path))?;
        let mut sorted = self.sort(fields, field, kind, path);
        let fine = sorted.problems.is_empty();
        sorted.problems.into_sorted().into_iter().for_each(|l| problems.add(l));
        let position = field.position;
        let options =
            Node { position: sorted.options_at, kind: Is::Map(std::mem::take(&mut sorted.options)) };
        let keys = Node { position: node.position, kind: Is::Map(sorted.keys) };
        let chosen = Chosen { kind, options, keys, path: path.into(), position, outside: sorted.outside };
        if fine {
            problems.take(chosen.references_only().map_err(|l| chosen.relocate(l)))?;
            let checked = (kind.common().check)(&chosen.options, &chosen.options_path());
            problems.take(checked.map_err(|l| chosen.relocate(l)))?;
        }
        fine.then_some(chosen)
    }

    /// The only field that names an adapter.
    fn the_one<'a>(
        &self,
        fields: &'a [Field],
        node: &Node,
        path: &str,
    ) -> Result<(&'a Field, &'static K), Located> {
        let own = |f: &Field| self.keys.contains(&f.key);
        let mut named =
            fields.iter().filter(|f| !own(f)).filter_map(|f| self.find(&f.key).map(|kind| (f, kind)));
        match (named.next(), named.next()) {
            (Some(only), None) => Ok(only),
            (Some((first, _)), Some((second, _))) => Err(with_hint(
                refused(
                    second.position,
                    path,
                    format!(
                        "{} has exactly one adapter, and here are `{}` and `{}`",
                        self.noun, first.key, second.key
                    ),
                ),
                format!("remove one of them; an environment removes one with `{}: null`", first.key),
            )),
            (None, _) => {
                let names = self.names();
                let stray = fields.iter().find(|f| !own(f) && !self.later.contains(&f.key.as_str()));
                let position = stray.map_or(node.position, |f| f.position);
                let near =
                    stray.and_then(|f| crate::document::nearest::nearest(&f.key, &names).map(|n| (f, n)));
                let known = match names.as_slice() {
                    [] => "none, in this build of tidegate".to_string(),
                    names => names.join(", "),
                };
                let missing = refused(position, path, format!("{} needs one of: {known}", self.noun));
                Err(match (near, stray) {
                    (Some((field, near)), _) => {
                        with_hint(missing, format!("did you mean `{near}` by `{}`?", field.key))
                    }
                    (None, Some(field)) => with_hint(missing, format!("`{}` is not known here", field.key)),
                    (None, None) => missing,
                })
            }
        }
    }

    /// Tells the section's keys from the adapter's options.
    fn sort(&self, fields: &[Field], adapter: &Field, kind: &'static K, path: &str) -> Sorted {
        let common = kind.common();
        let known = Options::of(common).names();
        let options_path = join(path, common.name);
        let mut sorted = Sorted::at(adapter.value.position);
        self.inside(&mut sorted, adapter, common, known.as_deref(), &options_path);
        for field in fields.iter().filter(|f| f.key != adapter.key) {
            let key = field.key.as_str();
            if self.keys.iter().any(|k| k == key) {
                if field.value.kind != Is::Null {
                    sorted.keys.push(field.clone());
                }
            } else if self.later.contains(&key) {
                sorted.problems.add(not_yet(key, field.position, path));
            } else if known.as_ref().is_none_or(|names| names.iter().any(|n| n == key)) {
                if sorted.options.iter().any(|f| f.key == key) {
                    let message = format!("it is given twice: inside `{}` and beside it", common.name);
                    sorted.problems.add(refused(field.position, &join(path, key), message));
                } else {
                    sorted.outside.push((join(&options_path, key), join(path, key)));
                    sorted.options.push(field.clone());
                }
            } else {
                let of_adapter = known.iter().flatten().map(String::as_str);
                let all: Vec<&str> = self.keys.iter().map(String::as_str).chain(of_adapter).collect();
                sorted.problems.add(unknown_key(key, field.position, path, &all));
            }
        }
        sorted
    }

    /// The options under the adapter's own key.
    fn inside(
        &self,
        sorted: &mut Sorted,
        adapter: &Field,
        common: &Common,
        known: Option<&[String]>,
        path: &str,
    ) {
        match (&adapter.value.kind, common.short) {
            (Is::Null, _) => {}
            (Is::Map(fields), _) => {
                for field in fields {
                    match known {
                        Some(known) if !known.contains(&field.key) => {
                            sorted.problems.add(self.stranger(field, common.name, known, path));
                        }
                        _ => sorted.options.push(field.clone()),
                    }
                }
            }
            (_, Some(short)) => {
                sorted.outside.push((join(path, short), path.to_string()));
                let position = adapter.value.position;
                sorted.options.push(Field { key: short.into(), position, value: adapter.value.clone() });
            }
            (_, None) => {
                let what = match known {
                    Some(known) if !known.is_empty() => {
                        format!("a map of its options ({})", known.join(", "))
                    }
                    _ => "a map of its options".to_string(),
                };
                sorted.problems.add(not_a_map(&adapter.value, path, &what));
            }
        }
    }

    fn stranger(&self, field: &Field, adapter: &str, known: &[String], path: &str) -> Located {
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let unknown = unknown_key(&field.key, field.position, path, &names);
        if self.keys.contains(&field.key) {
            return with_hint(unknown, format!("`{}` stands beside `{adapter}`, not in it", field.key));
        }
        let own = self.keys.iter().map(String::as_str);
        let all: Vec<&str> = names.iter().copied().chain(own).collect();
        match crate::document::nearest::nearest(&field.key, &names) {
            Some(_) => unknown,
            None => Located { hint: suggestion(&field.key, &all), ..unknown },
        }
    }
}

/// The fields of an entry, told apart.
struct Sorted {
    options: Vec<Field>,
    options_at: Position,
    keys: Vec<Field>,
    outside: Vec<(String, String)>,
    problems: Problems,
}

impl Sorted {
    fn at(options_at: Position) -> Self {
        let (options, keys, outside) = (Vec::new(), Vec::new(), Vec::new());
        Sorted { options, options_at, keys, outside, problems: Problems::default() }
    }
}

/// Runs `read` over the entries of a section that is a map; absent and empty are the same.
pub(crate) fn each<T>(
    section: Option<&Node>,
    path: &str,
    problems: &mut Problems,
    mut read: impl FnMut(EntryName, &Field, &str, &mut Problems) -> Option<T>,
) -> Vec<T> {
    let fields = match section.map(|node| (&node.kind, node)) {
        None | Some((Is::Null, _)) => return Vec::new(),
        Some((Is::Map(fields), _)) => fields,
        Some((_, node)) => {
            problems.add(not_a_map(node, path, "a map of names and entries"));
            return Vec::new();
        }
    };
    let mut entries = Vec::with_capacity(fields.len());
    for field in fields {
        let path = join(path, &field.key);
        if let Some(name) = problems.take_at(EntryName::new(&*field.key), field.position, &path) {
            entries.extend(read(name, field, &path, problems));
        }
    }
    entries
}

/// The section's own keys of an entry, read into their struct; `nested` ones are left out.
pub(crate) fn read_keys<T: serde::de::DeserializeOwned>(
    keys: &Node,
    nested: &[&str],
    path: &str,
) -> Result<T, Located> {
    let mut plain = keys.clone();
    if let Is::Map(fields) = &mut plain.kind {
        fields.retain(|f| !nested.contains(&f.key.as_str()));
    }
    from_node(&plain, path)
}

/// The schema of an adapter's options, self-contained.
pub(crate) fn options_schema(common: &Common) -> serde_json::Value {
    let mut generator: SchemaGenerator = super::options::generator();
    (common.schema)(&mut generator).to_value()
}
