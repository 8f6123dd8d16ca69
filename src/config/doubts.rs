//! What a file says and hardly means.

use super::{
    CheckLine,
    problem::{join, refused, with_hint},
};
use crate::{
    document::node::Located,
    domain::bound::{Bound, Direction, Level},
};

/// Parts of names of what is good, and of what is bad: more of it.
const GOOD: [&str; 7] = ["health", "success", "avail", "uptime", "ready", "passing", "throughput"];
const BAD: [&str; 9] = ["error", "fail", "5xx", "latency", "p50", "p95", "p99", "timeout", "unhealthy"];

/// Bounds that look the wrong way round: they fail where all is well.
pub(super) fn doubts(checks: &[CheckLine]) -> Vec<Located> {
    let mut found = Vec::new();
    for line in checks {
        let is_good = means_good(line.source.name(), line.check.name.as_str());
        for (key, bounds) in [("fail", &line.check.fail), ("warn", &line.check.warn)] {
            for bound in bounds {
                let Bound::Beyond { direction, level: Level::Fixed(_), .. } = bound else { continue };
                let (level, other) = match (direction, is_good) {
                    (Direction::Above, Some(true)) => ("high", "below"),
                    (Direction::Below, Some(false)) => ("low", "above"),
                    _ => continue,
                };
                let path = join(&line.source.path, key);
                let position = line.source.keys.get(key).map_or(line.source.keys.position, |n| n.position);
                let message =
                    format!("`{bound}` breaks where {} is {level}, which sounds good", line.check.name);
                let hint = format!("`{other} …` may be what you mean");
                found.push(with_hint(refused(position, &path, message), hint));
            }
        }
    }
    found
}

/// Whether more of it is better, as far as source and name tell.
fn means_good(source: &str, name: &str) -> Option<bool> {
    let name = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    // the part of the instances that is healthy
    if source == "target" {
        return Some(true);
    }
    match (has(&GOOD), has(&BAD)) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}

/// `Bearer` or `Basic` and what looks like a token behind it: long, of letters and digits.
pub(super) fn has_token(text: &str) -> bool {
    const CHARS_MIN: usize = 16;
    let lower = text.to_lowercase();
    ["bearer ", "basic "].into_iter().any(|scheme| {
        lower.match_indices(scheme).any(|(at, _)| {
            let rest = text.get(at + scheme.len()..).unwrap_or_default().trim_start();
            let token: &str = rest
                .split(|c: char| !(c.is_ascii_alphanumeric() || "-._~+/=".contains(c)))
                .next()
                .unwrap_or_default();
            token.len() >= CHARS_MIN
                && token.bytes().any(|b| b.is_ascii_digit())
                && token.bytes().any(|b| b.is_ascii_alphabetic())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_told_from_a_reference_and_from_words() {
        for text in
            ["Bearer eyJhbGciOi1IUzI1NiJ9.e30.x", "curl -H 'authorization: BASIC YWRtaW46aHVudGVyMg=='"]
        {
            assert!(has_token(text), "{text}");
        }
        for text in [
            "Bearer $TOKEN",
            "Bearer {{env.TOKEN}}",
            "bearer token of the service",
            "basic authentication",
            "Bearer abc1",
        ] {
            assert!(!has_token(text), "{text}");
        }
    }

    #[test]
    fn what_a_name_says_of_it() {
        assert_eq!(means_good("target", "x"), Some(true));
        assert_eq!(means_good("sql", "healthy"), Some(true));
        assert_eq!(means_good("http", "error-rate"), Some(false));
        for (source, name) in [("sql", "orders"), ("http", "unhealthy"), ("http", "failed-health")] {
            assert_eq!(means_good(source, name), None, "{name}");
        }
    }
}
