//! What is known about a site beside the site: one object, replaced as a whole.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use super::store::Head;
use crate::domain::{names::SideName, share::Share};

/// Below the prefix, where nothing of the site is.
pub const OWN: &str = ".tidegate/";
/// The marks on every object that was switched.
pub const SIDE_MARK: &str = "tidegate-side";
pub const RELEASE_MARK: &str = "tidegate-release";
const FORMAT: u32 = 1;

/// The share of both sides while a switch is under way.
pub fn between() -> Share {
    Share::of(1, 2)
}

/// What each side's place holds, and the last switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    format: u32,
    /// None before the first.
    pub switch: Option<Switch>,
    pub sides: BTreeMap<SideName, Place>,
    /// What comes before a file's name for a viewer: `/`.
    pub viewer_root: Option<String>,
    /// Keys that a deploy has yet to delete: what the places held before it and hold no more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stale: BTreeSet<String>,
}

/// The last switch, begun or done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    pub to: SideName,
    /// Made up for this switch: the invalidation carries it, so that it is made once.
    pub id: String,
    /// All files are copied and the invalidation is asked for.
    pub done: bool,
    pub invalidation: Option<Invalidation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invalidation {
    pub distribution: String,
    pub id: String,
}

/// What is kept of a side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// None for what was live before tidegate came.
    pub release: Option<String>,
    /// Everything is there.
    pub complete: bool,
    /// Files that go over at a switch, and their bytes.
    pub files: BTreeMap<String, u64>,
}

impl Default for State {
    fn default() -> Self {
        State {
            format: FORMAT,
            switch: None,
            sides: BTreeMap::new(),
            viewer_root: None,
            stale: BTreeSet::new(),
        }
    }
}

impl State {
    pub fn parse(text: &[u8]) -> Result<State, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(text).map_err(|why| why.to_string())?;
        if format != FORMAT {
            return Err(format!("it was written by a newer tidegate (format {format})"));
        }
        serde_json::from_slice(text).map_err(|why| why.to_string())
    }

    pub fn written(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// The side that the last switch went to; the first side before any.
    pub fn live<'a>(&'a self, first: &'a SideName) -> &'a SideName {
        self.switch.as_ref().map_or(first, |switch| &switch.to)
    }

    /// Files that are live only while the other side is.
    pub fn leftover(&self, to: &SideName) -> BTreeSet<&String> {
        let wanted = self.sides.get(to);
        let others =
            self.sides.iter().filter(|(side, _)| *side != to).flat_map(|(_, place)| place.files.keys());
        others.filter(|name| wanted.is_none_or(|place| !place.files.contains_key(*name))).collect()
    }
}

/// What the live page says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    Missing,
    /// Something else than tidegate put it there.
    Unmarked,
    Marked {
        side: String,
        release: String,
    },
}

impl Page {
    pub fn of(head: Option<&Head>) -> Page {
        let Some(head) = head else { return Page::Missing };
        match head.mark(SIDE_MARK) {
            None => Page::Unmarked,
            Some(side) => Page::Marked { side, release: head.mark(RELEASE_MARK).unwrap_or_default() },
        }
    }
}

/// Where the site stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub live: SideName,
    /// Why the switch to it is not over.
    pub unfinished: Option<String>,
    /// Something else put the live page there.
    pub foreign: bool,
}

impl Standing {
    pub fn share(&self, side: &SideName) -> Share {
        match (&self.unfinished, *side == self.live) {
            (Some(_), _) => between(),
            (None, true) => Share::ALL,
            (None, false) => Share::NONE,
        }
    }
}

