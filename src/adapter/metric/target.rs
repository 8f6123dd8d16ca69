//! What the target itself says of its instances.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    domain::{
        names::{EntryName, TargetName},
        observed::{Health, Instance},
        sample::{Measure, Sample},
        value::Unit,
    },
    port::{
        Ask, Context, Fault, Metric, Reach, Window,
        adapter::{Adapter, MetricAdapter, Setting, Shape},
        metric::Measured,
    },
};

/// A number from what a service's target shows of its instances, the same that gates a shift.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub preset: Preset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The part of a side's instances that is healthy, as in `below 50%`. Instances that a person took out
    /// do not count, nor do those that nobody asks; where none is left, there is no number.
    Instances,
}

pub struct TargetHealth;

impl Adapter for TargetHealth {
    const NAME: &'static str = "target";
    const SUMMARY: &'static str = "what the target itself says of its instances";
    const SHORT: Option<&'static str> = Some("preset");
    type Config = Config;
}

impl MetricAdapter for TargetHealth {
    fn shape(config: &Config) -> Result<Shape, String> {
        match config.preset {
            Preset::Instances => Ok(Shape { measure: Measure::Gauge, unit: Unit::RATIO }),
        }
    }

    fn connect(_: Vec<(EntryName, Config)>, _: &Setting) -> Result<Box<dyn Metric>, String> {
        Ok(Box::new(TargetHealth))
    }
}

#[async_trait]
impl Metric for TargetHealth {
    fn reach(&self, _: &EntryName, _: &TargetName) -> Reach {
        Reach::Sides
    }

    async fn measure(
        &self,
        _: &Context,
        asks: &[Ask],
        _: Window,
        _: Option<&serde_json::Value>,
    ) -> Result<Measured, Fault> {
        Ok(Measured { samples: asks.iter().map(|ask| Ok(healthy(&ask.instances))).collect(), cursor: None })
    }
}

fn healthy(instances: &[Instance]) -> Sample {
    let count = |wanted: fn(&Health) -> bool| instances.iter().filter(|i| wanted(&i.health)).count();
    let up = count(|h| *h == Health::Up);
    let down = count(|h| matches!(h, Health::Down { .. }));
    match up + down {
        0 => Sample::Empty,
        known => Sample::Gauge(up as f64 / known as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{de::from_node, node::parse},
        domain::value::Kind,
    };

    #[test]
    fn only_instances_that_somebody_asks_and_nobody_took_out_count() {
        let up = || Health::Up;
        let down = || Health::Down { why: "refused".into() };
        for (healths, sample) in [
            (vec![], Sample::Empty),
            (vec![Health::Unknown, Health::Unknown], Sample::Empty),
            (vec![Health::Disabled], Sample::Empty),
            (vec![up(), up()], Sample::Gauge(1.0)),
            (vec![up(), down(), Health::Disabled], Sample::Gauge(0.5)),
            (vec![up(), Health::Unknown], Sample::Gauge(1.0)),
            (vec![down(), Health::Unknown], Sample::Gauge(0.0)),
        ] {
            let instances: Vec<_> = healths
                .into_iter()
                .map(|health| Instance { name: "i".into(), address: None, health })
                .collect();
            assert_eq!(healthy(&instances), sample, "{instances:?}");
        }
    }

    #[test]
    fn its_bounds_are_percentages() {
        let config: Config = from_node(&parse("{preset: instances}").unwrap(), "healthy.target").unwrap();
        let shape = TargetHealth::shape(&config).unwrap();
        assert_eq!((shape.measure, shape.unit.kind()), (Measure::Gauge, Kind::Ratio));
        let restarts = parse("{preset: restarts}").unwrap();
        assert!(from_node::<Config>(&restarts, "x").unwrap_err().to_string().contains("instances"));
    }
}
