//! The surroundings of an adapter under test.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidegate::{
    document::node::Node,
    port::{
        Context, Progress, SqlAddress, Watching,
        adapter::{ServiceSetting, Setting},
        clock::SystemClock,
    },
};

pub fn setting(folder: &Path, variables: &[(&str, &str)]) -> Setting {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    Setting {
        base: folder.to_path_buf(),
        state: folder.join(".tidegate"),
        unit: "shop".parse().unwrap(),
        environment: "production".parse().unwrap(),
        env: Arc::new(move |name| variables.get(name).cloned()),
        services: ["api", "web"]
            .map(|name| ServiceSetting {
                name: name.parse().unwrap(),
                kind: "double",
                options: node("{}"),
                url: None,
            })
            .into(),
        sql: BTreeMap::new(),
        shared: Default::default(),
        units: BTreeMap::new(),
    }
}

pub fn with_sql(mut setting: Setting, name: &str, address: SqlAddress) -> Setting {
    setting.sql.insert(name.parse().unwrap(), address);
    setting
}

pub fn node(text: &str) -> Node {
    tidegate::document::node::parse(text).unwrap_or_else(|e| panic!("{text}: {}", e.message))
}

pub fn within(seconds: u64) -> Context {
    Context::new(Arc::new(SystemClock::default()), Duration::from_secs(seconds))
}

/// Remembers everything it is told.
#[derive(Default)]
pub struct Heard(pub Mutex<Vec<String>>);

impl Heard {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Progress for Heard {
    fn line(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_string());
    }
    fn output(&self, step: &str, line: &str) {
        self.0.lock().unwrap().push(format!("{step}: {line}"));
    }
    fn waiting(&self, _: &str, _: &str) {}
    fn watching(&self, _: &Watching<'_>) {}
}
