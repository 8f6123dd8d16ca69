//! Questions about AWS services that need no query: which metrics, of which dimensions.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::{
    query::{Metric, Series, Stat},
    wanted::{Requests, Term, Wanted},
};
use crate::{
    adapter::aws::resource_of,
    document::nearest::suggestion,
    domain::{sample::Measure, value::Unit},
    port::adapter::Shape,
};

const ALB: &str = "AWS/ApplicationELB";
const LAMBDA: &str = "AWS/Lambda";
const ECS: &str = "AWS/ECS";

/// A question that CloudWatch answers for every service of a kind:
///
/// - `alb_errors`: the part of a side's requests that failed: answered with a 5xx by the service, not connected to it, or without an answer from it where the load balancer made up a 502 or 504.
/// - `alb_5xx`: answers of a side with a 5xx, counted; not those that the load balancer made up for it.
/// - `alb_requests`: requests given to a side.
/// - `alb_p95`, or any other percentile: a side's time to answer.
/// - `alb_unhealthy`: instances of a side that the load balancer finds unhealthy.
/// - `lambda_errors`: the part of a version's invocations that failed; of several functions together.
/// - `lambda_throttles`: invocations refused for want of concurrency.
/// - `lambda_invocations`: how often a version was invoked.
/// - `lambda_p95`, or any other percentile: how long a version ran; of several functions the slowest.
/// - `ecs_cpu`, `ecs_memory`: the mean use of what a side has reserved, as in `above 70%`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = PATTERN))]
pub struct Preset {
    family: Family,
    of: Of,
}

const PATTERN: &str = r"^(alb_(errors|5xx|requests|unhealthy|p\d{1,2}(\.\d+)?)|lambda_(errors|throttles|invocations|p\d{1,2}(\.\d+)?)|ecs_(cpu|memory))$";

/// Behind what a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Alb,
    Lambda,
    Ecs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    Errors,
    FiveXx,
    Requests,
    Time(String),
    Unhealthy,
    Throttles,
    Cpu,
    Memory,
}

const NAMES: [(&str, Family, Of); 9] = [
    ("alb_errors", Family::Alb, Of::Errors),
    ("alb_5xx", Family::Alb, Of::FiveXx),
    ("alb_requests", Family::Alb, Of::Requests),
    ("alb_unhealthy", Family::Alb, Of::Unhealthy),
    ("lambda_errors", Family::Lambda, Of::Errors),
    ("lambda_throttles", Family::Lambda, Of::Throttles),
    ("lambda_invocations", Family::Lambda, Of::Requests),
    ("ecs_cpu", Family::Ecs, Of::Cpu),
    ("ecs_memory", Family::Ecs, Of::Memory),
];

impl TryFrom<String> for Preset {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if let Some((_, family, of)) = NAMES.iter().find(|(name, ..)| *name == text) {
            return Ok(Preset { family: *family, of: of.clone() });
        }
        for (prefix, family) in [("alb_", Family::Alb), ("lambda_", Family::Lambda)] {
            let percentile =
                text.strip_prefix(prefix).and_then(|at| Stat::try_from(at.to_string()).ok().map(|s| (s, at)));
            if let Some((stat, at)) = percentile
                && stat.is_percentile()
            {
                return Ok(Preset { family, of: Of::Time(at.to_string()) });
            }
        }
        let known: Vec<&str> = NAMES
            .iter()
            .map(|(name, ..)| *name)
            .chain(["alb_p50", "alb_p95", "alb_p99", "lambda_p95"])
            .collect();
        let hint = suggestion(&text, &known).unwrap_or_default();
        Err(format!("CloudWatch has no preset `{text}`: {hint}"))
    }
}

impl Family {
    /// The targets whose services it answers for.
    pub const fn kinds(self) -> &'static [&'static str] {
        match self {
            Family::Alb => &["ecs_alb"],
            Family::Ecs => &["ecs_alb", "ecs_rolling"],
            Family::Lambda => &["lambda"],
        }
    }
}

impl Preset {
    pub fn family(&self) -> Family {
        self.family
    }

