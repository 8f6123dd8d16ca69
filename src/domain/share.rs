//! Shares of traffic, in basis points.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

use super::{
    names::{SideName, TargetName},
    quoted::quoted,
};

/// The candidate's part of one target's traffic: 0 to 10 000 basis points (1 = 0.01 %).
///
/// Serialised as the number of basis points.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "u16", into = "u16")]
#[schemars(with = "u16", extend("maximum" = 10_000))]
pub struct Share(u16);

/// The share of each side of one target; together the whole.
pub type SideShares = BTreeMap<SideName, Share>;

/// The candidate's share of every target.
pub type Split = BTreeMap<TargetName, Share>;

/// Why a text or number is not a share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadShare {
    #[error("a share of {0} basis points is more than the whole (10000)")]
    OverTheWhole(u16),
    #[error("`{0}` is not a share: write a percentage from 0% to 100%, with two decimals at most")]
    NotAPercentage(String),
}

impl Share {
    pub const NONE: Share = Share(0);
    pub const ALL: Share = Share(10_000);

    /// A share of `points` basis points; over 10 000 is refused.
    pub fn from_basis_points(points: u16) -> Result<Self, BadShare> {
        if points <= 10_000 { Ok(Share(points)) } else { Err(BadShare::OverTheWhole(points)) }
    }

    /// The nearest share to `part` of `whole`; a whole of nothing is no share.
    pub fn of(part: u64, whole: u64) -> Self {
        if whole == 0 {
            return Share::NONE;
        }
        let points = (u128::from(part.min(whole)) * 10_000 + u128::from(whole) / 2) / u128::from(whole);
        Share(u16::try_from(points).unwrap_or(10_000))
    }

    pub fn basis_points(self) -> u16 {
        self.0
    }

    /// As a fraction, 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// In percent, exact to two decimals.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// What is left for the other side.
    pub fn rest(self) -> Self {
        Share(10_000 - self.0)
    }

    /// As it is typed in a command: `10`, `0.39`.
    pub fn typed(self) -> String {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match part {
            0 => whole.to_string(),
            p if p % 10 == 0 => format!("{whole}.{}", p / 10),
            p => format!("{whole}.{p:02}"),
        }
    }
}

/// Writes a split in percent, for whoever reads results.
pub fn in_percent<S: serde::Serializer>(split: &Split, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(split.iter().map(|(target, share)| (target, share.percent())))
}

/// The shares of two sides with these weights. They add up to the whole, and neither depends on which side is first:
/// the smaller one is rounded, the other is the rest. Where nobody has any weight, nobody has a share.
pub fn of_weights(sums: [u64; 2]) -> [Share; 2] {
    let whole = sums[0] + sums[1];
    if whole == 0 {
        return [Share::NONE; 2];
    }
    let small = usize::from(sums[1] < sums[0]);
    // what rounds to nothing or to the whole is neither
    let least = Share::from_basis_points(u16::from(sums[small] > 0)).unwrap_or_default();
    let share = Share::of(sums[small], whole).max(least);
    let mut shares = [share.rest(); 2];
    shares[small] = share;
    shares
}

impl TryFrom<u16> for Share {
    type Error = BadShare;
    fn try_from(points: u16) -> Result<Self, BadShare> {
        Share::from_basis_points(points)
    }
}

impl From<Share> for u16 {
    fn from(share: Share) -> u16 {
        share.0
    }
}

/// Reads `10%`, `10 %`, `0.5%`, and the bare `10` of a command line.
impl FromStr for Share {
    type Err = BadShare;
    fn from_str(text: &str) -> Result<Self, BadShare> {
        let bad = || BadShare::NotAPercentage(quoted(text, 40));
        let number = text.trim();
        let number = number.strip_suffix('%').map_or(number, str::trim_end);
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits =
            |t: &str, most: usize| (1..=most).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole, 3) || !digits(part, 2) {
            return Err(bad());
        }
        let whole: u16 = whole.parse().map_err(|_| bad())?;
        let hundredths: u16 = format!("{part:0<2}").parse().map_err(|_| bad())?;
        Share::from_basis_points(whole * 100 + hundredths).map_err(|_| bad())
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} %", self.typed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_read_exactly() {
        for (text, points) in
            [("10%", 1000), ("10 %", 1000), ("0.5%", 50), ("0.39", 39), ("100%", 10_000), ("0", 0)]
        {
            assert_eq!(text.parse::<Share>().map(Share::basis_points), Ok(points), "{text}");
        }
        for bad in ["", "%", "101%", "100.01%", "-1%", "1e1%", "0.123%", "ten", "1.%", "999999"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_can_be_typed() {
        for points in 0..=10_000 {
            let share = Share(points);
            assert_eq!(share.to_string().parse(), Ok(share));
            assert_eq!(share.typed().parse(), Ok(share));
        }
    }

    #[test]
    fn a_part_of_weights_is_rounded_to_the_nearest_point() {
        assert_eq!(Share::of(25, 250), Share(1000));
        assert_eq!(Share::of(1, 257), Share(39));
        assert_eq!(Share::of(0, 0), Share::NONE);
        assert_eq!(Share::of(u64::MAX, u64::MAX), Share::ALL);
    }
}
