//! The cursor of a source that counts: the last raw value of every series, between two calls or two processes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Series that one question may match on one page.
pub const SERIES_MAX: usize = 2_000;
/// Series in the whole cursor.
const CURSOR_SERIES_MAX: usize = 20_000;
const VERSION: u32 = 1;

/// Last raw values by series. Names are digests: a label or a URL may be long, or a secret.
pub type Page = BTreeMap<String, f64>;

/// What was seen last, by question and page.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    version: u32,
    asks: BTreeMap<String, BTreeMap<String, Page>>,
}

impl Memory {
    /// Reads a cursor. One of another shape is forgotten: counting begins anew.
    pub fn read(cursor: Option<&serde_json::Value>) -> Self {
        let kept = cursor.and_then(|cursor| Memory::deserialize(cursor).ok());
        kept.filter(|memory| memory.version == VERSION)
            .unwrap_or(Memory { version: VERSION, asks: BTreeMap::new() })
    }

    /// The cursor, without what was not asked this time if it would be too large with it.
    pub fn write(mut self, asked: &[String]) -> Result<serde_json::Value, String> {
        if self.series() > CURSOR_SERIES_MAX {
            self.asks.retain(|key, _| asked.contains(key));
        }
        if self.series() > CURSOR_SERIES_MAX {
            return Err(format!(
                "the checks match {} series together, more than {CURSOR_SERIES_MAX}; narrow them with labels",
                self.series()
            ));
        }
        serde_json::to_value(self).map_err(|e| e.to_string())
    }

    fn series(&self) -> usize {
        self.asks.values().flat_map(BTreeMap::values).map(|page| page.len().max(1)).sum()
    }

    /// What came of each series since the last look at this page; `None` at the first look. A series that is smaller
    /// than it was began again at 0; one that is new since the first look began at 0 too.
    pub fn advance(&mut self, ask: &str, url: &str, now: &Page) -> Option<Page> {
        let pages = self.asks.entry(ask.to_string()).or_default();
        let mut seen = pages.remove(&digest(url));
        let came = seen.as_ref().map(|seen| {
            let since =
                |(series, raw): (&String, &f64)| (series.clone(), increase(seen.get(series).copied(), *raw));
            now.iter().map(since).collect()
        });
        // one that is gone for a moment is kept, else its whole past would count when it is back
        let mut kept =
            seen.take().filter(|seen| seen.len() + now.len() <= 2 * SERIES_MAX).unwrap_or_default();
        kept.extend(now.iter().map(|(series, raw)| (series.clone(), *raw)));
        pages.insert(digest(url), kept);
        came
    }
}

/// How much a counter grew from `before` to `now`.
pub fn increase(before: Option<f64>, now: f64) -> f64 {
    match before {
        Some(before) if before <= now => now - before,
        _ => now,
    }
}

/// A short stable name.
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(series: &[(&str, f64)]) -> Page {
        series.iter().map(|(name, raw)| (name.to_string(), *raw)).collect()
    }

    /// Goes through JSON on the way, as between two processes.
    fn next(cursor: &mut Option<serde_json::Value>, now: &[(&str, f64)]) -> Option<Page> {
        let mut memory = Memory::read(cursor.as_ref());
        let came = memory.advance("errors/api/blue", "http://a/metrics", &page(now));
        *cursor = memory.write(&["errors/api/blue".into()]).ok().map(|c| c.to_string().parse().unwrap());
        came
    }

    #[test]
    fn counters_are_counted_from_look_to_look() {
        let mut cursor = None;
        assert_eq!(next(&mut cursor, &[("a", 100.0)]), None, "the first look only begins");
        assert_eq!(next(&mut cursor, &[("a", 103.0)]), Some(page(&[("a", 3.0)])));
        assert_eq!(next(&mut cursor, &[("a", 2.0)]), Some(page(&[("a", 2.0)])), "it began again");
        assert_eq!(next(&mut cursor, &[("a", 2.0), ("b", 4.0)]), Some(page(&[("a", 0.0), ("b", 4.0)])));
        assert_eq!(next(&mut cursor, &[("b", 5.0)]), Some(page(&[("b", 1.0)])));
        assert_eq!(next(&mut cursor, &[("a", 6.0)]), Some(page(&[("a", 4.0)])), "its past is not counted");
    }

    #[test]
    fn a_page_without_series_is_remembered_as_seen() {
        let mut cursor = None;
        assert_eq!(next(&mut cursor, &[]), None);
        assert_eq!(next(&mut cursor, &[("a", 1.0)]), Some(page(&[("a", 1.0)])));
    }

    #[test]
    fn a_cursor_of_another_shape_is_forgotten() {
        for cursor in [
            serde_json::json!(null),
            serde_json::json!({"version": 2, "asks": {}}),
            serde_json::json!({"version": 1, "asks": {"x": {"y": {"z": "1"}}}}),
            serde_json::json!([1, 2]),
        ] {
            assert_eq!(next(&mut Some(cursor), &[("a", 5.0)]), None);
        }
    }

    #[test]
    fn the_cursor_is_bounded() {
        let mut memory = Memory::read(None);
        let large: Page = (0..SERIES_MAX).map(|n| (digest(&n.to_string()), 1.0)).collect();
        let asks: Vec<_> = (0..20).map(|n| format!("check{n}/api/blue")).collect();
        for ask in &asks {
            memory.advance(ask, "u", &large);
        }
        assert!(memory.clone().write(&asks).unwrap_err().contains("40000 series"));
        let cursor = memory.write(&asks[15..]).unwrap();
        assert!(cursor.to_string().len() < CURSOR_SERIES_MAX * 32);
        let mut memory = Memory::read(Some(&cursor));
        assert!(memory.advance(&asks[15], "u", &large).is_some(), "what was asked is kept");
        assert!(memory.advance(&asks[0], "u", &large).is_none());
    }
}
