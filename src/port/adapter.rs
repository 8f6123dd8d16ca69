//! What an adapter's file declares, so that one line in `registry.rs` is all that is left to write.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use super::{Command, Database, Journal, Metric, Notifier, Occasion, Shared, SqlAddress, Target};
use crate::{
    document::node::Node,
    domain::{
        names::{EntryName, EnvironmentName, TargetName, UnitName},
        sample::Measure,
        value::Unit,
    },
};

/// Identity and options of an adapter. The doc comments of `Config` are its reference documentation.
pub trait Adapter: 'static {
    /// The key in the file: `haproxy`.
    const NAME: &'static str;
    /// One line for lists of what there is.
    const SUMMARY: &'static str;
    /// The option that a plain text stands for: `http: /health` is `http: {path: /health}`.
    const SHORT: Option<&'static str> = None;
    /// A struct with `deny_unknown_fields`.
    type Config: DeserializeOwned + JsonSchema + Send + Sync + 'static;
}

pub trait TargetAdapter: Adapter {
    /// The checks of a file that has none: name and entry, `("errors", "{haproxy: errors, fail: above 5%}")`.
    const DEFAULT_CHECKS: &'static [(&'static str, &'static str)] = &[];

    /// Options that only a deploy reads: where a variable in them is not set, traffic can still be moved back.
    const DEPLOY_OPTIONS: &'static [&'static str] = &[];

    /// Makes the target; no call goes out. The message says which option is wrong.
    fn connect(config: Self::Config, setting: &Setting) -> Result<Box<dyn Target>, String>;
}

pub trait DatabaseAdapter: Adapter {
    /// `name` is the entry's key in `databases`.
    fn connect(
        name: &EntryName,
        config: Self::Config,
        setting: &Setting,
    ) -> Result<Box<dyn Database>, String>;

    /// Where SQL can be sent, if it speaks SQL.
    fn sql(_config: &Self::Config, _setting: &Setting) -> Option<SqlAddress> {
        None
    }
}

pub trait MetricAdapter: Adapter {
    /// What the answers are, so that bounds of another unit are refused before anything runs.
    fn shape(config: &Self::Config) -> Result<Shape, String>;

    /// How far apart its numbers are, where each stands for a fixed time: bounds that look back over less are
    /// refused. Zero where every look brings a new one.
    fn interval(_config: &Self::Config) -> Duration {
        Duration::ZERO
    }

    /// Makes one source for all checks that name this adapter.
    fn connect(checks: Vec<(EntryName, Self::Config)>, setting: &Setting) -> Result<Box<dyn Metric>, String>;
}

pub trait CommandAdapter: Adapter {
    /// The sections it may stand in: `migrations`, `smoke`, `hooks`, `deploy`.
    const SECTIONS: &'static [&'static str];

    fn connect(config: Self::Config, setting: &Setting) -> Result<Box<dyn Command>, String>;
}

pub trait JournalAdapter: Adapter {
    fn connect(config: Self::Config, setting: &Setting) -> Result<Box<dyn Journal>, String>;

    /// Whether this is the journal of a file that names none, in a process with this environment.
    fn is_usual(_env: &Environment) -> bool {
        false
    }

    /// The same for such a file: what takes somebody's word is refused here.
    fn connect_unasked(config: Self::Config, setting: &Setting) -> Result<Box<dyn Journal>, String> {
        Self::connect(config, setting)
    }
}

pub trait NotifierAdapter: Adapter {
    /// What it hears of where the entry does not say.
    const USUAL: &'static [Occasion];

    /// Makes the notifier; no call goes out. The message says which option is wrong.
    fn connect(config: Self::Config, setting: &Setting) -> Result<Box<dyn Notifier>, String>;
}

/// What a check's numbers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub measure: Measure,
    /// The unit the source answers in unless the check says otherwise (`unit: ms`).
    pub unit: Unit,
}

/// A reader of environment variables.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What an adapter may know of the file around its own options.
#[derive(Clone)]
pub struct Setting {
    /// The folder of the file; relative paths and commands start here.
    pub base: PathBuf,
    /// Where tidegate keeps its own files (`.tidegate` beside the file).
    pub state: PathBuf,
    pub unit: UnitName,
    pub environment: EnvironmentName,
    /// Reads an environment variable.
    pub env: Environment,
    /// The services in file order, with the options of their targets.
    pub services: Vec<ServiceSetting>,
    /// Databases that speak SQL.
    pub sql: BTreeMap<EntryName, SqlAddress>,
    /// What adapters have in common.
    pub shared: Shared,
    /// Units that checks declared for themselves (`unit: ms`).
    pub units: BTreeMap<EntryName, Unit>,
}

/// A service as other adapters see it.
#[derive(Clone, Debug)]
pub struct ServiceSetting {
    pub name: TargetName,
    /// The target adapter's name.
    pub kind: &'static str,
    pub options: Node,
    pub url: Option<String>,
}
