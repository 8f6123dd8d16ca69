//! Stages: how far, and how long to watch there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

use super::{duration::Span, share::Share};

/// `10% for 15m`: a share and the least time to watch it before it may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(
    with = "String",
    extend("pattern" = r"^\d{1,3}(\.\d{1,2})? ?%( for .+)?$")
)]
pub struct Stage {
    pub to: Share,
    pub bake: Span,
}

impl FromStr for Stage {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (share, bake) = match text.split_once(" for ") {
            Some((share, bake)) => (share, bake.trim().parse().map_err(|e| format!("{e}"))?),
            None => (text, Span::default()),
        };
        if !share.trim_end().ends_with('%') {
            return Err(format!(
                "`{text}` is not a stage: write a percentage and a time, such as `10% for 15m`"
            ));
        }
        let to: Share = share.parse().map_err(|e| format!("{e}"))?;
        if to == Share::NONE {
            return Err("a stage of 0% moves nothing".into());
        }
        Ok(Stage { to, bake })
    }
}

written_as_text!(Stage);
impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.to.typed())?;
        if self.bake != Span::default() {
            write!(f, " for {}", self.bake)?;
        }
        Ok(())
    }
}

/// Stages in rising order that end at 100 %.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stages(Vec<Stage>);

impl Stages {
    /// Checks the order; the message names the first stage that breaks it.
    pub fn new(stages: Vec<Stage>) -> Result<Self, String> {
        for pair in stages.windows(2) {
            if let [before, after] = pair
                && after.to <= before.to
            {
                return Err(format!("stages must rise: `{after}` comes after `{before}`"));
            }
        }
        match stages.last() {
            Some(last) if last.to == Share::ALL => Ok(Stages(stages)),
            Some(last) => Err(format!("the last stage must be 100%, and is `{last}`")),
            None => Err("at least one stage is needed, such as `100% for 30m`".into()),
        }
    }

    /// 10 % and 50 % for 15 minutes each, 100 % for 30.
    pub fn standard() -> Self {
        let stage = |to, minutes: u64| Stage { to, bake: Span::from_secs(minutes * 60) };
        let part = |points| Share::from_basis_points(points).unwrap_or(Share::ALL);
        Stages(vec![stage(part(1000), 15), stage(part(5000), 15), stage(Share::ALL, 30)])
    }

    pub fn as_slice(&self) -> &[Stage] {
        &self.0
    }

    /// The stages to walk to reach `to`: those below it, then `to` itself with the time of the next one up.
    pub fn up_to(&self, to: Share) -> Vec<Stage> {
        let mut walk: Vec<Stage> = self.0.iter().copied().filter(|s| s.to < to).collect();
        if let Some(next) = self.0.iter().find(|s| s.to >= to) {
            walk.push(Stage { to, bake: next.bake });
        }
        walk
    }

    /// How long to watch at `share`.
    pub fn bake_at(&self, share: Share) -> Span {
        self.0.iter().find(|s| s.to >= share).map_or(Span::default(), |s| s.bake)
    }

    /// The first stage above `share`.
    pub fn after(&self, share: Share) -> Option<Stage> {
        self.0.iter().copied().find(|s| s.to > share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(texts: &[&str]) -> Result<Stages, String> {
        Stages::new(texts.iter().map(|t| t.parse()).collect::<Result<_, _>>()?)
    }

    #[test]
    fn stages_rise_and_end_at_all_traffic() {
        assert!(stages(&["10% for 15m", "50% for 1h", "100%"]).is_ok());
        assert!(stages(&["50%", "10%", "100%"]).unwrap_err().contains("`10%` comes after `50%`"));
        assert!(stages(&["10%"]).unwrap_err().contains("must be 100%"));
        assert!(stages(&[]).is_err());
        for bad in ["10", "0%", "110%", "10% for 5", "10% for", "for 5m"] {
            assert!(bad.parse::<Stage>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_between_two_stages_bakes_as_long_as_the_next_one() {
        let stages = stages(&["10% for 15m", "50% for 1h", "100%"]).unwrap();
        let walk: Vec<String> = stages.up_to("30%".parse().unwrap()).iter().map(Stage::to_string).collect();
        assert_eq!(walk, ["10% for 15m", "30% for 1h"]);
        assert_eq!(stages.up_to(Share::ALL).len(), 3);
    }
}
