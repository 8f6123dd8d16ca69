//! A bound is a sentence: `above 5% for 2m`, `above baseline + 0.5pp`, `more than 10 in 5m`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

use super::{
    duration::Span,
    judge::null::Edge,
    quoted::quoted,
    value::{Kind, Value},
};

/// One sentence of a check's `fail` or `warn`.
///
/// Serialised as the sentence itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Bound {
    /// `(above | below) LEVEL [for DURATION]`
    Beyond { direction: Direction, level: Level, hold: Option<Span> },
    /// `more than N in DURATION`: the sum of events over the trailing time.
    MoreThan { events: u64, within: Span },
    /// `N failures in a row`
    FailuresInARow(u32),
    /// `worse than baseline`: by more than the check tolerates, and by more than chance makes believe.
    Worse,
}

/// Which side of the level is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Above,
    Below,
}

impl Direction {
    /// Whether `number` is on the bad side of `limit`.
    pub fn beyond(self, number: f64, limit: f64) -> bool {
        match self {
            Direction::Above => number > limit,
            Direction::Below => number < limit,
        }
    }
}

/// What a measured number is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Level {
    Fixed(Value),
    /// `baseline + 25%`, `baseline - 10%`: the factor on the baseline, 1.25 or 0.9.
    Relative(f64),
    /// `baseline + 0.5pp`: added to a baseline that is itself a percentage, as a fraction.
    Points(f64),
    /// `baseline + 50ms`: added to a baseline of the same kind.
    Offset(Value),
    /// `5x baseline`
    Times(f64),
}

impl Level {
    pub fn needs_baseline(&self) -> bool {
        !matches!(self, Level::Fixed(_))
    }

    /// The same as an edge between what is allowed and what is not.
    pub fn edge(&self) -> Edge {
        match self {
            Level::Fixed(value) => Edge { times: 0.0, plus: value.number },
            Level::Relative(factor) | Level::Times(factor) => Edge { times: *factor, plus: 0.0 },
            Level::Points(points) => Edge { times: 1.0, plus: *points },
            Level::Offset(value) => Edge { times: 1.0, plus: value.number },
        }
    }

    /// The limit in the kind's own unit; `None` where the baseline it needs is not there.
    pub fn limit(&self, baseline: Option<f64>) -> Option<f64> {
        match (self.needs_baseline(), baseline) {
            (false, _) => Some(self.edge().at(0.0)),
            (true, baseline) => baseline.map(|b| self.edge().at(b)),
        }
    }
}

impl Bound {
    pub fn needs_baseline(&self) -> bool {
        match self {
            Bound::Beyond { level, .. } => level.needs_baseline(),
            Bound::Worse => true,
            Bound::MoreThan { .. } | Bound::FailuresInARow(_) => false,
        }
    }

    /// The trailing time this bound looks back over.
    pub fn window(&self) -> Option<Span> {
        match self {
            Bound::Beyond { hold, .. } => *hold,
            Bound::MoreThan { within, .. } => Some(*within),
            Bound::FailuresInARow(_) | Bound::Worse => None,
        }
    }

    /// Refuses a bound whose unit is not the unit of what is measured.
    pub fn fits(&self, kind: Kind) -> Result<(), String> {
        let Bound::Beyond { level, .. } = self else {
            return Ok(());
        };
        match level {
            Level::Fixed(value) | Level::Offset(value) if value.kind != kind => Err(format!(
                "`{self}` has the wrong unit for this check: write {}, or give the check its `unit`",
                kind.example()
            )),
            Level::Points(_) if kind != Kind::Ratio => Err(format!(
                "`{self}` has the wrong unit for this check: percentage points (pp) compare percentages only"
            )),
            _ => Ok(()),
        }
    }
}

const FORMS: &str = "a bound is one of `worse than baseline`, `above 5% for 2m`, `below baseline - 10%`, `above baseline + 0.5pp`, \
     `above 5x baseline`, `more than 10 in 5m`, `3 failures in a row`";

