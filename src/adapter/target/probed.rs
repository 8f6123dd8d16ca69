//! A target whose instances are also asked themselves: whether they are well, and which version they are.
//!
//! What the provider says comes first: an instance it calls down or disabled stays so. A probe settles what the provider
//! does not know, and an instance that the provider calls up and that fails its probe is down.

use std::fmt;

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    adapter::{
        metric::http::{PROBE_LIMIT, PROBES_MAX, Probe},
        web::{Address, BODY_BYTES_MAX, Expect, Pointed, Request, Web, concurrently, refusal},
    },
    domain::{
        duration::Span,
        observed::{Health as State, Instance, Observed, Side},
        share::{Share, SideShares},
        template::Words,
    },
    port::{Caps, Change, Context, Fault, Finding, Pace, Target},
};

/// `health: /ready`, or `{http: /ready, expect: {status: 200, /db: up}, within: 2s}`.
#[derive(Clone, Debug)]
pub struct Health {
    path: Address,
    expect: Expect,
    within: Span,
}

/// `version: /version#/version`: a path that every instance answers, and where its version stands in the JSON; without
/// a pointer the whole answer is the version.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct VersionSource(Pointed);

/// A target with a look at its instances on top.
pub struct Probed {
    inner: Box<dyn Target>,
    health: Option<Health>,
    version: Option<VersionSource>,
    web: Web,
}

/// Healthy instances that are asked for their version until one says it.
const VERSION_ASKED_MAX: usize = 3;
const VERSION_CHARS_MAX: usize = 128;

impl Probed {
    pub fn new(inner: Box<dyn Target>, health: Option<Health>, version: Option<VersionSource>) -> Self {
        Probed { inner, health, version, web: Web::new("http") }
    }

    async fn look(&self, cx: &Context, side: &mut Side) {
        if let Some(health) = &self.health {
            let mut work = Vec::with_capacity(side.instances.len());
            for instance in &side.instances {
                work.push(self.state(cx, health, instance));
            }
            let states = concurrently(PROBES_MAX, work).await;
            for (instance, state) in side.instances.iter_mut().zip(states) {
                instance.health = state;
            }
        }
        if let Some(version) = &self.version
            && let Some(found) = self.version(cx, version, side).await
        {
            side.version = Some(found);
        }
    }

    async fn state(&self, cx: &Context, health: &Health, instance: &Instance) -> State {
        let (State::Up | State::Unknown, Some(address)) = (&instance.health, &instance.address) else {
            return instance.health.clone();
        };
        let words = Words::default();
        let path = match health.path.fill(&words) {
            Ok(path) => path,
            Err(why) => return State::Down { why },
        };
        let probe = Probe { web: &self.web, expect: &health.expect, words: &words, within: health.within };
        let request = Request::get(format!("http://{address}{path}"));
        match probe.ask(cx, request).await {
            Ok(()) => State::Up,
            Err(why) => State::Down { why: format!("{path}: {why}") },
        }
    }

    /// The version that a healthy instance answers; none if none does.
    async fn version(&self, cx: &Context, source: &VersionSource, side: &Side) -> Option<String> {
        let path = source.0.address.fill(&Words::default()).ok()?;
        let cx = cx.within(PROBE_LIMIT.get());
        let well = side.instances.iter().filter(|instance| instance.health == State::Up);
        for address in well.filter_map(|instance| instance.address.as_ref()).take(VERSION_ASKED_MAX) {
            let request = Request::get(format!("http://{address}{path}"));
            let answer = self.web.ask(&cx, "read the version", request, BODY_BYTES_MAX).await;
            let found = answer.ok().filter(|answer| refusal(answer.status).is_none());
            let text = found.and_then(|answer| source.0.text(&answer).ok());
            if let Some(text) = text.filter(|text| is_version(text)) {
                return Some(text);
            }
        }
        None
    }
}

/// An error page is no version.
fn is_version(text: &str) -> bool {
    text.chars().count() <= VERSION_CHARS_MAX && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

#[async_trait]
impl Target for Probed {
    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn pace(&self) -> Pace {
        self.inner.pace()
    }

    fn nearest(&self, share: Share) -> Share {
        self.inner.nearest(share)
    }

    fn between(&self, from: Share, to: Share) -> Vec<Share> {
        self.inner.between(from, to)
    }

    async fn observe(&self, cx: &Context) -> Result<Observed, Fault> {
        let mut observed = self.inner.observe(cx).await?;
        let mut work = Vec::with_capacity(observed.sides.len());
        for side in &mut observed.sides {
            work.push(self.look(cx, side));
        }
        concurrently(PROBES_MAX, work).await;
        Ok(observed)
    }

    async fn split(&self, cx: &Context) -> Result<SideShares, Fault> {
        self.inner.split(cx).await
    }

    async fn apply(&self, cx: &Context, change: &Change) -> Result<(), Fault> {
        self.inner.apply(cx, change).await
    }

    async fn preflight(&self, cx: &Context) -> Vec<Finding> {
        self.inner.preflight(cx).await
    }
}

/// The long form of `health:`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Long {
    /// The path that every instance is asked for.
    http: String,
    /// What the answer must be; status 200 unless it says otherwise.
    #[serde(default)]
    expect: Expect,
    /// The time limit of one probe (2s).
    within: Option<Span>,
}

impl Health {
    fn new(path: &str, expect: Expect, within: Option<Span>) -> Result<Self, String> {
        let path = Address::new(path).and_then(of_instances)?;
        let within = within.unwrap_or(PROBE_LIMIT);
        match within.get().is_zero() {
            false => Ok(Health { path, expect, within }),
            true => Err("no instance answers within 0s".into()),
        }
    }
}

fn of_instances(address: Address) -> Result<Address, String> {
    if !address.is_relative() {
        return Err("instances are asked for a path, such as /health".into());
    }
    match address.words().iter().next() {
        None => Ok(address),
        Some(word) => Err(format!("{{{{{word}}}}} stands for nothing here: it is asked at any time")),
    }
}

impl TryFrom<String> for VersionSource {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let pointed = Pointed::new(&text)?;
        of_instances(pointed.address.clone())?;
        Ok(VersionSource(pointed))
    }
}

impl JsonSchema for VersionSource {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "VersionSource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Path and JSON pointer that say which version an instance runs: `/version#/version`.",
            "type": "string",
            "pattern": "^/",
        })
    }
}

impl<'de> Deserialize<'de> for Health {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HealthVisitor)
    }
}

struct HealthVisitor;

impl<'de> Visitor<'de> for HealthVisitor {
    type Value = Health;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path such as `/health`, or `{http: /health, expect: {…}, within: 2s}`")
    }

    fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<Health, E> {
        Health::new(path, Expect::default(), None).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Health, A::Error> {
        let long = Long::deserialize(MapAccessDeserializer::new(map))?;
        Health::new(&long.http, long.expect, long.within).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Health {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Health".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<Long>();
        json_schema!({
            "description": "How every instance is asked whether it is well.",
            "anyOf": [{"type": "string", "pattern": "^/"}, long],
        })
    }
}
