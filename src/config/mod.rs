//! `tidegate.yml`: load, merge, validate, connect, explain.
//!
//! A file goes through four steps: text to a tree that knows its positions (`document`), the environment
//! laid over it, every section read into its type with all refusals collected, and, when a command needs
//! it, the adapters connected. Each section has its file here; what an entry may hold is in `entry`.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{
    document::node::{Kind as Is, Located, Node, Position, parse},
    domain::{
        names::{EnvironmentName, UnitName},
        stage::Stages,
    },
    engine::unit::{Finish, When},
    error::Failure,
    port::{Journal, adapter::Environment},
    registry::{self, JournalKind, Registry},
};

mod absent;
mod checks;
mod connect;
mod databases;
mod doubts;
mod entry;
mod environments;
mod explain;
pub mod init;
mod notify;
mod options;
mod problem;
mod schema;
mod services;
mod settings;
mod steps;
#[cfg(test)]
mod tests;
mod yaml;

pub use checks::{CheckKeys, CheckLine};
pub use connect::{DEPLOYMENT, Hearer, Parts};
pub use databases::{Database, DatabaseKeys, Migration, MigrationKeys, MigrationKind};
pub use entry::Chosen;
pub use explain::explain;
pub use notify::{Notify, NotifyKeys};
pub use schema::schema;
pub use services::{Service, ServiceKeys};
pub use steps::{HOOKED, Hook, Step, StepKeys};

use problem::{Problems, not_yet, refused, unknown_key, with_hint};

/// A file that was read and found in order, as it is in one environment.
pub struct Config {
    pub file: PathBuf,
    /// The whole file, as it was written.
    pub text: String,
    /// SHA-256 of the text, in hex.
    pub digest: String,
    /// The file with the environment laid over it.
    pub tree: Node,
    pub environment: EnvironmentName,
    pub sections: Sections,
    /// What is legal and probably not meant.
    pub warnings: Vec<Located>,
    registry: &'static Registry,
    env: Environment,
}

/// The sections, typed, with their defaults.
pub struct Sections {
    pub name: UnitName,
    pub journal: Chosen<JournalKind>,
    /// The file names it.
    pub journal_asked: bool,
    pub services: Vec<Service>,
    pub databases: Vec<Database>,
    pub migrations: Vec<Migration>,
    pub stages: Stages,
    pub checks: Vec<CheckLine>,
    pub smoke: Vec<Step>,
    pub hooks: Vec<Hook>,
    pub when: When,
    pub finish: Finish,
    pub notify: Vec<Notify>,
}

/// The sections in the order in which they are explained.
pub(crate) const SECTIONS: [&str; 13] = [
    "name",
    "journal",
    "services",
    "databases",
    "migrations",
    "stages",
    "checks",
    "smoke",
    "hooks",
    "when",
    "finish",
    "notify",
    "environments",
];

/// Sections that are planned.
const LATER: [&str; 3] = ["flags", "require", "windows"];

const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The journal of a file that may be broken elsewhere: its name and its journal are all that is read.
pub fn journal_of(path: &Path, environment: &EnvironmentName, env: Environment) -> Option<Box<dyn Journal>> {
    let text = read(path).ok()?;
    let tree = parse(&text).ok()?;
    let mut problems = Problems::default();
    let name = read_name(&tree, &mut problems)?;
    let journal = settings::read_journal(&tree, &registry::ALL, &env, &mut problems)?;
    let minimal = format!(
        "name: {name}\nservices: {{none: {{haproxy: {{socket: none, backend: none, sides: [a, b]}}}}}}\n"
    );
    let mut config = Config::from_text(path, minimal, &production()?, env).ok()?;
    config.sections.journal = journal;
    config.sections.journal_asked = settings::names_journal(&tree);
    config.environment = environment.clone();
    config.connect_journal().ok()
}

fn production() -> Option<EnvironmentName> {
    EnvironmentName::new(environments::PRODUCTION).ok()
}

/// Reads the file as it is in `environment`; secrets are looked for only when connecting.
pub fn load(path: &Path, environment: &EnvironmentName, env: Environment) -> Result<Config, Failure> {
    Config::from_text(path, read(path)?, environment, env)
}

fn read(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let failed = |e: std::io::Error| Failure::Usage {
        message: format!("failed to read {shown}: {e}"),
        hint: (e.kind() == std::io::ErrorKind::NotFound)
            .then(|| "`tidegate init` writes one; `--config` names another".to_string()),
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{shown} is larger than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|e| {
        Failure::usage(format!("{shown} is not UTF-8 text (byte {})", e.utf8_error().valid_up_to()))
    })
}

impl Config {
    /// The same for a text that is at hand; `file` says where its relative paths begin.
    pub fn from_text(
        file: &Path,
        text: String,
        environment: &EnvironmentName,
        env: Environment,
    ) -> Result<Config, Failure> {
        Config::read(file, text, environment, env, &registry::ALL)
    }

