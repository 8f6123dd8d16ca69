//! Journals on branches of the double, and ways around the adapter.

use async_trait::async_trait;
use std::{sync::Arc, time::Duration};
use tidegate::{
    adapter::journal::git::{Config, GitJournal},
    port::{
        Clock, Context, Journal, Shared,
        adapter::{JournalAdapter as _, Setting},
        clock::SystemClock,
    },
};

use crate::{double::Double, journal_suite::Place, repository::Logged};

pub const BRANCH: &str = "refs/heads/tidegate/shop/production";

pub fn within(seconds: u64) -> Context {
    Context::new(Arc::new(SystemClock::default()), Duration::from_secs(seconds))
}

/// A context on a clock that runs ten times as fast, for waits that would be long.
pub fn hurried(seconds: u64) -> Context {
    Context::new(Arc::new(Hurried(SystemClock::default())), Duration::from_secs(seconds))
}

struct Hurried(SystemClock);
const HURRY: u32 = 10;

#[async_trait]
impl Clock for Hurried {
    fn now(&self) -> jiff::Timestamp {
        self.0.now()
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed() * HURRY
    }
    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration / HURRY).await;
    }
}

/// A step of a workflow in which these variables are set.
pub fn setting(variables: Vec<(String, String)>) -> Setting {
    let env = move |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    Setting {
        base: ".".into(),
        state: ".tidegate".into(),
        unit: "shop".parse().unwrap(),
        environment: "production".parse().unwrap(),
        env: Arc::new(env),
        services: Vec::new(),
        sql: Default::default(),
        shared: Shared::default(),
        units: Default::default(),
    }
}

/// The journal of `shop` in production, as one more process opens it.
pub fn open(double: &Double) -> Box<dyn Journal> {
    open_with(double, "{}").unwrap()
}

pub fn open_with(double: &Double, config: &str) -> Result<Box<dyn Journal>, String> {
    let config: Config = serde_json::from_str(config).unwrap();
    GitJournal::connect(config, &setting(double.environment()))
}

/// As GitHub's own tools would see it.
pub fn log(double: &Double) -> Vec<Logged> {
    let state = double.state();
    state.repository.reference(BRANCH).map_or(Vec::new(), |sha| state.repository.log(&sha, 10_000).unwrap())
}

/// Pushes with force: the branch has exactly these messages from now on, oldest first.
pub fn rewrite(double: &Double, messages: &[String]) {
    let state = double.state();
    let repository = &state.repository;
    let tree = repository.git(&["mktree"], b"").unwrap();
    let mut last: Option<String> = None;
    for message in messages {
        let parents: Vec<&str> = last.iter().map(String::as_str).collect();
        last = Some(repository.commit(&tree, &parents, message).unwrap());
    }
    match last {
        Some(sha) => drop(repository.git(&["update-ref", BRANCH, &sha], b"").unwrap()),
        None => repository.delete(BRANCH),
    }
}

/// The journal of one repository.
pub struct Branch {
    pub double: Double,
}

impl Branch {
    fn number(name: &str) -> Option<usize> {
        let digits = name.strip_suffix(".json")?;
        (digits.len() == 6).then(|| digits.parse().ok()).flatten()
    }

    fn messages(&self) -> Vec<String> {
        log(&self.double).into_iter().rev().map(|commit| commit.message).collect()
    }
}

#[async_trait]
impl Place for Branch {
    fn open(&self, environment: &str) -> Box<dyn Journal> {
        let setting =
            Setting { environment: environment.parse().unwrap(), ..setting(self.double.environment()) };
        GitJournal::connect(serde_json::from_str("{}").unwrap(), &setting).unwrap()
    }

    /// A record is a message; anything else is another branch with a name like ours.
    async fn put(&self, name: &str, text: &str) {
        let Some(number) = Branch::number(name) else {
            let state = self.double.state();
            let clean: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
            let main = state.repository.reference("refs/heads/main").unwrap();
            return state.repository.create(&format!("{BRANCH}-{clean}"), &main).unwrap();
        };
        let mut messages = self.messages();
        messages.truncate(number - 1);
        assert_eq!(messages.len(), number - 1);
        messages.push(format!("shop/production #{number} x\n\nrun x\n\n{text}"));
        rewrite(&self.double, &messages);
    }

    async fn remove(&self, name: &str) {
        let number = Branch::number(name).unwrap();
        let ours = format!("shop/production #{number} ");
        let mut messages = self.messages();
        messages.retain(|message| !message.starts_with(&ours));
        rewrite(&self.double, &messages);
    }

    fn chained(&self) -> Option<Context> {
        Some(hurried(60))
    }
}
