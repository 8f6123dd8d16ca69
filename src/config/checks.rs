//! `checks`: a source, and what counts as a bad answer.

use crate::document::nearest::suggestion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{
    entry::{Chosen, Spec, each, read_keys},
    problem::{Problems, join, refused, with_hint},
    services::Service,
};
use crate::{
    document::node::{Entry as Field, Kind as Is, Located, Node, Position, parse},
    domain::{
        bound::{Bound, Direction, Level},
        check::{Alpha, Check},
        duration::Span,
        names::{EntryName, TargetName},
        sample::Measure,
        stage::Stages,
        tolerance::Tolerance,
        value::{Kind, Unit},
    },
    port::adapter::Shape,
    registry::{MetricKind, Registry},
};

/// One check with its source.
pub struct CheckLine {
    pub check: Check,
    pub source: Chosen<MetricKind>,
    /// The unit it declared for itself.
    pub unit: Option<Unit>,
    /// Only this service.
    pub service: Option<TargetName>,
    /// Not in the file.
    pub implied: bool,
}

/// What every check may have.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckKeys {
    /// Any one of these is a `fail`: `worse than baseline`, `above 5% for 2m`, `above baseline + 0.5pp`,
    /// `more than 10 in 5m`, `3 failures in a row`. A ratio or a histogram with neither `fail` nor `warn` has
    /// `worse than baseline`.
    #[serde(default)]
    pub fail: Vec<Bound>,
    /// Any one of these is told and decides nothing.
    #[serde(default)]
    pub warn: Vec<Bound>,
    /// Events of the candidate that are enough for a `pass` without proof, and below which a plain bound has none
    /// (default 100). Without it `worse than baseline` passes when harm beyond what is tolerated is ruled out with
    /// 95 % confidence.
    pub needs: Option<Needs>,
    /// The chance of a false `fail` that is accepted over a whole watch, however often it looks: `1%`. The tests
    /// that decide share it.
    #[serde(default)]
    pub alpha: Alpha,
    /// How much worse than the baseline is no harm: `1.2x`, or percentage points such as `0.5pp`.
    #[serde(default = "tolerate_default")]
    pub tolerate: Tolerance,
    /// The harm that must not slip through, such as `2x` or `1pp`: `plan` tells how long a stage must be watched to
    /// show it.
    #[serde(default = "find_default")]
    pub find: Tolerance,
    /// Which way is worse: `higher` (the default) or `lower`. For `worse than baseline`.
    #[serde(default)]
    pub worse: Worse,
    /// What the source's numbers are, where it cannot know.
    pub unit: Option<Unit>,
    /// Only this service; all that the source knows otherwise.
    pub service: Option<TargetName>,
    /// `recorded`: compare with what was recorded before the shift even where the baseline has traffic.
    pub against: Option<Against>,
    /// Tried out: it tells and decides nothing yet.
    #[serde(default)]
    pub shadow: bool,
}

fn tolerate_default() -> Tolerance {
    Tolerance::TOLERATED
}