    pub fn shape(&self) -> Shape {
        let shape = |measure, unit| Shape { measure, unit };
        match (self.family, &self.of) {
            (_, Of::Errors) => shape(Measure::Ratio, Unit::RATIO),
            (_, Of::FiveXx | Of::Requests | Of::Throttles) => shape(Measure::Events, Unit::COUNT),
            (Family::Lambda, Of::Time(_)) => shape(Measure::Gauge, Unit::MILLISECONDS),
            (_, Of::Time(_)) => shape(Measure::Gauge, Unit::SECONDS),
            (_, Of::Unhealthy) => shape(Measure::Gauge, Unit::COUNT),
            (_, Of::Cpu | Of::Memory) => shape(Measure::Gauge, Unit::PERCENT),
        }
    }

    /// The series of one side, which the target calls by these labels.
    pub fn wanted(&self, labels: &BTreeMap<String, String>) -> Result<Wanted<Term>, String> {
        match self.family {
            Family::Alb => self.alb(labels),
            Family::Lambda => self.lambda(labels),
            Family::Ecs => self.ecs(labels),
        }
    }

    fn alb(&self, labels: &BTreeMap<String, String>) -> Result<Wanted<Term>, String> {
        let balancer = resource_of(label(labels, "load_balancer")?);
        let group = resource_of(label(labels, "target_group")?);
        let dimensions = [
            ("LoadBalancer", balancer.strip_prefix("loadbalancer/").unwrap_or(balancer)),
            ("TargetGroup", group),
        ];
        let series = |name: &str, stat: &str| Term::of(metric(ALB, name, stat, &dimensions));
        let failed = || series("HTTPCode_Target_5XX_Count", "Sum");
        let requests = || vec![series("RequestCount", "Sum")];
        Ok(match &self.of {
            Of::Errors => Wanted::Requests(Requests {
                given: requests(),
                well: ["2XX", "3XX", "4XX"]
                    .map(|code| series(&format!("HTTPCode_Target_{code}_Count"), "Sum"))
                    .into(),
                failed: vec![failed()],
                unreached: vec![series("TargetConnectionErrorCount", "Sum")],
                made_up: ["502", "504"]
                    .map(|code| {
                        let name = format!("HTTPCode_ELB_{code}_Count");
                        Term::of(metric(ALB, &name, "Sum", &dimensions[..1]))
                    })
                    .into(),
            }),
            Of::FiveXx => Wanted::Events { bad: vec![failed()], total: requests() },
            Of::Unhealthy => Wanted::Value(vec![series("UnHealthyHostCount", "Maximum")]),
            Of::Time(stat) => Wanted::Value(vec![series("TargetResponseTime", stat)]),
            _ => Wanted::Events { bad: requests(), total: Vec::new() },
        })
    }

    fn lambda(&self, labels: &BTreeMap<String, String>) -> Result<Wanted<Term>, String> {
        let functions: Vec<&str> = label(labels, "functions")?.split(',').collect();
        let versions: Vec<&str> = label(labels, "versions")?.split(',').collect();
        let alias = label(labels, "alias")?;
        if functions.len() != versions.len() {
            return Err(format!("{} functions have {} versions", functions.len(), versions.len()));
        }
        let series = |name: &str, stat: &str| -> Vec<Term> {
            let each = functions.iter().zip(&versions).map(|(function, version)| {
                let resource = format!("{function}:{alias}");
                let whole = [("FunctionName", *function), ("Resource", resource.as_str())];
                let [function, resource] = whole;
                let side = [function, resource, ("ExecutedVersion", *version)];
                // an alias that routes nothing to a second version may have no numbers by version
                Term {
                    series: metric(LAMBDA, name, stat, &side),
                    alone: Some(metric(LAMBDA, name, stat, &whole)),
                }
            });
            each.collect()
        };
        let invocations = || series("Invocations", "Sum");
        Ok(match &self.of {
            Of::Errors => Wanted::Ratio { bad: series("Errors", "Sum"), total: invocations() },
            Of::Throttles => Wanted::Events { bad: series("Throttles", "Sum"), total: invocations() },
            Of::Time(stat) => Wanted::Value(series("Duration", stat)),
            _ => Wanted::Events { bad: invocations(), total: Vec::new() },
        })
    }

    fn ecs(&self, labels: &BTreeMap<String, String>) -> Result<Wanted<Term>, String> {
        let dimensions =
            [("ClusterName", label(labels, "cluster")?), ("ServiceName", label(labels, "service")?)];
        let name = if self.of == Of::Cpu { "CPUUtilization" } else { "MemoryUtilization" };
        Ok(Wanted::Value(vec![Term::of(metric(ECS, name, "Average", &dimensions))]))
    }
}

