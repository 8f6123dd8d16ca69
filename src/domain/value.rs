//! Measured numbers and the units they are written in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

use super::duration::Span;

/// What a number measures. Numbers of different kinds are never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Things counted, or any bare number.
    Count,
    /// A part of a whole, kept as a fraction: 5 % is 0.05.
    Ratio,
    /// Kept in seconds.
    Time,
    /// Kept in bytes.
    Bytes,
}

impl Kind {
    /// How a level of this kind is written in a bound.
    pub fn example(self) -> &'static str {
        match self {
            Kind::Count => "a bare number such as `above 10`",
            Kind::Ratio => "a percentage such as `above 5%`",
            Kind::Time => "a time such as `above 500ms`",
            Kind::Bytes => "a size such as `above 512MiB`",
        }
    }

    /// Writes a number of this kind for people.
    pub fn show(self, number: f64) -> String {
        match self {
            Kind::Count => trimmed(number, 2),
            Kind::Ratio => format!("{} %", trimmed(number * 100.0, 2)),
            Kind::Time if number.abs() >= 120.0 => format!("{} m", trimmed(number / 60.0, 1)),
            Kind::Time if number.abs() >= 1.0 => format!("{} s", trimmed(number, 2)),
            Kind::Time => format!("{} ms", trimmed(number * 1000.0, 1)),
            Kind::Bytes if number.abs() >= GIB => format!("{} GiB", trimmed(number / GIB, 2)),
            Kind::Bytes if number.abs() >= MIB => format!("{} MiB", trimmed(number / MIB, 1)),
            Kind::Bytes => format!("{} KiB", trimmed(number / KIB, 1)),
        }
    }
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;

fn trimmed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

/// The unit in which a source answers (`unit: ms`): what to multiply by to get the kind's own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("enum" = ["count", "%", "ratio", "ms", "s", "bytes", "KiB", "MiB", "GiB"]))]
pub struct Unit {
    // skipped, or serde would ask for input that lives forever
    #[serde(skip)]
    name: &'static str,
    kind: Kind,
    /// Multiplied by this, then divided by `per`: 83 % must be exactly 0.83.
    times: f64,
    per: f64,
}

const UNITS: [Unit; 9] = [
    Unit { name: "count", kind: Kind::Count, times: 1.0, per: 1.0 },
    Unit { name: "%", kind: Kind::Ratio, times: 1.0, per: 100.0 },
    Unit { name: "ratio", kind: Kind::Ratio, times: 1.0, per: 1.0 },
    Unit { name: "ms", kind: Kind::Time, times: 1.0, per: 1000.0 },
    Unit { name: "s", kind: Kind::Time, times: 1.0, per: 1.0 },
    Unit { name: "bytes", kind: Kind::Bytes, times: 1.0, per: 1.0 },
    Unit { name: "KiB", kind: Kind::Bytes, times: KIB, per: 1.0 },
    Unit { name: "MiB", kind: Kind::Bytes, times: MIB, per: 1.0 },
    Unit { name: "GiB", kind: Kind::Bytes, times: GIB, per: 1.0 },
];

impl Unit {
    pub const COUNT: Unit = UNITS[0];
    pub const PERCENT: Unit = UNITS[1];
    pub const RATIO: Unit = UNITS[2];
    pub const MILLISECONDS: Unit = UNITS[3];
    pub const SECONDS: Unit = UNITS[4];

    pub fn kind(self) -> Kind {
        self.kind
    }

    /// A number in this unit, in the kind's own unit.
    pub fn normal(self, number: f64) -> f64 {
        number * self.times / self.per
    }
}

impl TryFrom<String> for Unit {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        UNITS.into_iter().find(|u| u.name == text).ok_or_else(|| {
            let known: Vec<_> = UNITS.iter().map(|u| u.name).collect();
            format!("`{text}` is not a unit; known: {}", known.join(", "))
        })
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> String {
        unit.name.into()
    }
}

/// A number with its kind, as a bound writes it: `5%`, `500ms`, `10`, `512MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// In the kind's own unit.
    pub number: f64,
    pub kind: Kind,
}

impl FromStr for Value {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("`{text}` is not a number with a unit (%, ms, s, m, h, d, KiB, MiB, GiB) or a bare count")
        };
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim());
        let parsed: f64 = number.parse().map_err(|_| bad())?;
        if !parsed.is_finite() {
            return Err(bad());
        }
        let value = |number, kind| Ok(Value { number, kind });
        match unit {
            "" => value(parsed, Kind::Count),
            "%" => value(parsed / 100.0, Kind::Ratio),
            "KiB" => value(parsed * KIB, Kind::Bytes),
            "MiB" => value(parsed * MIB, Kind::Bytes),
            "GiB" => value(parsed * GIB, Kind::Bytes),
            _ => value(text.parse::<Span>().map_err(|_| bad())?.seconds(), Kind::Time),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.show(self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_kind() {
        for (text, number, kind) in [
            ("5%", 0.05, Kind::Ratio),
            ("10", 10.0, Kind::Count),
            ("500ms", 0.5, Kind::Time),
            ("5s", 5.0, Kind::Time),
            ("2m", 120.0, Kind::Time),
            ("512MiB", 512.0 * MIB, Kind::Bytes),
        ] {
            assert_eq!(text.parse::<Value>(), Ok(Value { number, kind }), "{text}");
        }
        for bad in ["", "%", "5 percent", "0.5pp", "5xs", "NaN", "1..2%", "-", "--1"] {
            assert!(bad.parse::<Value>().is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_are_shown_as_people_write_them() {
        for (kind, number, text) in [
            (Kind::Ratio, 0.0518, "5.18 %"),
            (Kind::Time, 0.183, "183 ms"),
            (Kind::Time, 2.5, "2.5 s"),
            (Kind::Count, 10.0, "10"),
            (Kind::Bytes, 1.5 * GIB, "1.5 GiB"),
        ] {
            assert_eq!(kind.show(number), text);
        }
    }

    #[test]
    fn a_percentage_from_a_source_becomes_a_fraction() {
        assert_eq!(Unit::PERCENT.normal(83.0), 0.83);
        assert!(Unit::try_from("percent".to_string()).is_err());
    }
}
