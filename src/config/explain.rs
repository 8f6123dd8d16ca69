//! `plan --explain`: the file with all its defaults filled in.

use serde_json::{Value, json};

use super::{
    CheckKeys, Chosen, Config, DatabaseKeys, MigrationKeys, NotifyKeys, SECTIONS, Step,
    environments::PRODUCTION,
    options::{Options, defaults, generator},
    settings::{FinishKeys, WhenKeys},
    yaml,
};
use crate::{
    document::node::{Kind as Is, Node},
    registry::Kind,
};

/// The mark of a line that the file does not have.
const DEFAULT: &str = "  # default";

/// Valid YAML that loads to the same config in the same environment; explained again, it stays as it is.
pub fn explain(config: &Config) -> String {
    let mut out = Out::default();
    if config.environment.as_str() != PRODUCTION {
        out.line(0, &format!("# as it is in environment `{}`", config.environment));
    }
    for section in SECTIONS {
        explain_section(config, section, &mut out);
    }
    out.0
}

fn explain_section(config: &Config, section: &str, out: &mut Out) {
    let sections = &config.sections;
    let written = config.tree.get(section).filter(|n| n.kind != Is::Null);
    match section {
        "name" => out.value(0, "name", &json!(sections.name.as_str()), false),
        "journal" => {
            out.open(0, "journal", written.is_none());
            adapter(&sections.journal, 1, written.is_none(), out);
        }
        "services" => {
            out.open(0, section, false);
            for service in &sections.services {
                out.open(1, service.name.as_str(), false);
                adapter(&service.target, 2, false, out);
                for (key, value) in fields(&service.target.keys) {
                    match (key, &service.deploy, &service.retire) {
                        ("deploy", Some(step), _) | ("retire", _, Some(step)) => nested(key, step, 2, out),
                        _ => out.node(2, key, value, false),
                    }
                }
            }
        }
        "databases" if !sections.databases.is_empty() => {
            out.open(0, section, false);
            for entry in &sections.databases {
                out.open(1, entry.name.as_str(), false);
                adapter(&entry.database, 2, false, out);
                own_keys::<DatabaseKeys>(&entry.database.keys, 2, false, out);
            }
        }
        "migrations" if !sections.migrations.is_empty() => {
            out.open(0, section, false);
            for entry in &sections.migrations {
                out.open(1, entry.up.name.as_str(), false);
                adapter(&entry.up.command, 2, false, out);
                for (key, step) in
                    [("undo", &entry.undo), ("revision", &entry.revision), ("verify", &entry.verify)]
                {
                    step.iter().for_each(|step| nested(key, step, 2, out));
                }
                let own = without(&entry.up.command.keys, &super::databases::NESTED);
                own_keys::<MigrationKeys>(&own, 2, false, out);
            }
        }
        "stages" => {
            let stages: Vec<Value> =
                sections.stages.as_slice().iter().map(|s| json!(s.to_string())).collect();
            out.value(0, section, &Value::Array(stages), written.is_none());
        }
        "checks" if !sections.checks.is_empty() => {
            out.open(0, section, written.is_none());
            for line in &sections.checks {
                out.open(1, line.check.name.as_str(), line.implied);
                adapter(&line.source, 2, line.implied, out);
                own_keys::<CheckKeys>(&line.source.keys, 2, line.implied, out);
            }
        }
        "smoke" if !sections.smoke.is_empty() => {
            out.open(0, section, false);
            sections.smoke.iter().for_each(|step| nested(step.name.as_str(), step, 1, out));
        }
        "hooks" => explain_hooks(config, out),
        "when" => settings::<WhenKeys>(section, written, out),
        "finish" => settings::<FinishKeys>(section, written, out),
        "notify" if !sections.notify.is_empty() => {
            out.open(0, section, false);
            for entry in &sections.notify {
                out.open(1, entry.name.as_str(), false);
                adapter(&entry.notifier, 2, false, out);
                own_keys::<NotifyKeys>(&entry.notifier.keys, 2, false, out);
                if entry.notifier.keys.get("events").is_none() {
                    out.value(2, "events", &json!(entry.events), true);
                }
            }
        }
        "environments" => explain_environments(config, written, out),
        _ => {}
    }
}

fn explain_hooks(config: &Config, out: &mut Out) {
    let mut moment = None;
    for hook in &config.sections.hooks {
        if moment.is_none() {
            out.open(0, "hooks", false);
        }
        if moment != Some(&hook.moment) {
            out.open(1, &hook.moment, false);
            moment = Some(&hook.moment);
        }
        nested(hook.step.name.as_str(), &hook.step, 2, out);
    }
}