fn label<'a>(labels: &'a BTreeMap<String, String>, name: &str) -> Result<&'a str, String> {
    match labels.get(name).map(String::as_str) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(format!("its target tells no `{name}` of this side")),
    }
}

fn metric(namespace: &str, name: &str, stat: &str, dimensions: &[(&str, &str)]) -> Series {
    Series::Metric(Metric {
        namespace: namespace.into(),
        name: name.into(),
        stat: stat.into(),
        dimensions: dimensions.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::value::Kind;

    fn preset(text: &str) -> Result<Preset, String> {
        Preset::try_from(text.to_string())
    }

    fn labels(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    fn text(series: &Series) -> String {
        let Series::Metric(m) = series else { panic!() };
        let dimensions: Vec<_> = m.dimensions.iter().map(|(k, v)| format!("{k}={v}")).collect();
        format!("{} {} {}: {}", m.namespace, m.name, m.stat, dimensions.join(" "))
    }

    #[test]
    fn every_preset_says_what_its_numbers_are() {
        for (name, measure, kind) in [
            ("alb_errors", Measure::Ratio, Kind::Ratio),
            ("alb_5xx", Measure::Events, Kind::Count),
            ("alb_p95", Measure::Gauge, Kind::Time),
            ("alb_p99.9", Measure::Gauge, Kind::Time),
            ("alb_unhealthy", Measure::Gauge, Kind::Count),
            ("lambda_errors", Measure::Ratio, Kind::Ratio),
            ("lambda_p50", Measure::Gauge, Kind::Time),
            ("lambda_throttles", Measure::Events, Kind::Count),
            ("ecs_cpu", Measure::Gauge, Kind::Ratio),
        ] {
            let shape = preset(name).unwrap().shape();
            assert_eq!((shape.measure, shape.unit.kind()), (measure, kind), "{name}");
        }
        assert_eq!(preset("lambda_p95").unwrap().shape().unit.normal(1500.0), 1.5);
    }

    #[test]
    fn an_unknown_preset_is_told_the_nearest() {
        assert!(preset("alb_error").unwrap_err().contains("did you mean `alb_errors`?"));
        assert!(preset("lambda_error").unwrap_err().contains("did you mean `lambda_errors`?"));
        for bad in ["alb_p0", "alb_p101", "ecs_p95", "alb_tm95", "errors"] {
            assert!(preset(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_load_balancer_may_be_told_by_its_arn() {
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";
        let expected = "AWS/ApplicationELB TargetResponseTime p95: LoadBalancer=app/shop/50dc TargetGroup=targetgroup/blue/73e2";
        for labels in [
            labels(&[("load_balancer", "app/shop/50dc"), ("target_group", "targetgroup/blue/73e2")]),
            labels(&[
                ("load_balancer", &format!("{arn}:loadbalancer/app/shop/50dc")),
                ("target_group", &format!("{arn}:targetgroup/blue/73e2")),
            ]),
        ] {
            let Wanted::Value(terms) = preset("alb_p95").unwrap().wanted(&labels).unwrap() else { panic!() };
            assert_eq!(text(&terms[0].series), expected);
        }
        let none = preset("alb_p95").unwrap().wanted(&labels(&[("load_balancer", "app/x/1")])).unwrap_err();
        assert_eq!(none, "its target tells no `target_group` of this side");
    }

    #[test]
    fn each_function_is_asked_by_the_version_it_runs() {
        let labels = labels(&[("functions", "thumbs,mail"), ("versions", "42,7"), ("alias", "live")]);
        let Wanted::Ratio { bad, total } = preset("lambda_errors").unwrap().wanted(&labels).unwrap() else {
            panic!()
        };
        assert_eq!(
            text(&bad[1].series),
            "AWS/Lambda Errors Sum: ExecutedVersion=7 FunctionName=mail Resource=mail:live"
        );
        assert_eq!(
            text(total[0].alone.as_ref().unwrap()),
            "AWS/Lambda Invocations Sum: FunctionName=thumbs Resource=thumbs:live"
        );
        let odd = self::labels(&[("functions", "thumbs,mail"), ("versions", "42"), ("alias", "live")]);
        assert!(preset("lambda_errors").unwrap().wanted(&odd).unwrap_err().contains("2 functions have 1"));
    }
}
