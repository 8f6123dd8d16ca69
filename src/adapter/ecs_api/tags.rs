//! Tags by which a later run knows what an earlier one made.

use aws_sdk_ecs::types::{Service, Tag};

use super::revision_of;

/// On a task definition: what it was made from, so that the same is not registered twice.
pub const RECIPE: &str = "tidegate:recipe";
/// On a task definition: for which release.
pub const RELEASE: &str = "tidegate:release";
/// All of ours begin with it.
pub const OURS: &str = "tidegate:";

const VALUE_CHARS_MAX: usize = 256;

pub fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(plain(value)).build()
}

pub fn value<'t>(tags: &'t [Tag], key: &str) -> Option<&'t str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

/// What is no letter, digit or `+-=._:/@` cannot stand in a tag.
fn plain(text: &str) -> String {
    let good = |c: char| if c.is_ascii_alphanumeric() || " +-=._:/@".contains(c) { c } else { '_' };
    text.chars().take(VALUE_CHARS_MAX).map(good).collect()
}

/// `FAMILY:REVISION=VERSION`: a task definition and what runs in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    pub revision: String,
    pub version: String,
}

impl Marked {
    pub fn tag(key: &str, definition: &str, version: &str) -> Tag {
        tag(key, &format!("{}={version}", revision_of(definition)))
    }

    pub fn of(service: &Service, key: &str) -> Option<Self> {
        let (revision, version) = value(service.tags(), key)?.split_once('=')?;
        Some(Marked { revision: revision.to_string(), version: version.to_string() })
    }
}
