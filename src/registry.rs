//! Every adapter there is: one line each.
//!
//! From that line come the config's known keys, the schema, the list in the documentation and the
//! conformance lists. An unknown kind is always an error and never a silent default.

use schemars::{Schema, SchemaGenerator};
use std::time::Duration;

use crate::{
    adapter::{command, database, journal, metric, target},
    document::{
        de::from_node,
        node::{Located, Node},
    },
    domain::names::EntryName,
    port::{
        Command, Database, Journal, Metric, Notifier, Occasion, SqlAddress, Target,
        adapter::{
            Adapter, CommandAdapter, DatabaseAdapter, Environment, JournalAdapter, MetricAdapter,
            NotifierAdapter, Setting, Shape, TargetAdapter,
        },
    },
};

#[cfg(feature = "github")]
use crate::adapter::notifier;

/// Targets, in the order of the documentation.
pub const TARGETS: &[TargetKind] = &[
    TargetKind::of::<target::haproxy::Haproxy>(),
    #[cfg(feature = "aws")]
    TargetKind::of::<target::ecs_alb::EcsAlb>(),
    #[cfg(feature = "aws")]
    TargetKind::of::<target::ecs_rolling::EcsRolling>(),
    #[cfg(feature = "aws")]
    TargetKind::of::<target::s3_cloudfront::Site>(),
    #[cfg(feature = "aws")]
    TargetKind::of::<target::lambda::Lambda>(),
];

/// Databases.
pub const DATABASES: &[DatabaseKind] = &[
    #[cfg(feature = "postgres")]
    DatabaseKind::of::<database::postgres::Postgres>(),
    #[cfg(feature = "sqlite")]
    DatabaseKind::of::<database::sqlite::Sqlite>(),
    #[cfg(feature = "aws")]
    DatabaseKind::of::<database::rds::Rds>(),
    #[cfg(feature = "aws")]
    DatabaseKind::of::<database::rds::DocumentDb>(),
    DatabaseKind::of::<database::run::Run>(),
];

/// Metric sources.
pub const METRICS: &[MetricKind] = &[
    MetricKind::of::<metric::haproxy::Haproxy>(),
    #[cfg(feature = "http")]
    MetricKind::of::<metric::scrape::Scrape>(),
    #[cfg(feature = "http")]
    MetricKind::of::<metric::prometheus::Prometheus>(),
    #[cfg(feature = "http")]
    MetricKind::of::<metric::http::Http>(),
    MetricKind::of::<metric::sql::Sql>(),
    MetricKind::of::<metric::target::TargetHealth>(),
    #[cfg(feature = "aws")]
    MetricKind::of::<metric::cloudwatch::CloudWatch>(),
];

/// Steps: migrations, smoke tests, hooks, deploy scripts.
pub const COMMANDS: &[CommandKind] = &[
    CommandKind::of::<command::run::Run>(),
    CommandKind::of::<command::sql::Sql>(),
    #[cfg(feature = "http")]
    CommandKind::of::<command::http::Http>(),
];

/// Journals.
pub const JOURNALS: &[JournalKind] = &[
    JournalKind::of::<journal::file::FileJournal>(),
    #[cfg(feature = "github")]
    JournalKind::of::<journal::git::GitJournal>(),
    #[cfg(feature = "aws")]
    JournalKind::of::<journal::s3::S3Journal>(),
];

/// Those who hear how a release goes.
pub const NOTIFIERS: &[NotifierKind] = &[
    #[cfg(feature = "github")]
    NotifierKind::of::<notifier::github_issue::GitHubIssue>(),
    #[cfg(feature = "github")]
    NotifierKind::of::<notifier::github_deployment::GitHubDeployment>(),
];

/// All of them, by port.
pub static ALL: Registry = Registry {
    targets: TARGETS,
    databases: DATABASES,
    metrics: METRICS,
    commands: COMMANDS,
    journals: JOURNALS,
    notifiers: NOTIFIERS,
};

/// What a file can name. Tests of the config bring their own.
pub struct Registry {
    pub targets: &'static [TargetKind],
    pub databases: &'static [DatabaseKind],
    pub metrics: &'static [MetricKind],
    pub commands: &'static [CommandKind],
    pub journals: &'static [JournalKind],
    pub notifiers: &'static [NotifierKind],
}

/// An adapter of whichever port.
pub trait Kind: 'static {
    fn common(&self) -> &Common;
}

macro_rules! kind {
    ($($type:ident),*) => {$(
        impl Kind for $type {
            fn common(&self) -> &Common {
                &self.common
            }
        }
    )*};
}

kind!(TargetKind, DatabaseKind, MetricKind, CommandKind, JournalKind, NotifierKind);

/// A connected adapter, or what is wrong with its options and where.
pub type Connected<T> = Result<Box<T>, Located>;

/// What every kind of adapter has.
pub struct Common {
    pub name: &'static str,
    pub summary: &'static str,
    pub short: Option<&'static str>,
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads the options and throws them away: for the errors.
    pub check: fn(&Node, &str) -> Result<(), Located>,
}