fn find_default() -> Tolerance {
    Tolerance::FOUND
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Worse {
    #[default]
    Higher,
    Lower,
}

impl From<Worse> for Direction {
    fn from(worse: Worse) -> Self {
        match worse {
            Worse::Higher => Direction::Above,
            Worse::Lower => Direction::Below,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    Recorded,
}

/// `500 events`, or the bare number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("type" = ["string", "integer"], "pattern" = r"^\d+( events?)?$"))]
pub struct Needs(pub u64);

impl TryFrom<String> for Needs {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let number = text.strip_suffix("events").or(text.strip_suffix("event")).unwrap_or(&text);
        let digits = number.trim();
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|n| plain && *n > 0).map(Needs).ok_or_else(|| {
            format!("`{text}` is not a number of events: write `500 events` or 500, at least 1")
        })
    }
}

impl From<Needs> for String {
    fn from(needs: Needs) -> String {
        format!("{} events", needs.0)
    }
}

pub(crate) fn spec(registry: &'static Registry) -> Spec<MetricKind> {
    Spec::new::<CheckKeys>("a check", registry.metrics.iter().collect(), &[])
}

pub(crate) fn read(
    tree: &Node,
    registry: &'static Registry,
    services: &[Service],
    problems: &mut Problems,
) -> Vec<CheckLine> {
    let spec = spec(registry);
    let written = tree.get("checks").filter(|n| n.kind != Is::Null);
    match written.map(|node| (&node.kind, node)) {
        Some((Is::Map(fields), node)) if fields.is_empty() => problems.add(with_hint(
            refused(node.position, "checks", "without checks nothing can be verified"),
            "remove the section to get the default checks",
        )),
        _ => {}
    }
    let implied = written.is_none();
    let defaults = if implied { Some(default_checks(services, tree.position, problems)) } else { None };
    each(written.or(defaults.as_ref()), "checks", problems, |name, field, path, problems| {
        let line = read_check(&spec, name, field, path, services, problems)?;
        Some(CheckLine { implied, ..line })
    })
}

fn read_check(
    spec: &Spec<MetricKind>,
    name: EntryName,
    field: &Field,
    path: &str,
    services: &[Service],
    problems: &mut Problems,
) -> Option<CheckLine> {
    let source = spec.choose(&field.value, path, problems)?;
    let mut keys: CheckKeys = problems.take(read_keys(&source.keys, &[], path))?;
    if let Some(service) = &keys.service {
        problems.take(known_service(service, services, &source.keys, path));
    }
    let shape = (source.kind.shape)(&source.options, &source.options_path());
    let shape = problems.take(shape.map_err(|l| source.relocate(l)))?;
    if keys.fail.is_empty() && keys.warn.is_empty() {
        if matches!(shape.measure, Measure::Ratio | Measure::Quantile(_)) {
            keys.fail.push(Bound::Worse);
        } else {
            let message = "a check of this kind needs `fail` (rolls back) or `warn` (only tells)";
            problems
                .add(with_hint(refused(field.position, path, message), "such as `fail: above 80% for 2m`"));
        }
    }
    let interval = (source.kind.interval)(&source.options, &source.options_path());
    let interval = problems.take(interval.map_err(|l| source.relocate(l)))?;
    let place = |key: &str| source.keys.get(key).map_or(source.keys.position, |n| n.position);
    let unit_path = join(path, "unit");
    if let (Some(unit), Some(kind)) = (keys.unit, shape.measure.fixed_kind())
        && unit.kind() != kind
    {
        let message = format!("this check's answers are always {}", kind.example());
        problems.add(refused(place("unit"), &unit_path, message));
    }
    let shape = Shape { unit: keys.unit.unwrap_or(shape.unit), ..shape };
    for key in ["fail", "warn"] {
        let bounds = if key == "fail" { &keys.fail } else { &keys.warn };
        for (bound, position) in bounds.iter().zip(places(&source.keys, key)) {
            problems.take_at(
                fits(bound, &shape).and_then(|()| looks_back(bound, interval)),
                position,
                &join(path, key),
            );
        }
    }
    let kind = shape.measure.fixed_kind().unwrap_or(shape.unit.kind());
    for (key, tolerance) in [("tolerate", keys.tolerate), ("find", keys.find)] {
        if matches!(tolerance, Tolerance::Points(_)) && kind != Kind::Ratio {
            let message = format!("`{tolerance}`: percentage points (pp) compare percentages only");
            problems.add(with_hint(
                refused(place(key), &join(path, key), message),
                "write a factor such as `1.2x`",
            ));
        }
    }
    if let (Tolerance::Times(tolerated), Tolerance::Times(named)) = (keys.tolerate, keys.find)
        && named <= tolerated
    {
        match source.keys.get("find").is_some() {
            true => problems.add(with_hint(
                refused(
                    place("find"),
                    &join(path, "find"),
                    format!("{} is tolerated: {} is no harm", keys.tolerate, keys.find),
                ),
                "name a harm beyond what is tolerated",
            )),
            false => keys.find = Tolerance::Times(2.0 * tolerated),
        }
    }
    let compares = keys.fail.iter().chain(&keys.warn).any(|bound| *bound == Bound::Worse);
    if let (Worse::Lower, Tolerance::Times(factor), true, Kind::Ratio) =
        (keys.worse, keys.tolerate, compares, kind)
    {
        let message = format!(
            "`worse: lower` of a percentage: 99.9 % might fall to {:.0} % where {} is tolerated",
            99.9 / factor,
            keys.tolerate
        );
        problems.add(with_hint(
            refused(place("worse"), &join(path, "worse"), message),
            "say what is tolerated in percentage points, such as `tolerate: 0.5pp`",
        ));
    }
    let check = Check {
        name,
        measure: shape.measure,
        kind,
        fail: keys.fail,
        warn: keys.warn,
        needs: keys.needs.map(|needs| needs.0),
        alpha: keys.alpha,
        tolerate: keys.tolerate,
        find: keys.find,
        worse: keys.worse.into(),
        against_recorded: keys.against == Some(Against::Recorded),
        shadow: keys.shadow,
    };
    Some(CheckLine { check, source, unit: keys.unit, service: keys.service, implied: false })
}

fn known_service(service: &TargetName, services: &[Service], keys: &Node, path: &str) -> Result<(), Located> {
    if services.iter().any(|s| &s.name == service) {
        return Ok(());
    }
    let names: Vec<&str> = services.iter().map(|s| s.name.as_str()).collect();
    let position = keys.get("service").map_or(keys.position, |n| n.position);
    let message = format!("there is no service `{service}`");
    let hint = suggestion(service.as_str(), &names);
    Err(Located { hint, ..refused(position, &join(path, "service"), message) })
}

/// Whether the bound says something about answers of this shape.
fn fits(bound: &Bound, shape: &Shape) -> Result<(), String> {
    match (bound, shape.measure) {
        (Bound::MoreThan { .. }, Measure::Events | Measure::Ratio) => Ok(()),
        (Bound::MoreThan { .. }, _) => {
            Err(format!("`{bound}` counts events, and this source answers no events: write `above …`"))
        }
        (Bound::FailuresInARow(_), Measure::Probes) => Ok(()),
        (Bound::Worse, Measure::Ratio | Measure::Quantile(_) | Measure::Gauge) => Ok(()),
        (Bound::Worse, _) => Err(format!(
            "`{bound}` compares ratios, histograms and gauges, and this source answers none of them: write `more than …`"
        )),
        (Bound::FailuresInARow(_), _) => {
            Err(format!("`{bound}` counts health probes, and this source does not probe: write `above …`"))
        }
        (
            Bound::Beyond { direction: Direction::Above, level: Level::Fixed(level), .. },
            Measure::Ratio | Measure::Probes,
        ) if level.kind == Kind::Ratio && level.number >= 1.0 => {
            Err(format!("`{bound}` can never be broken: no part of all is more than 100 %"))
        }
        (bound, measure) => bound.fits(measure.fixed_kind().unwrap_or(shape.unit.kind())),
    }
}

/// Refuses a bound that looks back over less than the source's numbers stand for.
fn looks_back(bound: &Bound, interval: Duration) -> Result<(), String> {
    let least = match bound {
        // at least two in a row
        Bound::Beyond { .. } => interval * 2,
        _ => interval,
    };
    match bound.window() {
        Some(window) if window.get() < least => Err(format!(
            "`{bound}` looks back over less than {}: the source has one number for {}",
            Span::new(least),
            Span::new(interval)
        )),
        _ => Ok(()),
    }
}

/// Where the bounds under `key` stand, in their order.
fn places(keys: &Node, key: &str) -> Vec<Position> {
    match keys.get(key).map(|node| (&node.kind, node)) {
        Some((Is::List(items), _)) => items.iter().map(|n| n.position).collect(),
        Some((_, node)) => vec![node.position],
        None => Vec::new(),
    }
}

/// Bounds that look back further than any stage lasts.
pub(crate) fn warnings(checks: &[CheckLine], stages: &Stages) -> Vec<Located> {
    let longest = stages.as_slice().iter().map(|s| s.bake).max().unwrap_or_default();
    let mut warnings = Vec::new();
    for line in checks {
        for (key, bounds) in [("fail", &line.check.fail), ("warn", &line.check.warn)] {
            for (bound, position) in bounds.iter().zip(places(&line.source.keys, key)) {
                if bound.window().is_some_and(|w| w > longest) {
                    warnings.push(too_long(bound, longest, position, &join(&line.source.path, key)));
                }
            }
        }
    }
    warnings
}

fn too_long(bound: &Bound, longest: Span, position: Position, path: &str) -> Located {
    let message = format!("`{bound}` may never be decided: no stage is watched for longer than {longest}");
    with_hint(refused(position, path, message), "shorten it, or give a stage more time")
}

/// The checks of a file without any: what the targets declare, each once. Of two targets that use one
/// name for different checks the later one's is called after its kind.
pub(crate) fn default_checks(services: &[Service], position: Position, problems: &mut Problems) -> Node {
    let mut fields: Vec<(Field, &str)> = Vec::new();
    for service in services {
        for (name, snippet) in service.target.kind.default_checks {
            if fields.iter().any(|(_, known)| known == snippet) {
                continue;
            }
            let taken = fields.iter().any(|(f, _)| f.key == *name);
            let key = if taken { format!("{}-{name}", service.target.name()) } else { (*name).to_string() };
            if let Some(value) = problems.take(parse(snippet)) {
                fields.push((Field { key, position, value: moved(value, position) }, snippet));
            }
        }
    }
    Node { position, kind: Is::Map(fields.into_iter().map(|f| f.0).collect()) }
}

/// The same tree, all of it at one place.
fn moved(node: Node, position: Position) -> Node {
    let kind = match node.kind {
        Is::List(items) => Is::List(items.into_iter().map(|n| moved(n, position)).collect()),
        Is::Map(fields) => Is::Map(
            fields.into_iter().map(|f| Field { position, value: moved(f.value, position), ..f }).collect(),
        ),
        other => other,
    };
    Node { position, kind }
}