/// In production what is written; elsewhere only the name, for its differences are in the file already.
fn explain_environments(config: &Config, written: Option<&Node>, out: &mut Out) {
    if config.environment.as_str() == PRODUCTION {
        written.iter().for_each(|node| out.node(0, "environments", node, false));
    } else {
        out.open(0, "environments", false);
        out.value(1, config.environment.as_str(), &json!({}), false);
    }
}

/// A section that is one struct.
fn settings<T: schemars::JsonSchema>(section: &str, written: Option<&Node>, out: &mut Out) {
    out.open(0, section, written.is_none());
    let absent = Node { position: crate::document::node::Position { line: 1, column: 1 }, kind: Is::Null };
    own_keys::<T>(written.unwrap_or(&absent), 1, written.is_none(), out);
}

/// The adapter's key and its options, those with a default included.
fn adapter<K: Kind>(chosen: &Chosen<K>, depth: usize, implied: bool, out: &mut Out) {
    let missing: Vec<_> = Options::of(chosen.common())
        .defaults()
        .into_iter()
        .filter(|(name, _)| chosen.options.get(name).is_none())
        .collect();
    let written = fields(&chosen.options);
    if let ([(key, value)], true, Some(short)) =
        (written.as_slice(), missing.is_empty(), chosen.common().short)
        && *key == short
        && matches!(value.kind, Is::Text(_))
    {
        return out.node(depth, chosen.name(), value, implied);
    }
    if written.is_empty() && missing.is_empty() {
        return out.value(depth, chosen.name(), &json!({}), implied);
    }
    out.open(depth, chosen.name(), implied);
    written.iter().for_each(|(key, value)| out.node(depth + 1, key, value, implied));
    missing.iter().for_each(|(key, value)| out.value(depth + 1, key, value, true));
}

/// A step with its limit, which may come from around it.
fn nested(key: &str, step: &Step, depth: usize, out: &mut Out) {
    out.open(depth, key, false);
    adapter(&step.command, depth + 1, false, out);
    if step.command.keys.get("limit").is_none() {
        out.value(depth + 1, "limit", &json!(step.limit.to_string()), true);
    }
    fields(&step.command.keys).into_iter().for_each(|(key, value)| out.node(depth + 1, key, value, false));
}

/// The keys that are written, then the defaults of the others.
fn own_keys<T: schemars::JsonSchema>(keys: &Node, depth: usize, implied: bool, out: &mut Out) {
    let schema = generator().into_root_schema_for::<T>();
    for (key, value) in fields(keys) {
        out.node(depth, key, value, implied);
    }
    for (key, value) in defaults(schema.as_value()) {
        if keys.get(&key).is_none() {
            out.value(depth, &key, &value, true);
        }
    }
}

fn without(keys: &Node, names: &[&str]) -> Node {
    let mut keys = keys.clone();
    if let Is::Map(fields) = &mut keys.kind {
        fields.retain(|f| !names.contains(&f.key.as_str()));
    }
    keys
}

fn fields(node: &Node) -> Vec<(&str, &Node)> {
    match &node.kind {
        Is::Map(fields) => fields.iter().map(|f| (f.key.as_str(), &f.value)).collect(),
        _ => Vec::new(),
    }
}

/// YAML in the order in which it is given.
#[derive(Default)]
struct Out(String);

impl Out {
    fn line(&mut self, depth: usize, line: &str) {
        if !line.is_empty() {
            self.0.push_str(&"  ".repeat(depth));
            self.0.push_str(line);
        }
        self.0.push('\n');
    }

    /// A key whose entries follow.
    fn open(&mut self, depth: usize, key: &str, implied: bool) {
        self.line(depth, &format!("{}:{}", yaml::key(key), if implied { DEFAULT } else { "" }));
    }

    fn value(&mut self, depth: usize, key: &str, value: &Value, implied: bool) {
        self.node(depth, key, &yaml::from_json(value), implied);
    }

    fn node(&mut self, depth: usize, key: &str, node: &Node, implied: bool) {
        for (index, line) in yaml::field(key, node).iter().enumerate() {
            let mark = if implied && index == 0 { DEFAULT } else { "" };
            self.line(depth, &format!("{line}{mark}"));
        }
    }
}
