//! From a config to a unit whose adapters can be called. No call goes out here.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Chosen, Config, Step,
    absent::Absent,
    options::{Options, Wanted},
    problem::Problems,
};
#[cfg(feature = "http")]
use crate::adapter::target::probed::Probed;
use crate::{
    document::node::{Kind as Is, Located, Node, Position},
    domain::share::Share,
    engine::unit as connected,
    error::Failure,
    port::{
        Finding, Grade, Journal, Secret, Shared, Target,
        adapter::{ServiceSetting, Setting},
    },
    registry::{Kind, TargetKind},
};

mod hearers;
mod shares;
mod variables;

pub use hearers::{DEPLOYMENT, Hearer};
use variables::{fill_env, put_path};

/// What a command cannot do without. The rest is connected where it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parts {
    /// The targets, to look at and to move traffic.
    Targets,
    /// The journal, too.
    Traffic,
    All,
}

impl Config {
    /// Makes every adapter. Secrets that are not there are refused with the place that asks for them.
    pub fn connect(&self) -> Result<connected::Unit, Failure> {
        self.connect_parts(Parts::All).map(|(unit, _)| unit)
    }

    /// The same for a command that needs only these parts; with it what is wrong with the others, in the
    /// order of the file. A step among those fails when it is run, a database or a source of metrics is not
    /// in the unit, an image or a package has no name.
    pub fn connect_parts(&self, needed: Parts) -> Result<(connected::Unit, Vec<Located>), Failure> {
        let mut work = self.work(needed);
        let unit = work.unit();
        match unit {
            Some(unit) if work.problems.is_empty() => Ok((unit, work.lacking.into_sorted())),
            _ => Err(self.failure(work.problems)),
        }
    }

    /// Only the journal, for commands that only read it.
    pub fn connect_journal(&self) -> Result<Box<dyn Journal>, Failure> {
        let mut work = self.work(Parts::All);
        work.problems = Problems::default();
        let journal = work.journal();
        journal.ok_or_else(|| self.failure(work.problems))
    }

    /// What the file says and hardly means, as `plan` and `preflight` tell it.
    fn doubts(&self) -> Vec<Finding> {
        let place = |at: Position| format!("{}:{}:{}", self.file.display(), at.line, at.column);
        let finding = |located: &Located| {
            let about = located.position.map_or_else(|| self.file.display().to_string(), place);
            Finding::new(Grade::Warn, about, located.to_string())
        };
        self.warnings.iter().map(finding).collect()
    }

    fn failure(&self, problems: Problems) -> Failure {
        Failure::Config { file: self.file.display().to_string(), located: problems.into_sorted() }
    }

    fn work(&self, needed: Parts) -> Work<'_> {
        let base = self.base();
        let setting = Setting {
            state: base.join(".tidegate"),
            base,
            unit: self.sections.name.clone(),
            environment: self.environment.clone(),
            env: self.env.clone(),
            services: Vec::new(),
            sql: BTreeMap::new(),
            shared: Shared::default(),
            units: BTreeMap::new(),
        };
        let (problems, lacking) = (Problems::default(), Problems::default());
        let mut work = Work { config: self, setting, needed, problems, lacking };
        work.fill_setting();
        work
    }
}

/// The options of an entry with everything put in; not whole where something of it is not there, which is
/// refused already.
struct Prepared {
    options: Node,
    whole: bool,
}

/// Connecting, with the refusals so far.
struct Work<'a> {
    config: &'a Config,
    setting: Setting,
    needed: Parts,
    problems: Problems,
    /// What is wrong with parts that are not needed.
    lacking: Problems,
}

