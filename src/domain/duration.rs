//! Lengths of time as the config file writes them: `30s`, `15m`, `1h30m`, `14d`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

use super::quoted::quoted;

/// A length of time with a unit; a bare number is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"))]
pub struct Span(Duration);

/// Why a text is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a length of time: write a number with its unit (ms, s, m, h or d), such as `90s` or `1h30m`"
)]
pub struct BadSpan(String);

/// Longer than anything a release waits for; keeps sums far from overflow.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);

impl Span {
    pub const fn from_secs(seconds: u64) -> Self {
        Span(Duration::from_secs(seconds))
    }

    pub const fn new(duration: Duration) -> Self {
        Span(duration)
    }

    pub const fn get(self) -> Duration {
        self.0
    }

    pub fn seconds(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl FromStr for Span {
    type Err = BadSpan;
    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan(quoted(text, 40));
        let mut rest = text.trim();
        let mut total = Duration::ZERO;
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let number: f64 = rest[..end].parse().map_err(|_| bad())?;
            let unit_end =
                rest[end..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |i| end + i);
            let seconds = match &rest[end..unit_end] {
                "ms" => number / 1000.0,
                "s" => number,
                "m" => number * 60.0,
                "h" => number * 3600.0,
                "d" => number * 86_400.0,
                _ => return Err(bad()),
            };
            total += Duration::try_from_secs_f64(seconds).map_err(|_| bad())?.min(LONGEST);
            if total > LONGEST {
                return Err(bad());
            }
            rest = &rest[unit_end..];
        }
        Ok(Span(total))
    }
}

written_as_text!(Span);
/// The shortest exact form that `FromStr` reads back: `1h30m`, `250ms`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.pad("0s");
        }
        let mut rest = millis;
        let mut text = String::new();
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if rest >= size {
                text.push_str(&format!("{}{unit}", rest / size));
                rest %= size;
            }
        }
        f.pad(&text)
    }
}

/// A measured time for people: `1.2 s`, `14 m 02 s`, `2 d 03 h`.
pub fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.as_millis() < 10 => format!("{:.1} ms", duration.as_secs_f64() * 1000.0),
        0 => format!("{} ms", duration.as_millis()),
        1..=59 => format!("{:.1} s", duration.as_secs_f64()),
        60..=3599 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("15m", 900_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("0.5s", 500),
        ] {
            assert_eq!(text.parse::<Span>().map(|s| s.0.as_millis()), Ok(millis), "{text}");
        }
        for bad in ["", "5", "5 minutes", "m", "5x", "1..5s", "-5s", "9999999999999999999d", "1e9d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for millis in [0, 1, 999, 1000, 61_001, 86_400_000, 90_061_001] {
            let span = Span(Duration::from_millis(millis));
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }

    #[test]
    fn spoken_times_fit_their_size() {
        for (millis, text) in
            [(1, "1.0 ms"), (40, "40 ms"), (1200, "1.2 s"), (842_000, "14 m 02 s"), (183_600_000, "2 d 03 h")]
        {
            assert_eq!(spoken(Duration::from_millis(millis)), text);
        }
    }
}