    fn read(
        file: &Path,
        text: String,
        environment: &EnvironmentName,
        env: Environment,
        registry: &'static Registry,
    ) -> Result<Config, Failure> {
        let shown = file.display().to_string();
        let failed = |located| Failure::Config { file: shown.clone(), located };
        let whole = parse(&text).map_err(|l| failed(vec![l]))?;
        if !matches!(whole.kind, Is::Map(_)) {
            let message = format!("the file must be a map of sections, found {}", whole.describe());
            return Err(failed(vec![refused(whole.position, "", message)]));
        }
        let mut problems = Problems::default();
        let listed = environments::listed(&whole, &mut problems);
        let production = environment.as_str() == environments::PRODUCTION;
        let over = listed.iter().find(|(name, _)| name == environment).map(|(_, over)| *over);
        if !production && over.is_none() && problems.is_empty() {
            return Err(environments::unlisted(&shown, environment, &listed));
        }
        let tree = environments::tree_in(&whole, over);
        let mut sections = Sections::read(&whole, registry, &env, &mut problems);
        if problems.is_empty() {
            for (name, over) in &listed {
                let mut here = Problems::default();
                let merged = environments::tree_in(&whole, Some(over));
                let read = Sections::read(&merged, registry, &env, &mut here);
                here.into_sorted()
                    .into_iter()
                    .for_each(|l| problems.add(environments::in_environment(name, l)));
                if name == environment {
                    sections = read;
                }
            }
        }
        let Some(sections) = sections.filter(|_| problems.is_empty()) else {
            return Err(failed(problems.into_sorted()));
        };
        let digest: String = Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        let warnings = sections.warnings(&tree);
        let (file, environment) = (file.to_path_buf(), environment.clone());
        Ok(Config { file, text, digest, tree, environment, sections, warnings, registry, env })
    }

    /// The folder of the file; relative paths and commands start here.
    pub fn base(&self) -> PathBuf {
        match self.file.parent() {
            Some(parent) if parent != Path::new("") => parent.to_path_buf(),
            _ => PathBuf::from("."),
        }
    }
}

impl Sections {
    /// Reads every section; `None` only where a problem was noted.
    fn read(
        tree: &Node,
        registry: &'static Registry,
        env: &Environment,
        problems: &mut Problems,
    ) -> Option<Sections> {
        check_names(tree, problems);
        refuse_credentials(tree, "", problems);
        let name = read_name(tree, problems);
        let journal = settings::read_journal(tree, registry, env, problems);
        let services = services::read(tree, registry, problems);
        let databases = databases::read(tree, registry, problems);
        let migrations = databases::read_migrations(tree, registry, problems);
        let stages = settings::read_stages(tree, problems);
        let checks = checks::read(tree, registry, &services, problems);
        let smoke = steps::read_smoke(tree, registry, problems);
        let hooks = steps::read_hooks(tree, registry, problems);
        let when = settings::read_when(tree, problems);
        let finish = settings::read_finish(tree, problems);
        let notify = notify::read(tree, registry, problems);
        Some(Sections {
            name: name?,
            journal: journal?,
            journal_asked: settings::names_journal(tree),
            services,
            databases,
            migrations,
            stages: stages?,
            checks,
            smoke,
            hooks,
            when: when?,
            finish: finish?,
            notify,
        })
    }

    fn warnings(&self, tree: &Node) -> Vec<Located> {
        let mut warnings = checks::warnings(&self.checks, &self.stages);
        warnings.extend(doubts::doubts(&self.checks));
        if !self.checks.iter().any(|line| !line.check.fail.is_empty() && !line.check.shadow) {
            let position = tree.get("checks").map_or(tree.position, |n| n.position);
            warnings.push(with_hint(
                refused(position, "checks", "no check can fail a release: every stage will pass"),
                "give a check a `fail`",
            ));
        }
        warnings
    }
}

/// `scheme://user:password@host` and `Bearer TOKEN` anywhere: the file's text goes into the journal.
fn refuse_credentials(node: &Node, path: &str, problems: &mut Problems) {
    match &node.kind {
        Is::Text(text) => {
            let authority =
                text.split("://").skip(1).filter_map(|rest| rest.split(['/', '?', ' ', '"', '\'']).next());
            let literal = |a: &str| {
                a.rsplit_once('@').is_some_and(|(user, _)| {
                    user.contains(':') && !user.contains('$') && !user.contains("{{")
                })
            };
            if authority.into_iter().any(literal) {
                let message = format!("`{path}` has a password in a URL; it would be kept in the journal");
                problems.add(with_hint(
                    refused(node.position, path, message),
                    "take it from the environment: `{env: NAME}`, or a variable in a command",
                ));
            }
            if doubts::has_token(text) {
                let message = format!("`{path}` has a token written out; it would be kept in the journal");
                problems.add(with_hint(
                    refused(node.position, path, message),
                    "take it from the environment: `{env: NAME}`, or a variable in a command; and change it: it was in a file",
                ));
            }
        }
        Is::Map(fields) => {
            fields.iter().for_each(|f| refuse_credentials(&f.value, &problem::join(path, &f.key), problems))
        }
        Is::List(items) => items.iter().for_each(|item| refuse_credentials(item, path, problems)),
        _ => {}
    }
}

fn check_names(tree: &Node, problems: &mut Problems) {
    let Is::Map(fields) = &tree.kind else {
        return;
    };
    for field in fields {
        let key = field.key.as_str();
        if LATER.contains(&key) {
            problems.add(not_yet(key, field.position, ""));
        } else if !SECTIONS.contains(&key) {
            problems.add(unknown_key(key, field.position, "", &SECTIONS));
        }
    }
}

fn read_name(tree: &Node, problems: &mut Problems) -> Option<UnitName> {
    let Some(node) = tree.get("name").filter(|n| n.kind != Is::Null) else {
        let start = Position { line: 1, column: 1 };
        let missing = refused(start, "", "`name` is missing: it names what this file releases");
        problems.add(with_hint(missing, "write `name: shop`; the journal is kept under it"));
        return None;
    };
    problems.take(crate::document::de::from_node(node, "name"))
}

fn is_map_or_null(node: &Node) -> bool {
    matches!(node.kind, Is::Map(_) | Is::Null)
}