impl Work<'_> {
    /// Connects a part that only commands with `Parts` of that much need: for others what is wrong with it
    /// refuses nothing. With it the first thing that is.
    fn part<T>(&mut self, of: Parts, connect: impl FnOnce(&mut Self) -> T) -> (T, Option<String>) {
        if self.needed >= of {
            return (connect(self), None);
        }
        let before = std::mem::take(&mut self.problems);
        let made = connect(self);
        let found = std::mem::replace(&mut self.problems, before).into_sorted();
        let first = found.first().map(|located| located.message.clone());
        found.into_iter().for_each(|located| self.lacking.add(located));
        (made, first)
    }

    /// What adapters may know of each other.
    fn fill_setting(&mut self) {
        let sections = &self.config.sections;
        for service in &sections.services {
            let options = self.prepared_target(&service.target).options;
            self.setting.services.push(ServiceSetting {
                name: service.name.clone(),
                kind: service.target.name(),
                options,
                url: service.keys.url.clone(),
            });
        }
        for database in &sections.databases {
            let chosen = &database.database;
            let (address, _) = self.part(Parts::All, |work| {
                let Prepared { options, whole } = work.prepared(chosen);
                let sql = (chosen.kind.sql)(&options, &chosen.options_path(), &work.setting);
                // others may speak of it all the same, and are not to be refused for what it lacks
                if whole { work.problems.take(sql).flatten() } else { sql.ok().flatten() }
            });
            if let Some(address) = address {
                self.setting.sql.insert(database.name.clone(), address);
            }
        }
        let units = sections.checks.iter().filter_map(|c| Some((c.check.name.clone(), c.unit?)));
        self.setting.units = units.collect();
    }

    /// The options of a target. What its options for a deploy name is needed by commands that deploy.
    fn prepared_target(&mut self, chosen: &Chosen<TargetKind>) -> Prepared {
        if self.needed == Parts::All {
            return self.prepared(chosen);
        }
        let (mut options, mut unset) = (chosen.options.clone(), Vec::new());
        if let Is::Map(fields) = &mut options.kind {
            let deploys = |key: &str| chosen.kind.deploy_options.contains(&key);
            let own = fields.iter_mut().filter(|field| deploys(&field.key));
            own.for_each(|field| fill_env(&mut field.value, &*self.setting.env, &mut unset));
        }
        for (position, name) in unset {
            let unset = chosen.relocate(self.unset(position, &chosen.options_path(), &name));
            self.lacking.add(unset);
        }
        self.prepared_options(chosen, options)
    }

    /// The options of an entry, its secrets looked for and their files found from the file's folder.
    fn prepared<K: Kind>(&mut self, chosen: &Chosen<K>) -> Prepared {
        self.prepared_options(chosen, chosen.options.clone())
    }

    fn prepared_options<K: Kind>(&mut self, chosen: &Chosen<K>, mut options: Node) -> Prepared {
        let mut whole = true;
        if chosen.name() != "run" {
            let mut unset = Vec::new();
            fill_env(&mut options, &*self.setting.env, &mut unset);
            for (position, name) in unset {
                let unset = self.unset(position, &chosen.options_path(), &name);
                self.problems.add(chosen.relocate(unset));
                whole = false;
            }
        }
        let described = Options::of(chosen.common());
        for reference in described.secrets(&chosen.options, &chosen.options_path()) {
            let secret = match reference.secret {
                Wanted::Env(name) => Secret::Env(name.to_string()),
                Wanted::File(path) => {
                    let path = self.setting.base.join(path);
                    put_path(&mut options, reference.position, &path.to_string_lossy());
                    Secret::File(path)
                }
            };
            if let Err(message) = secret.resolve(&*self.setting.env) {
                let missing = self.missing(reference.position, &reference.path, &message, &secret);
                self.problems.add(chosen.relocate(missing));
                whole = false;
            }
        }
        Prepared { options, whole }
    }

    fn one<K: Kind, T>(
        &mut self,
        chosen: &Chosen<K>,
        connect: impl FnOnce(&K, &Node, &str, &Setting) -> Result<T, Located>,
    ) -> Option<T> {
        let options = self.prepared(chosen);
        self.connected(chosen, &options, connect)
    }

    fn connected<K: Kind, T>(
        &mut self,
        chosen: &Chosen<K>,
        Prepared { options, whole }: &Prepared,
        connect: impl FnOnce(&K, &Node, &str, &Setting) -> Result<T, Located>,
    ) -> Option<T> {
        if !whole {
            // whatever it would say of an empty text only hides why that is empty
            return None;
        }
        let made = connect(chosen.kind, options, &chosen.options_path(), &self.setting);
        self.problems.take(made.map_err(|l| chosen.relocate(l)))
    }

    fn journal(&mut self) -> Option<Box<dyn Journal>> {
        let config = self.config;
        let asked = config.sections.journal_asked;
        let (made, lacks) = self.part(Parts::Traffic, |work| {
            work.one(&config.sections.journal, |k, node, path, setting| {
                (if asked { k.connect } else { k.connect_unasked })(node, path, setting)
            })
        });
        match lacks {
            Some(why) => Some(Box::new(Absent { path: "journal".into(), why })),
            None => made,
        }
    }

    fn step(&mut self, step: &Step) -> Option<connected::Step> {
        let (made, lacks) = self.part(Parts::All, |work| {
            work.one(&step.command, |k, node, path, setting| (k.connect)(node, path, setting))
        });
        let command = match lacks {
            Some(why) => Box::new(Absent { path: step.command.path.clone(), why }),
            None => made?,
        };
        Some(connected::Step { name: step.name.clone(), command, limit: step.limit.get() })
    }

    fn unit(&mut self) -> Option<connected::Unit> {
        let config = self.config;
        let sections = &config.sections;
        let journal = self.journal();
        let services: Vec<_> = sections.services.iter().filter_map(|s| self.service(s)).collect();
        let databases = sections.databases.iter().filter_map(|d| self.database(d)).collect();
        let migrations = sections.migrations.iter().filter_map(|m| self.migration(m)).collect();
        let sources = self.sources();
        let smoke = sections.smoke.iter().filter_map(|s| self.step(s)).collect();
        let hooks = sections
            .hooks
            .iter()
            .filter_map(|h| Some(connected::Hook { moment: h.moment.clone(), step: self.step(&h.step)? }));
        let hooks = hooks.collect();
        self.check_shares(&services);
        let checks = sections.checks.iter().map(|line| connected::CheckEntry {
            check: line.check.clone(),
            source: line.source.name().to_string(),
            service: line.service.clone(),
        });
        Some(connected::Unit {
            name: sections.name.clone(),
            environment: config.environment.clone(),
            services,
            databases,
            migrations,
            stages: sections.stages.clone(),
            checks: checks.collect(),
            sources,
            smoke,
            hooks,
            when: sections.when,
            finish: sections.finish.clone(),
            journal: journal?,
            text: config.text.clone(),
            digest: config.digest.clone(),
            doubts: config.doubts(),
        })
    }

    /// A text of a service with its `{{env.NAME}}` put in.
    fn with_env(&mut self, text: &str, service: &super::Service) -> String {
        let written = (self.config.tree.get("services"))
            .and_then(|services| services.get(service.name.as_str())?.get("image"));
        let position = written.unwrap_or(&service.target.options).position;
        let mut node = Node { position, kind: Is::Text(text.to_string()) };
        let mut unset = Vec::new();
        fill_env(&mut node, &*self.setting.env, &mut unset);
        for (position, name) in unset {
            let path = format!("services.{}.image", service.name);
            let unset = self.unset(position, &path, &name);
            self.problems.add(unset);
        }
        match node.kind {
            Is::Text(text) => text,
            _ => text.to_string(),
        }
    }

    fn service(&mut self, service: &super::Service) -> Option<connected::Service> {
        let options = self.prepared_target(&service.target);
        let target = self
            .connected(&service.target, &options, |k, node, path, setting| (k.connect)(node, path, setting));
        let image = service.keys.image.as_ref();
        let (artifact, lacks) =
            self.part(Parts::All, |work| image.map(|image| work.with_env(image, service)));
        let deploy = service.deploy.as_ref().and_then(|s| self.step(s));
        let retire = service.retire.as_ref().and_then(|s| self.step(s));
        Some(connected::Service {
            name: service.name.clone(),
            target: probed(target?, service),
            deploy,
            retire,
            artifact: artifact.filter(|_| lacks.is_none()),
            stages: service.keys.stages.as_ref().map(|own| own.0.clone()),
            switch_at: service.keys.switch_at.map_or(Share::ALL, |at| at.0),
            drain: service.keys.drain.map_or(Duration::ZERO, |span| span.get()),
            url: service.keys.url.clone(),
            test_url: service.keys.test_url.clone(),
        })
    }

    fn database(&mut self, entry: &super::Database) -> Option<connected::DatabaseEntry> {
        let (database, lacks) = self.part(Parts::All, |work| {
            work.one(&entry.database, |k, node, path, setting| (k.connect)(&entry.name, node, path, setting))
        });
        let database = database.filter(|_| lacks.is_none())?;
        let (name, keep, limit) = (entry.name.clone(), entry.keys.keep, entry.keys.limit.get());
        Some(connected::DatabaseEntry { name, database, keep, limit })
    }

    fn migration(&mut self, entry: &super::Migration) -> Option<connected::Migration> {
        let up = self.step(&entry.up);
        let mut step = |step: &Option<Step>| step.as_ref().and_then(|s| self.step(s));
        let (undo, revision, verify) = (step(&entry.undo), step(&entry.revision), step(&entry.verify));
        let contract = entry.keys.kind == super::MigrationKind::Contract;
        Some(connected::Migration { up: up?, undo, revision, verify, contract })
    }

    /// One source for all checks of one adapter.
    fn sources(&mut self) -> BTreeMap<String, Box<dyn crate::port::Metric>> {
        let config = self.config;
        let lines = &config.sections.checks;
        let mut sources = BTreeMap::new();
        for kind in config.registry.metrics {
            let mine: Vec<_> = lines.iter().filter(|l| l.source.name() == kind.common.name).collect();
            if mine.is_empty() {
                continue;
            }
            let (source, lacks) = self.part(Parts::All, |work| {
                let prepared = mine.iter().map(|l| (l, work.prepared(&l.source))).collect::<Vec<_>>();
                if prepared.iter().any(|(_, prepared)| !prepared.whole) {
                    return None;
                }
                let entries: Vec<_> = (prepared.into_iter())
                    .map(|(l, prepared)| (l.check.name.clone(), prepared.options, l.source.options_path()))
                    .collect();
                work.problems.take((kind.connect)(&entries, &work.setting))
            });
            let source = source.filter(|_| lacks.is_none());
            sources.extend(source.map(|source| (kind.common.name.to_string(), source)));
        }
        sources
    }
}

/// The target with a look at its instances on top, where the service asks for one.
#[cfg(feature = "http")]
fn probed(target: Box<dyn Target>, service: &super::Service) -> Box<dyn Target> {
    match (&service.keys.health, &service.keys.version) {
        (None, None) => target,
        (health, version) => Box::new(Probed::new(target, health.clone(), version.clone())),
    }
}

#[cfg(not(feature = "http"))]
fn probed(target: Box<dyn Target>, _: &super::Service) -> Box<dyn Target> {
    target
}
