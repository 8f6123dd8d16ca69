//! From a config to a unit whose adapters can be called. No call goes out here.

use crate::document::nearest::nearest;
use std::{collections::BTreeMap, time::Duration};

use super::{
    Chosen, Config, Step,
    absent::Absent,
    options::{Options, Wanted},
    problem::{Problems, refused, with_hint},
    settings,
};
#[cfg(feature = "http")]
use crate::adapter::target::probed::Probed;
use crate::{
    document::node::{Entry as Field, Kind as Is, Located, Node, Position},
    domain::{share::Share, stage::Stage},
    engine::unit as connected,
    error::Failure,
    port::{
        Journal, Notifier, Occasion, Secret, Shared, Target,
        adapter::{ServiceSetting, Setting},
    },
    registry::{Kind, TargetKind},
};

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

    /// Those who hear of the release; `deployment` is one that the command line asks for. What cannot be
    /// connected is told beside them: it keeps no release from going out or back.
    pub fn connect_notifiers(&self, deployment: Option<&str>) -> (Vec<Hearer>, Vec<String>) {
        let mut work = self.work(Parts::All);
        work.problems = Problems::default();
        let mut hearers = Vec::new();
        for entry in &self.sections.notify {
            let made = work.one(&entry.notifier, |k, node, path, setting| (k.connect)(node, path, setting));
            let (name, kind, events) = (entry.name.to_string(), entry.notifier.name(), entry.events.clone());
            hearers.extend(made.map(|notifier| Hearer { name, kind, events, notifier }));
        }
        if let Some(by) = deployment {
            hearers.retain(|hearer| hearer.kind != DEPLOYMENT);
            hearers.extend(work.deployment(by));
        }
        let told = work.problems.into_sorted().iter().map(ToString::to_string).collect();
        (hearers, told)
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

/// One who hears of a release.
pub struct Hearer {
    /// Its key in `notify`.
    pub name: String,
    /// Its adapter.
    pub kind: &'static str,
    pub events: Vec<Occasion>,
    pub notifier: Box<dyn Notifier>,
}

/// The notifier that the command line can ask for.
pub const DEPLOYMENT: &str = "github_deployment";

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
            let options = self.prepared_target(&service.target);
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
                let options = work.prepared(chosen);
                let sql = (chosen.kind.sql)(&options, &chosen.options_path(), &work.setting);
                work.problems.take(sql).flatten()
            });
            if let Some(address) = address {
                self.setting.sql.insert(database.name.clone(), address);
            }
        }
        let units = sections.checks.iter().filter_map(|c| Some((c.check.name.clone(), c.unit?)));
        self.setting.units = units.collect();
    }

    /// The options of a target. What its options for a deploy name is needed by commands that deploy.
    fn prepared_target(&mut self, chosen: &Chosen<TargetKind>) -> Node {
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
            let unset = chosen.relocate(refused(position, &chosen.options_path(), stands_for_nothing(&name)));
            self.lacking.add(unset);
        }
        self.prepared_options(chosen, options)
    }

    /// The options of an entry, its secrets looked for and their files found from the file's folder.
    fn prepared<K: Kind>(&mut self, chosen: &Chosen<K>) -> Node {
        self.prepared_options(chosen, chosen.options.clone())
    }

    fn prepared_options<K: Kind>(&mut self, chosen: &Chosen<K>, mut options: Node) -> Node {
        if chosen.name() != "run" {
            let mut unset = Vec::new();
            fill_env(&mut options, &*self.setting.env, &mut unset);
            for (position, name) in unset {
                let message = stands_for_nothing(&name);
                self.problems.add(chosen.relocate(refused(position, &chosen.options_path(), message)));
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
                let located = refused(reference.position, &reference.path, message);
                self.problems.add(chosen.relocate(self.with_advice(located, &secret)));
            }
        }
        options
    }

    /// What may have been meant: only names that the file itself mentions, never others that are set.
    fn with_advice(&self, located: Located, secret: &Secret) -> Located {
        let Secret::Env(name) = secret else {
            return located;
        };
        let mut mentioned = Vec::new();
        variables(&self.config.tree, &mut mentioned);
        let set: Vec<&str> =
            mentioned.into_iter().filter(|m| m != name && (self.setting.env)(m).is_some()).collect();
        // Names of variables share long endings (`_URL`): only a slip of the hand counts.
        let slip = |near: &&str| strsim::normalized_damerau_levenshtein(name, near) > 0.6;
        match nearest(name, &set).filter(slip) {
            Some(near) => with_hint(located, format!("did you mean `{near}`? that one is set")),
            None => {
                with_hint(located, format!("pass it to the job, such as `{name}: ${{{{ secrets.{name} }}}}`"))
            }
        }
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
        options: &Node,
        connect: impl FnOnce(&K, &Node, &str, &Setting) -> Result<T, Located>,
    ) -> Option<T> {
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

    /// A deployment that no entry of the file asks for.
    fn deployment(&mut self, by: &str) -> Option<Hearer> {
        let position = Position { line: 1, column: 1 };
        let kind = self.config.registry.notifiers.iter().find(|kind| kind.common.name == DEPLOYMENT)?;
        let mut chosen = Chosen::implied(kind, "deployment", position);
        let by = Node { position, kind: Is::Text(by.into()) };
        chosen.options.kind = Is::Map(vec![Field { key: "by".into(), position, value: by }]);
        let notifier = self.one(&chosen, |k, node, path, setting| (k.connect)(node, path, setting))?;
        Some(Hearer { name: "deployment".into(), kind: DEPLOYMENT, events: kind.usual.to_vec(), notifier })
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
        })
    }

    /// A text of a service with its `{{env.NAME}}` put in.
    fn with_env(&mut self, text: &str, service: &super::Service) -> String {
        let position = service.target.options.position;
        let mut node = Node { position, kind: Is::Text(text.to_string()) };
        let mut unset = Vec::new();
        fill_env(&mut node, &*self.setting.env, &mut unset);
        for (position, name) in unset {
            let path = format!("services.{}.image", service.name);
            self.problems.add(refused(position, &path, stands_for_nothing(&name)));
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
                let entries: Vec<_> = mine
                    .iter()
                    .map(|l| (l.check.name.clone(), work.prepared(&l.source), l.source.options_path()))
                    .collect();
                work.problems.take((kind.connect)(&entries, &work.setting))
            });
            let source = source.filter(|_| lacks.is_none());
            sources.extend(source.map(|source| (kind.common.name.to_string(), source)));
        }
        sources
    }

    /// Every stage must be a share that every target can really set.
    fn check_shares(&mut self, services: &[connected::Service]) {
        for service in services {
            for stage in service.stages.iter().flat_map(|own| own.as_slice()) {
                let path = format!("services.{}.stages", service.name);
                self.check_own_share(service, stage, self.config.tree.position, &path);
            }
        }
        let Some(section) = self.config.tree.get("stages") else {
            return self.check_standard_shares(services);
        };
        let nodes: &[Node] = match &section.kind {
            Is::List(items) => items,
            _ => std::slice::from_ref(section),
        };
        for (index, (node, stage)) in nodes.iter().zip(self.config.sections.stages.as_slice()).enumerate() {
            let path = settings::stage_path(section, index);
            self.check_share(services, stage, node.position, &path);
        }
    }

    fn check_standard_shares(&mut self, services: &[connected::Service]) {
        for stage in self.config.sections.stages.as_slice() {
            self.check_share(services, stage, self.config.tree.position, "stages");
        }
    }

    /// Whether the services that share the file's stages can take this one.
    fn check_share(
        &mut self,
        services: &[connected::Service],
        stage: &Stage,
        position: Position,
        path: &str,
    ) {
        for service in services.iter().filter(|s| s.stages.is_none()) {
            self.check_own_share(service, stage, position, path);
        }
    }

    fn check_own_share(
        &mut self,
        service: &connected::Service,
        stage: &Stage,
        position: Position,
        path: &str,
    ) {
        if !service.target.caps().splits {
            return;
        }
        if let Err(message) = reachable(service.target.as_ref(), stage.to) {
            let message = format!("`{stage}` cannot be set on service `{}`: {message}", service.name);
            self.problems.add(refused(position, path, message));
        }
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

/// Refuses a share that would be none, all, or more than a tenth of itself away.
fn reachable(target: &dyn Target, share: Share) -> Result<(), String> {
    let near = target.nearest(share);
    let off = near.basis_points().abs_diff(share.basis_points());
    let edge = near != share && (near == Share::NONE || near == Share::ALL);
    if !edge && u32::from(off) * 10 <= u32::from(share.basis_points()) {
        return Ok(());
    }
    let smallest = (1..=10_000)
        .filter_map(|points| Share::from_basis_points(points).ok())
        .map(|share| target.nearest(share))
        .find(|near| *near > Share::NONE)
        .unwrap_or(Share::ALL);
    Err(format!("the nearest it can is {}%, and its smallest step is {}%", near.typed(), smallest.typed()))
}

fn stands_for_nothing(name: &str) -> String {
    format!("{{{{env.{name}}}}} stands for nothing: the variable is not set")
}

/// Puts in what `{{env.NAME}}` stands for; notes the names that are not set.
fn fill_env(node: &mut Node, env: &dyn Fn(&str) -> Option<String>, unset: &mut Vec<(Position, String)>) {
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
fn put_path(node: &mut Node, position: Position, path: &str) {
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
