//! Those who hear of a release: the file's, and the deployment that the command line asks for.

use super::{Config, Parts, Work};
use crate::config::problem::Problems;
use crate::{
    config::Chosen,
    document::node::{Entry as Field, Kind as Is, Node, Position},
    port::{Notifier, Occasion},
};

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

impl Config {
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
}

impl Work<'_> {
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
}
