//! Identifiers that RDS takes, and the tags that say whose a snapshot is.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub type Tags = BTreeMap<String, String>;

const UNIT: &str = "tidegate:unit";
const ENVIRONMENT: &str = "tidegate:environment";
const DATABASE: &str = "tidegate:database";
/// The whole key of the snapshot.
pub const KEY: &str = "tidegate:key";
/// The snapshot's own identifier.
pub const SNAPSHOT: &str = "tidegate:snapshot";
/// On what was restored: the snapshot it came from.
pub const RESTORED: &str = "tidegate:restored-from";
/// What begins like this was put there by tidegate.
pub const OURS: &str = "tidegate:";

const IDENTIFIER_MAX: usize = 63;
/// Characters in a tag's value.
const TAG_MAX: usize = 256;
const HASH: usize = 12;

/// Whose snapshots these are.
pub struct Owner(Vec<(String, String)>);

impl Owner {
    pub fn new(unit: &str, environment: &str, database: &str) -> Owner {
        let tags = [(UNIT, unit), (ENVIRONMENT, environment), (DATABASE, database)];
        Owner(tags.map(|(name, value)| (name.into(), value.into())).into())
    }

    pub fn tags(&self) -> Vec<(String, String)> {
        self.0.clone()
    }

    /// Whether a snapshot with these tags is one that was taken for this database of this unit.
    pub fn owns(&self, tags: &Tags) -> bool {
        self.0.iter().all(|(name, value)| tags.get(name) == Some(value)) && tags.contains_key(KEY)
    }
}

/// Whose a snapshot with these tags may be.
pub fn whose(tags: &Tags) -> String {
    let tag = |name: &str| tags.get(name).map(String::as_str).unwrap_or("?");
    match tags.keys().any(|name| name.starts_with(OURS)) {
        true => format!(
            "its tags name unit {}, environment {}, database {}, key {}",
            tag(UNIT),
            tag(ENVIRONMENT),
            tag(DATABASE),
            tag(KEY)
        ),
        false => "it has no tags of tidegate".into(),
    }
}

/// An instance's or cluster's identifier, lower-cased as RDS keeps it: 1 to 63 letters, digits and single
/// hyphens, a letter first, no hyphen last.
pub fn identifier(text: &str) -> Result<String, String> {
    let low = text.to_ascii_lowercase();
    match !low.is_empty() && low.len() <= IDENTIFIER_MAX && plain(&low) == low {
        true => Ok(low),
        false => Err(format!(
            "`{text}` is not an identifier of RDS: 1 to {IDENTIFIER_MAX} letters, digits and single hyphens, \
             a letter first, no hyphen last"
        )),
    }
}

/// The snapshot's identifier: the key and the database's name where RDS takes them as they are, else what
/// can be kept of them and a hash of the whole.
pub fn snapshot_id(key: &str, database: &str, most: usize) -> String {
    let whole = format!("{key}-{database}");
    let mut id = plain(&whole);
    if id == whole && id.len() <= most {
        return id;
    }
    id.truncate(most.saturating_sub(HASH + 1));
    format!("{}-{}", id.trim_end_matches('-'), hash(&format!("{key}\0{database}")))
}

/// A tag's value: characters that tags do not take are `_`, and what is too long ends in a hash.
pub fn tag_value(text: &str) -> String {
    let mut value: String =
        text.chars().map(|c| if c.is_alphanumeric() || " _.:/=+-@".contains(c) { c } else { '_' }).collect();
    if value.chars().count() > TAG_MAX {
        value = value.chars().take(TAG_MAX - HASH - 1).collect();
        value.push('-');
        value.push_str(&hash(text));
    }
    value
}

/// Lower-case letters, digits and single hyphens, a letter first, no hyphen last.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => plain.push(c.to_ascii_lowercase()),
            _ if plain.is_empty() || plain.ends_with('-') => {}
            _ => plain.push('-'),
        }
    }
    plain.truncate(plain.trim_end_matches('-').len());
    if !plain.starts_with(|c: char| c.is_ascii_lowercase()) {
        plain.insert_str(0, if plain.is_empty() { "s" } else { "s-" });
    }
    plain
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().take(HASH / 2).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_rds_takes_stays_readable() {
        assert_eq!(
            snapshot_id("shop-production-v1-2-3-2-ebe6f6", "main", 63),
            "shop-production-v1-2-3-2-ebe6f6-main"
        );
    }

    #[test]
    fn other_keys_give_valid_identifiers_and_never_the_same() {
        let long = "shop-production-a-very-long-release-name-with-many-words-7-ebe6f";
        let keys = [
            "V1#1",
            "v1#1",
            "v1/1",
            "v1--1",
            "v1-1-",
            "1v",
            "",
            "-",
            "é",
            &format!("{long}1"),
            &format!("{long}2"),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for key in keys {
            for most in [63, 255] {
                let id = snapshot_id(key, "main", most);
                assert!(id.len() <= most && plain(&id) == id, "{key}: {id}");
                assert!(seen.insert((most, id.clone())), "{key}: {id}");
                assert_eq!(id, snapshot_id(key, "main", most));
            }
        }
        assert_ne!(snapshot_id("k", "main", 63), snapshot_id("k", "other", 63));
    }

    #[test]
    fn identifiers_are_lower_cased_and_checked() {
        assert_eq!(identifier("Rastup-Prod").unwrap(), "rastup-prod");
        for wrong in ["", "1a", "a-", "a--b", "a_b", "arn:aws:rds:eu-west-1:1:db:a", &"a".repeat(64)] {
            assert!(identifier(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tags_value_is_short_enough_and_still_the_keys_own() {
        assert_eq!(tag_value("v1#1"), "v1_1");
        let long = "k".repeat(300);
        assert_eq!(tag_value(&long).chars().count(), TAG_MAX);
        assert_ne!(tag_value(&long), tag_value(&"k".repeat(301)));
    }

    #[test]
    fn tags_of_a_copy_without_a_key_do_not_make_a_snapshot_ours() {
        let owner = Owner::new("shop", "production", "main");
        let mut tags: Tags = owner.tags().into_iter().collect();
        assert!(!owner.owns(&tags));
        tags.insert(KEY.into(), "k".into());
        assert!(owner.owns(&tags) && !Owner::new("shop", "staging", "main").owns(&tags));
    }
}
