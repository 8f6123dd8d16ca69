//! The JSON schema (draft 2020-12) that editors check `tidegate.yml` with.
//!
//! It is made of the same structs and the same registry that read the file, so it cannot fall behind.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::{
    CheckKeys, DatabaseKeys, MigrationKeys, NotifyKeys, ServiceKeys, StepKeys, checks, databases,
    entry::{Spec, options_schema},
    environments::PRODUCTION,
    notify,
    options::generator,
    services,
    settings::{self, FinishKeys, NoKeys, WhenKeys},
    steps,
};
use crate::{
    domain::stage::Stage,
    registry::{self, Common, Kind, Registry},
};

/// The schema of the whole file.
pub fn schema() -> Value {
    of(&registry::ALL)
}

pub(crate) fn of(registry: &'static Registry) -> Value {
    let definitions = json!({
        "deploy": entry::<_, StepKeys>(&steps::deploy_spec(registry), &[]),
        "migration_step": entry::<_, StepKeys>(&steps::migration_step_spec(registry), &[]),
        "hooks": map_of(entry::<_, StepKeys>(&steps::hook_spec(registry), &[])),
    });
    let named = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let (deploy, nested, hook) = (named("deploy"), named("migration_step"), named("hooks"));
    let service = [
        ("deploy", described(&deploy, "Brings the candidate up where the target does not do so itself.")),
        ("retire", described(&deploy, "Takes the old side down where the target does not do so itself.")),
    ];
    let migration = [
        ("undo", described(&nested, "Takes it back.")),
        ("revision", described(&nested, "Prints the revision; equal before and after means nothing ran.")),
        ("verify", described(&nested, "Proves that it did what it should.")),
    ];
    let moments: Map<String, Value> =
        steps::moments().into_iter().map(|moment| (moment, hook.clone())).collect();
    let sections = json!({
        "name": described(&plain::<crate::domain::names::UnitName>(), "What this file releases; its journal is kept under this name."),
        "journal": journal(registry),
        "services": described(&map_of(entry::<_, ServiceKeys>(&services::spec(registry), &service)), "What goes out, in this order."),
        "databases": described(&map_of(entry::<_, DatabaseKeys>(&databases::database_spec(registry), &[])), "Snapshotted before anything else changes."),
        "migrations": described(&map_of(entry::<_, MigrationKeys>(&databases::migration_spec(registry), &migration)), "Run in this order, after the snapshot and before `deploy`."),
        "stages": described(&one_or_many(&plain::<Stage>()), "How far and how long: rising, ending at 100%."),
        "checks": described(&map_of(entry::<_, CheckKeys>(&checks::spec(registry), &[])), "What is asked while a stage is watched."),
        "smoke": described(&map_of(entry::<_, StepKeys>(&steps::smoke_spec(registry), &[])), "Run against the candidate before it has traffic."),
        "hooks": {
            "description": "What else runs before or after a command.",
            "type": "object", "properties": moments, "additionalProperties": false,
        },
        "when": plain::<WhenKeys>(),
        "finish": plain::<FinishKeys>(),
        "notify": described(&map_of(entry::<_, NotifyKeys>(&notify::spec(registry), &[])), "Who hears how a release goes."),
    });
    file(sections, definitions)
}

fn file(sections: Value, definitions: Value) -> Value {
    let overlay: Map<String, Value> = sections
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "name")
        .map(|(name, _)| (name.clone(), json!(true)))
        .collect();
    let mut properties = sections;
    properties["environments"] = json!({
        "description": "What differs elsewhere, laid over this file, which is production: maps by key, lists and text replaced, `null` removes.",
        "type": "object",
        "propertyNames": { "not": { "const": PRODUCTION } },
        "additionalProperties": {
            "type": ["object", "null"], "properties": overlay, "additionalProperties": false,
        },
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tidegate.yml",
        "type": "object",
        "properties": properties,
        "required": ["name", "services"],
        "additionalProperties": false,
        "$defs": definitions,
    })
}

fn plain<T: JsonSchema>() -> Value {
    let mut schema = generator().into_root_schema_for::<T>().to_value();
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("$schema");
        fields.remove("title");
    }
    brackets_optional(&mut schema);
    schema
}

/// An entry: for every adapter of its section one form, with the section's keys beside it. Options may stand
/// beside the adapter too, so those of an adapter with a short form are not required inside.
fn entry<K: Kind, Keys: JsonSchema>(spec: &Spec<K>, nested: &[(&str, Value)]) -> Value {
    let mut own = plain::<Keys>().get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    own.extend(nested.iter().map(|(key, schema)| ((*key).to_string(), schema.clone())));
    let mut forms: Vec<Value> = spec.kinds.iter().map(|kind| form(kind.common(), &own)).collect();
    if spec.text.is_some() {
        forms.push(json!({ "type": "string", "description": "A command: the same as {run: …}." }));
    }
    json!({ "anyOf": forms })
}

fn form(common: &Common, own: &Map<String, Value>) -> Value {
    let options = options(common);
    let mut properties = options.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    properties.extend(own.clone());
    properties.insert(common.name.to_string(), short_or_long(common, options));
    json!({
        "type": "object",
        "description": common.summary,
        "properties": properties,
        "required": [common.name],
        "additionalProperties": false,
    })
}

fn options(common: &Common) -> Value {
    let mut schema = options_schema(common);
    brackets_optional(&mut schema);
    if let (Some(fields), true) = (schema.as_object_mut(), common.short.is_some()) {
        fields.remove("required");
    }
    schema
}

fn short_or_long(common: &Common, long: Value) -> Value {
    let Some(short) = common.short else {
        return described(&long, common.summary);
    };
    let short = long.get("properties").and_then(|p| p.get(short)).cloned().unwrap_or(json!(true));
    json!({ "description": common.summary, "anyOf": [short, long] })
}

fn journal(registry: &'static Registry) -> Value {
    let spec = settings::journal_spec(registry);
    let mut schema = entry::<_, NoKeys>(&spec, &[]);
    if let Some(forms) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        forms.push(json!({ "enum": spec.names() }));
    }
    described(
        &schema,
        "Where the record of releases is kept; by default a branch of the repository in GitHub Actions, else `.tidegate/journal` beside this file.",
    )
}

fn map_of(entry: Value) -> Value {
    let name = plain::<crate::domain::names::EntryName>();
    json!({ "type": "object", "propertyNames": name, "additionalProperties": entry })
}

fn one_or_many(one: &Value) -> Value {
    json!({ "anyOf": [one, { "type": "array", "items": one }] })
}

fn described(schema: &Value, text: &str) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("description".into(), json!(text));
    }
    schema
}

/// One may be written without brackets wherever a list is taken.
fn brackets_optional(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(brackets_optional),
        Value::Object(fields) => {
            // the two forms overlap, which exactly one of them may not
            if let (Some(forms), false) = (fields.remove("oneOf"), fields.contains_key("anyOf")) {
                fields.insert("anyOf".into(), forms);
            }
            fields.values_mut().for_each(brackets_optional);
            let at_least = fields.get("minItems").and_then(Value::as_u64).unwrap_or_default();
            let is_list = fields.get("type") == Some(&json!("array")) && at_least < 2;
            if let (true, Some(one)) = (is_list, fields.get("items").cloned()) {
                let mut outer = Map::new();
                for key in ["description", "default"] {
                    fields.remove(key).map(|value| outer.insert(key.into(), value));
                }
                let many = Value::Object(std::mem::take(fields));
                outer.insert("anyOf".into(), json!([one, many]));
                *fields = outer;
            }
        }
        _ => {}
    }
}