/// Which side is live, from what is recorded, the live page, and whether the switch's invalidation is still
/// under way.
pub fn standing(state: &State, first: &SideName, page: &Page, invalidating: bool) -> Standing {
    let live = state.live(first).clone();
    let expected = state.sides.get(&live);
    let unfinished = match (&state.switch, page) {
        (Some(switch), _) if !switch.done => Some(format!("the switch to {live} was begun and is not done")),
        (_, Page::Marked { side, .. }) if *side != live.as_str() => {
            Some(format!("the live page is {side}'s, though the last switch went to {live}"))
        }
        (Some(Switch { invalidation: Some(made), .. }), _) if invalidating => {
            Some(format!("CloudFront's invalidation {} is in progress", made.id))
        }
        _ => None,
    };
    let foreign = match page {
        Page::Missing => false,
        Page::Unmarked => state.switch.is_some(),
        Page::Marked { release, .. } => {
            expected.is_some_and(|place| *release != place.release.as_deref().map(mark).unwrap_or_default())
        }
    };
    Standing { live, unfinished, foreign }
}

/// A name as it can stand in a header.
pub fn mark(text: &str) -> String {
    escaped(text, b"-._~!*'()/+:@#$&,;=")
}

/// Percent-encodes everything but letters, digits and `keep`.
pub fn escaped(text: &str, keep: &[u8]) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || keep.contains(&byte) {
            true => written.push(char::from(byte)),
            false => written.push_str(&format!("%{byte:02X}")),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str) -> SideName {
        SideName::new(name).unwrap()
    }

    fn switched(to: &str, done: bool) -> State {
        let invalidation = Some(Invalidation { distribution: "E1".into(), id: "I1".into() });
        let place = |release: &str, files: &[&str]| Place {
            release: Some(release.into()),
            complete: true,
            files: files.iter().map(|name| (name.to_string(), 1)).collect(),
        };
        State {
            switch: Some(Switch { to: side(to), id: "x".into(), done, invalidation }),
            sides: [
                (side("blue"), place("v1", &["index.html", "old.html"])),
                (side("green"), place("v2", &["index.html", "new.html"])),
            ]
            .into(),
            ..State::default()
        }
    }

    fn page(side: &str, release: &str) -> Page {
        Page::Marked { side: side.into(), release: release.into() }
    }

    #[test]
    fn a_bucket_that_nobody_switched_serves_the_first_side() {
        let found = standing(&State::default(), &side("blue"), &Page::Unmarked, false);
        assert_eq!(found, Standing { live: side("blue"), unfinished: None, foreign: false });
        assert_eq!((found.share(&side("blue")), found.share(&side("green"))), (Share::ALL, Share::NONE));
    }

    #[test]
    fn a_switch_is_over_when_page_and_invalidation_say_so() {
        let look = |state: &State, page, invalidating| standing(state, &side("blue"), &page, invalidating);
        let done = look(&switched("green", true), page("green", "v2"), false);
        assert_eq!((done.share(&side("green")), done.foreign), (Share::ALL, false));
        for unfinished in [
            look(&switched("green", false), page("green", "v2"), false),
            look(&switched("green", true), page("blue", "v1"), false),
            look(&switched("green", true), page("green", "v2"), true),
        ] {
            assert_eq!(unfinished.share(&side("green")), between(), "{unfinished:?}");
            assert_eq!(unfinished.share(&side("blue")), between(), "{unfinished:?}");
        }
    }

    #[test]
    fn a_page_that_something_else_put_there_is_noticed() {
        for strange in [Page::Unmarked, page("green", "v9")] {
            assert!(
                standing(&switched("green", true), &side("blue"), &strange, false).foreign,
                "{strange:?}"
            );
        }
    }

    #[test]
    fn only_what_the_other_side_brought_is_left_over() {
        let state = switched("green", true);
        assert_eq!(state.leftover(&side("green")), [&"old.html".to_string()].into());
        assert_eq!(state.leftover(&side("blue")), [&"new.html".to_string()].into());
    }

    #[test]
    fn what_is_written_is_read_and_a_newer_format_is_refused() {
        let state = switched("green", true);
        assert_eq!(State::parse(&state.written()), Ok(state));
        assert!(State::parse(br#"{"format": 2, "more": 1}"#).unwrap_err().contains("newer tidegate"));
        assert!(State::parse(b"<html>").is_err());
    }

    #[test]
    fn any_release_name_can_stand_in_a_header() {
        assert_eq!(mark("release/v1+b:ü"), "release/v1+b:%C3%BC");
    }
}
