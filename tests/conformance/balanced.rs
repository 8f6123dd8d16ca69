//! Connecting adapters as the file would.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tidegate::{
    demo::splitter::RuntimeAddress,
    document::node::parse,
    domain::{
        names::{EntryName, EnvironmentName, SideName, TargetName, UnitName},
        observed::Observed,
        share::Share,
    },
    port::{
        Change, Context, Metric, Target,
        adapter::{ServiceSetting, Setting},
        clock::SystemClock,
    },
    registry,
};

/// Far longer than anything here takes.
pub fn cx() -> Context {
    Context::new(Arc::new(SystemClock::default()), Duration::from_secs(30))
}

pub fn setting(base: &Path, services: &[(&str, &str)]) -> Setting {
    let service = |(name, options): &(&str, &str)| ServiceSetting {
        name: TargetName::new(*name).unwrap(),
        kind: "haproxy",
        options: parse(options).unwrap(),
        url: None,
    };
    Setting {
        base: base.into(),
        state: base.join(".tidegate"),
        unit: UnitName::new("shop").unwrap(),
        environment: EnvironmentName::new("production").unwrap(),
        env: Arc::new(|_| None),
        services: services.iter().map(service).collect(),
        sql: BTreeMap::new(),
        shared: Default::default(),
        units: BTreeMap::new(),
    }
}

/// A `haproxy` target with these options.
pub fn target(options: &str) -> Box<dyn Target> {
    let kind = registry::TARGETS.iter().find(|k| k.common.name == "haproxy").unwrap();
    let setting = setting(Path::new("/nowhere"), &[]);
    (kind.connect)(&parse(options).unwrap(), "services.api.haproxy", &setting)
        .unwrap_or_else(|e| panic!("{e}"))
}

/// Checks `name: {haproxy: preset}` over these services.
pub fn metric(checks: &[(&str, &str)], services: &[(&str, &str)]) -> Box<dyn Metric> {
    let kind = registry::METRICS.iter().find(|k| k.common.name == "haproxy").unwrap();
    let entry = |(name, preset): &(&str, &str)| {
        let node = parse(&format!("{{preset: {preset}}}")).unwrap();
        (EntryName::new(*name).unwrap(), node, format!("checks.{name}.haproxy"))
    };
    let entries: Vec<_> = checks.iter().map(entry).collect();
    (kind.connect)(&entries, &setting(Path::new("/nowhere"), services)).unwrap_or_else(|e| panic!("{e}"))
}

pub fn socket(address: &RuntimeAddress) -> String {
    match address {
        RuntimeAddress::Unix(path) => path.display().to_string(),
        RuntimeAddress::Tcp(address) => address.to_string(),
    }
}

/// Blue and green of backend `api`.
pub fn api(address: &RuntimeAddress) -> Box<dyn Target> {
    target(&format!("{{socket: '{}', backend: api, sides: [blue, green]}}", socket(address)))
}

pub fn share(text: &str) -> Share {
    text.parse().unwrap()
}

pub fn side(name: &str) -> SideName {
    SideName::new(name).unwrap()
}

/// `green` gets this much, `blue` the rest.
pub fn to_green(text: &str) -> Change {
    let share = share(text);
    Change::Share([(side("blue"), share.rest()), (side("green"), share)].into())
}

pub fn green(observed: &Observed) -> Share {
    let [blue, green] = ["blue", "green"].map(|name| observed.share(&side(name)));
    assert_eq!(blue, green.rest());
    green
}
