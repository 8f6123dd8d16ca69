//! How much worse than the baseline is still no harm: `1.2x`, or `0.5pp` for percentages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

use super::{bound::Direction, judge::null::Edge};

/// A distance from the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^\d+(\.\d+)? ?(x|pp)$"))]
pub enum Tolerance {
    /// `1.2x`: so many times the baseline; at least 1.
    Times(f64),
    /// `0.5pp`: percentage points, as a fraction.
    Points(f64),
}

impl Tolerance {
    /// What is no harm where the file does not say.
    pub const TOLERATED: Tolerance = Tolerance::Times(1.2);
    /// What must not slip through where the file does not say.
    pub const FOUND: Tolerance = Tolerance::Times(2.0);

    /// The edge at this distance on the side that is worse.
    pub fn edge(self, worse: Direction) -> Edge {
        match (self, worse) {
            (Tolerance::Times(factor), Direction::Above) => Edge { times: factor, plus: 0.0 },
            (Tolerance::Times(factor), Direction::Below) => Edge { times: 1.0 / factor, plus: 0.0 },
            (Tolerance::Points(points), Direction::Above) => Edge { times: 1.0, plus: points },
            (Tolerance::Points(points), Direction::Below) => Edge { times: 1.0, plus: -points },
        }
    }
}

impl FromStr for Tolerance {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.trim().parse::<f64>().ok().filter(|n| n.is_finite());
        let read = match (text.strip_suffix("pp"), text.strip_suffix('x')) {
            (Some(points), _) => {
                number(points).filter(|n| (0.0..100.0).contains(n)).map(|n| Tolerance::Points(n / 100.0))
            }
            (_, Some(factor)) => number(factor).filter(|n| (1.0..=1000.0).contains(n)).map(Tolerance::Times),
            _ => None,
        };
        read.ok_or_else(|| {
            format!("`{text}` is no distance from the baseline: write `1.2x` (1x or more), or percentage points such as `0.5pp`")
        })
    }
}

written_as_text!(Tolerance);
impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tolerance::Times(factor) => write!(f, "{factor}x"),
            // 0.3pp is not 0.30000000000000004pp
            Tolerance::Points(points) => write!(f, "{}pp", (points * 1e11).round() / 1e9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_a_factor_or_percentage_points() {
        for text in ["1.2x", "1x", "0.3pp", "0pp", "2.5x"] {
            assert_eq!(text.parse::<Tolerance>().unwrap().to_string(), text);
        }
        for bad in ["1.2", "0.9x", "20%", "x", "-1pp", "100pp", "infx", "NaNx"] {
            let error = bad.parse::<Tolerance>().unwrap_err();
            assert!(error.contains("write `1.2x`"), "{error}");
        }
    }

    #[test]
    fn where_less_is_worse_the_edge_is_below() {
        let edge = Tolerance::Times(1.25).edge(Direction::Below);
        assert!((edge.at(100.0) - 80.0).abs() < 1e-12);
    }
}
