//! `databases` and `migrations`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    entry::{Chosen, Spec, each, read_keys},
    problem::Problems,
    steps::{self, Step, five_minutes, lasts, migration_step_spec, nested_step},
};
use crate::{
    document::node::Node,
    domain::{duration::Span, names::EntryName},
    registry::{CommandKind, DatabaseKind, Registry},
};

/// One database to snapshot.
pub struct Database {
    pub name: EntryName,
    pub database: Chosen<DatabaseKind>,
    pub keys: DatabaseKeys,
}

/// What every database may have.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseKeys {
    /// Our own snapshots older than this are deleted at `finish`; absent = all are kept.
    pub keep: Option<Span>,
    /// The longest a snapshot or a restore may take.
    #[serde(default = "one_hour")]
    pub limit: Span,
}

fn one_hour() -> Span {
    Span::from_secs(3600)
}

/// One migration.
pub struct Migration {
    pub up: Step,
    pub keys: MigrationKeys,
    pub undo: Option<Step>,
    pub revision: Option<Step>,
    pub verify: Option<Step>,
}

/// What every migration may have.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrationKeys {
    /// `contract` is the point of no return: no automatic way back after it.
    #[serde(default)]
    pub kind: MigrationKind,
    /// The longest it may take; its steps have the same limit unless they say otherwise.
    #[serde(default = "five_minutes")]
    pub limit: Span,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MigrationKind {
    /// The version before runs on the new schema too.
    #[default]
    Expand,
    /// It does not.
    Contract,
}

/// Keys of a migration that hold entries of their own.
pub(crate) const NESTED: [&str; 3] = ["undo", "revision", "verify"];

pub(crate) fn database_spec(registry: &'static Registry) -> Spec<DatabaseKind> {
    Spec::new::<DatabaseKeys>("a database", registry.databases.iter().collect(), &[])
}

pub(crate) fn migration_spec(registry: &'static Registry) -> Spec<CommandKind> {
    let kinds = steps::kinds(registry, &["migrations"]);
    Spec { later: &["in"], ..Spec::new::<MigrationKeys>("a migration", kinds, &NESTED) }
}

pub(crate) fn read(tree: &Node, registry: &'static Registry, problems: &mut Problems) -> Vec<Database> {
    let spec = database_spec(registry);
    each(tree.get("databases"), "databases", problems, |name, field, path, problems| {
        let database = spec.choose(&field.value, path, problems)?;
        let keys: DatabaseKeys = problems.take(read_keys(&database.keys, &[], path))?;
        problems.take(lasts(keys.limit, &database.keys, path))?;
        Some(Database { name, database, keys })
    })
}

pub(crate) fn read_migrations(
    tree: &Node,
    registry: &'static Registry,
    problems: &mut Problems,
) -> Vec<Migration> {
    let spec = migration_spec(registry);
    let steps = migration_step_spec(registry);
    each(tree.get("migrations"), "migrations", problems, |name, field, path, problems| {
        let command = spec.choose(&field.value, path, problems)?;
        let keys: MigrationKeys = problems.take(read_keys(&command.keys, &NESTED, path))?;
        problems.take(lasts(keys.limit, &command.keys, path))?;
        let mut step = |key| nested_step(&steps, &command.keys, key, path, Some(keys.limit), problems);
        let (undo, revision, verify) = (step("undo"), step("revision"), step("verify"));
        Some(Migration { up: Step { name, command, limit: keys.limit }, keys, undo, revision, verify })
    })
}