impl FromStr for Bound {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let bad = |why: String| format!("`{}`: {why}; {FORMS}", quoted(text, 80));
        match words.as_slice() {
            ["worse", "than", "baseline"] => Ok(Bound::Worse),
            ["more", "than", number, "in", span] => Ok(Bound::MoreThan {
                events: number.parse().map_err(|_| bad(format!("`{number}` is not a whole number")))?,
                within: span.parse().map_err(|e| bad(format!("{e}")))?,
            }),
            [number, "failures" | "failure", "in", "a", "row"] => match number.parse() {
                Ok(n) if n > 0 => Ok(Bound::FailuresInARow(n)),
                _ => Err(bad(format!("`{number}` is not a number of failures"))),
            },
            [word @ ("above" | "below"), rest @ ..] => {
                let direction = if *word == "above" { Direction::Above } else { Direction::Below };
                let (level, hold) = match rest {
                    [level @ .., "for", span] => {
                        (level, Some(span.parse().map_err(|e| bad(format!("{e}")))?))
                    }
                    level => (level, None),
                };
                let level = read_level(level).map_err(bad)?;
                // beyond the baseline already: 0 is the baseline itself
                let lies = match &level {
                    Level::Fixed(_) => 0.0,
                    Level::Relative(factor) | Level::Times(factor) => factor - 1.0,
                    Level::Points(points) => *points,
                    Level::Offset(value) => value.number,
                };
                match direction {
                    Direction::Above if lies < 0.0 => {
                        Err(bad("above less than the baseline would always be true".into()))
                    }
                    Direction::Below if lies > 0.0 => {
                        Err(bad("below more than the baseline would always be true".into()))
                    }
                    _ => Ok(Bound::Beyond { direction, level, hold }),
                }
            }
            _ => Err(bad("cannot be read".into())),
        }
    }
}

fn read_level(words: &[&str]) -> Result<Level, String> {
    match words {
        ["baseline"] => Ok(Level::Times(1.0)),
        ["baseline", sign @ ("+" | "-"), rest @ ..] if !rest.is_empty() => {
            let sign = if *sign == "+" { 1.0 } else { -1.0 };
            let by = rest.concat();
            if let Some(points) = by.strip_suffix("pp") {
                let points = points.parse::<f64>().ok().filter(|points| (0.0..=100.0).contains(points));
                let points = points.ok_or_else(|| format!("`{by}` is not a number of percentage points"))?;
                return Ok(Level::Points(sign * points / 100.0));
            }
            let value: Value = by.parse()?;
            Ok(match value.kind {
                Kind::Ratio => Level::Relative(1.0 + sign * value.number),
                _ => Level::Offset(Value { number: sign * value.number, ..value }),
            })
        }
        [times, "baseline"] => {
            let factor = times
                .strip_suffix('x')
                .and_then(|n| n.parse::<f64>().ok())
                .filter(|n| n.is_finite() && *n > 0.0);
            factor.map(Level::Times).ok_or_else(|| format!("`{times}` is not a factor such as `5x`"))
        }
        [] => Err("a level is missing".into()),
        words => {
            let text = words.concat();
            if text.ends_with("pp") {
                return Err(format!(
                    "`{text}`: percentage points need something to be added to, as in `baseline + {text}`"
                ));
            }
            Ok(Level::Fixed(text.parse()?))
        }
    }
}