impl Common {
    const fn of<A: Adapter>() -> Self {
        Common {
            name: A::NAME,
            summary: A::SUMMARY,
            short: A::SHORT,
            schema: |generator| generator.subschema_for::<A::Config>(),
            check: |node, path| from_node::<A::Config>(node, path).map(|_| ()),
        }
    }
}

/// A message about one entry, put where the entry stands.
fn at(node: &Node, path: &str) -> impl Fn(String) -> Located {
    move |message| Located {
        position: Some(node.position),
        path: path.to_string(),
        message: format!("{path}: {message}"),
        hint: None,
    }
}

pub struct TargetKind {
    pub common: Common,
    /// Names and entries of the checks that a file without `checks` gets.
    pub default_checks: &'static [(&'static str, &'static str)],
    /// Options that only a deploy reads.
    pub deploy_options: &'static [&'static str],
    pub connect: fn(&Node, &str, &Setting) -> Connected<dyn Target>,
}

impl TargetKind {
    pub const fn of<A: TargetAdapter>() -> Self {
        TargetKind {
            common: Common::of::<A>(),
            default_checks: A::DEFAULT_CHECKS,
            deploy_options: A::DEPLOY_OPTIONS,
            connect: |node, path, setting| {
                A::connect(from_node(node, path)?, setting).map_err(at(node, path))
            },
        }
    }
}

pub struct DatabaseKind {
    pub common: Common,
    pub connect: fn(&EntryName, &Node, &str, &Setting) -> Connected<dyn Database>,
    pub sql: fn(&Node, &str, &Setting) -> Result<Option<SqlAddress>, Located>,
}

impl DatabaseKind {
    pub const fn of<A: DatabaseAdapter>() -> Self {
        DatabaseKind {
            common: Common::of::<A>(),
            connect: |name, node, path, setting| {
                A::connect(name, from_node(node, path)?, setting).map_err(at(node, path))
            },
            sql: |node, path, setting| Ok(A::sql(&from_node(node, path)?, setting)),
        }
    }
}

/// Checks of one adapter, to be connected together: name, options, path in the file.
pub type CheckEntries<'a> = &'a [(EntryName, Node, String)];

pub struct MetricKind {
    pub common: Common,
    pub shape: fn(&Node, &str) -> Result<Shape, Located>,
    pub interval: fn(&Node, &str) -> Result<Duration, Located>,
    pub connect: fn(CheckEntries<'_>, &Setting) -> Connected<dyn Metric>,
}

impl MetricKind {
    pub const fn of<A: MetricAdapter>() -> Self {
        MetricKind {
            common: Common::of::<A>(),
            shape: |node, path| A::shape(&from_node(node, path)?).map_err(at(node, path)),
            interval: |node, path| Ok(A::interval(&from_node(node, path)?)),
            connect: |entries, setting| {
                let mut checks = Vec::with_capacity(entries.len());
                for (name, node, path) in entries {
                    checks.push((name.clone(), from_node(node, path)?));
                }
                A::connect(checks, setting).map_err(|message| match entries.first() {
                    Some((_, node, path)) => at(node, path)(message),
                    None => Located { position: None, path: String::new(), message, hint: None },
                })
            },
        }
    }
}

pub struct CommandKind {
    pub common: Common,
    pub sections: &'static [&'static str],
    pub connect: fn(&Node, &str, &Setting) -> Connected<dyn Command>,
}

impl CommandKind {
    pub const fn of<A: CommandAdapter>() -> Self {
        CommandKind {
            common: Common::of::<A>(),
            sections: A::SECTIONS,
            connect: |node, path, setting| {
                A::connect(from_node(node, path)?, setting).map_err(at(node, path))
            },
        }
    }
}

pub struct JournalKind {
    pub common: Common,
    /// Whether a file that names no journal has this one, in this environment.
    pub is_usual: fn(&Environment) -> bool,
    pub connect: fn(&Node, &str, &Setting) -> Connected<dyn Journal>,
    /// For a file that names none.
    pub connect_unasked: fn(&Node, &str, &Setting) -> Connected<dyn Journal>,
}

impl JournalKind {
    pub const fn of<A: JournalAdapter>() -> Self {
        JournalKind {
            common: Common::of::<A>(),
            is_usual: A::is_usual,
            connect: |node, path, setting| {
                A::connect(from_node(node, path)?, setting).map_err(at(node, path))
            },
            connect_unasked: |node, path, setting| {
                A::connect_unasked(from_node(node, path)?, setting).map_err(at(node, path))
            },
        }
    }
}

pub struct NotifierKind {
    pub common: Common,
    /// What it hears of where the entry does not say.
    pub usual: &'static [Occasion],
    pub connect: fn(&Node, &str, &Setting) -> Connected<dyn Notifier>,
}

impl NotifierKind {
    pub const fn of<A: NotifierAdapter>() -> Self {
        NotifierKind {
            common: Common::of::<A>(),
            usual: A::USUAL,
            connect: |node, path, setting| {
                A::connect(from_node(node, path)?, setting).map_err(at(node, path))
            },
        }
    }
}
