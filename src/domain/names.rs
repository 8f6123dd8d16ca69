//! Names with a meaning: a side is not a service, even where both are text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

use super::quoted::quoted;

/// Why a text cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be {what}: {rule}")]
pub struct BadName {
    text: String,
    what: &'static str,
    rule: &'static str,
}

const PLAIN: &str = "1 to 64 letters, digits, `.`, `_`, `-`, beginning with a letter or digit";
const RELEASE: &str = "1 to 128 visible characters without spaces";

fn plain(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn release(text: &str) -> bool {
    (1..=128).contains(&text.chars().count()) && text.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks `text` against the rule of this kind of name.
            pub fn new(text: impl Into<String>) -> Result<Self, BadName> {
                let text = text.into();
                if $check(&text) {
                    Ok(Self(text))
                } else {
                    Err(BadName { text: quoted(&text, 80), what: $what, rule: $rule })
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $type {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// What one `tidegate.yml` releases.
    UnitName, "a unit's name", plain, PLAIN
);
name!(
    /// Where it is released: `production`, `staging`.
    EnvironmentName, "an environment's name", plain, PLAIN
);
name!(
    /// A service in one place, behind one adapter.
    TargetName, "a service's name", plain, PLAIN
);
name!(
    /// A place that can serve: `blue`, `green`. Sides are fixed, roles are not.
    SideName, "a side's name", plain, PLAIN
);
name!(
    /// A check, a database, a migration, a smoke step or a hook, by its key in the file.
    EntryName, "an entry's name", plain, PLAIN
);
name!(
    /// What a release is called: a tag, a commit.
    ReleaseName, "a release's name", release, RELEASE
);

/// One try at a release: its name and the number of the journal record that opened it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    pub release: ReleaseName,
    /// Sequence number of the `opened` record.
    pub opened: u64,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.release, self.opened)
    }
}

/// What a side is in this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Candidate,
    Baseline,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Candidate => "candidate",
            Role::Baseline => "baseline",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_a_plain_word() {
        assert!(SideName::new("api-blue.1").is_ok());
        for bad in ["", "-x", "a b", "a/b", "a:b", "ü", &"x".repeat(65)] {
            assert!(SideName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_release_may_hold_what_a_git_tag_holds() {
        for good in ["v1.2.3", "release/2026-11", "v1.0.0+build.7", "a:b"] {
            assert!(ReleaseName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "two words", "line\nbreak", "bell\u{7}"] {
            assert!(ReleaseName::new(bad).is_err(), "{bad:?}");
        }
    }
}