written_as_text!(Bound);
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::MoreThan { events, within } => write!(f, "more than {events} in {within}"),
            Bound::FailuresInARow(n) => write!(f, "{n} failures in a row"),
            Bound::Worse => f.write_str("worse than baseline"),
            Bound::Beyond { direction, level, hold } => {
                f.write_str(if *direction == Direction::Above { "above " } else { "below " })?;
                write!(f, "{level}")?;
                hold.map_or(Ok(()), |span| write!(f, " for {span}"))
            }
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |negative: bool| if negative { '-' } else { '+' };
        match self {
            Level::Fixed(value) => f.write_str(&written(value)),
            Level::Relative(factor) => {
                let percent = (factor - 1.0) * 100.0;
                write!(f, "baseline {} {}%", sign(percent < 0.0), tidy(percent.abs()))
            }
            Level::Points(points) => {
                write!(f, "baseline {} {}pp", sign(*points < 0.0), tidy(points.abs() * 100.0))
            }
            Level::Offset(value) => {
                let size = Value { number: value.number.abs(), ..*value };
                write!(f, "baseline {} {}", sign(value.number < 0.0), written(&size))
            }
            Level::Times(1.0) => f.write_str("baseline"),
            Level::Times(factor) => write!(f, "{}x baseline", tidy(*factor)),
        }
    }
}

/// A value the way the file writes it, without a space before the unit.
fn written(value: &Value) -> String {
    match value.kind {
        Kind::Count => tidy(value.number),
        Kind::Ratio => format!("{}%", tidy(value.number * 100.0)),
        Kind::Time => {
            Span::new(std::time::Duration::try_from_secs_f64(value.number).unwrap_or_default()).to_string()
        }
        Kind::Bytes => format!("{}KiB", tidy(value.number / 1024.0)),
    }
}

/// Up to nine decimals, without the noise that binary fractions leave.
fn tidy(number: f64) -> String {
    let text = format!("{number:.9}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_threshold_of_the_runbooks_can_be_written() {
        for sentence in [
            "worse than baseline",
            "above 5% for 2m",
            "above baseline + 0.5pp",
            "above 5x baseline for 5m",
            "above baseline + 25%",
            "more than 10 in 5m",
            "3 failures in a row",
            "below 50%",
            "below baseline - 10%",
            "above 0",
            "above 80%",
            "above 500ms",
            "above 2s for 10m",
            "above baseline + 50ms",
            "above 512KiB",
        ] {
            let bound: Bound = sentence.parse().unwrap();
            assert_eq!(bound.to_string(), sentence);
        }
    }

    #[test]
    fn a_percentage_of_the_baseline_is_not_percentage_points() {
        let relative: Bound = "above baseline + 0.5%".parse().unwrap();
        let points: Bound = "above baseline + 0.5pp".parse().unwrap();
        let limit = |bound: &Bound| match bound {
            Bound::Beyond { level, .. } => level.limit(Some(0.01)).unwrap(),
            _ => unreachable!(),
        };
        assert!((limit(&relative) - 0.01005).abs() < 1e-12);
        assert!((limit(&points) - 0.015).abs() < 1e-12);
    }

    #[test]
    fn nonsense_is_refused_with_the_known_forms() {
        for bad in [
            "",
            "> 5%",
            "above",
            "above 5 %% ",
            "above 0.5pp",
            "above baseline +",
            "more than x in 5m",
            "more than 10 in 5",
            "0 failures in a row",
            "above 5% for",
            "above baseline - 10%",
            "below baseline + 10%",
            "above baseline - 0.5pp",
            "above baseline - 50ms",
            "above 0.5x baseline",
            "below 2x baseline",
            "below baseline + 1pp",
            "above baseline + NaNpp",
            "above baseline + infpp",
            "above xx baseline",
            "above -x baseline",
        ] {
            let error = bad.parse::<Bound>().unwrap_err();
            assert!(error.contains("a bound is one of"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_bound_of_another_unit_is_refused() {
        let bound: Bound = "above 5s".parse().unwrap();
        assert!(bound.fits(Kind::Ratio).unwrap_err().contains("percentage"));
        assert!(bound.fits(Kind::Time).is_ok());
        let points: Bound = "above baseline + 1pp".parse().unwrap();
        assert!(points.fits(Kind::Time).is_err());
        assert!(points.fits(Kind::Ratio).is_ok());
    }
}
