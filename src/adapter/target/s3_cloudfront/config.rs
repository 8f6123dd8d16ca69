//! The options of a static site.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};
use std::{borrow::Cow, fmt, path::PathBuf};

use super::pattern::Pattern;
use crate::{adapter::aws::Access, port::excerpt};

/// Static files in an S3 bucket, with or without CloudFront before it. It cannot be split: the site goes
/// over as a whole, in the stage that `switch_at` names.
///
/// A file with a hash in its name goes up before the switch, and no release ever deletes it: tabs that are
/// open need it. All other files are kept in `.tidegate/blue/` or `.tidegate/green/` beside the live ones
/// and are copied over them at the switch, the page `entry` last. Then CloudFront is told to forget what was
/// switched, and the switch is done when it has. A rollback is the same copy back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bucket that the site is served from.
    pub bucket: BucketName,
    /// The CloudFront distribution before it (`E123ABC`). Without it nothing is invalidated.
    pub distribution: Option<DistributionId>,
    /// The folder that the build wrote, beside this file. At most 20000 files, 1000 of them without a hash.
    pub upload: PathBuf,
    /// Where in the bucket the site is: `shop/`. The whole bucket by default.
    #[serde(default)]
    pub prefix: Prefix,
    /// The page that goes over last and tells which side is live, as it is called in `upload`.
    #[serde(default = "index")]
    pub entry: FileName,
    /// Files that never change under their name, beside those with a hash in it: `fonts/**`, `*.woff2`. A
    /// `!` before a pattern takes files out: `!report-*.pdf`. `*` stops at a `/`, `**` does not; a pattern
    /// without `/` is about the last part of the name. The last pattern that fits decides.
    #[serde(default, deserialize_with = "one_or_more")]
    #[schemars(schema_with = "one_or_more_schema")]
    pub assets: Vec<Pattern>,
    /// What CloudFront is told to forget, as it sees it: `/*`. By default exactly the files that were
    /// switched, `/` for an `index.html`; `/*` where they are more than 100.
    #[serde(default, deserialize_with = "one_or_more")]
    #[schemars(schema_with = "one_or_more_schema")]
    pub invalidate: Vec<ViewerPath>,
    /// The ACL that every file gets where it is served, at its upload and at every switch, as `aws s3 sync --acl`
    /// gives it: `public-read`. Only for buckets with ACLs enabled. None by default: the bucket's policy or
    /// CloudFront lets people in, and an ACL that somebody else gave a file is gone when a release replaces it.
    pub acl: Option<Acl>,
    /// Who calls, and where to: region, profile, role, endpoint.
    #[serde(default)]
    pub aws: Access,
}

/// What S3 calls a canned ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Acl {
    PublicRead,
    AuthenticatedRead,
    BucketOwnerRead,
    BucketOwnerFullControl,
}

fn index() -> FileName {
    FileName("index.html".into())
}

macro_rules! text {
    ($(#[$doc:meta])* $type:ident, $pattern:literal, $check:ident, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
        #[serde(try_from = "String")]
        #[schemars(with = "String", extend("pattern" = $pattern))]
        pub struct $type(String);

        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                match $check(&text) {
                    true => Ok($type(text)),
                    false => Err(format!("`{}`: {}", excerpt(&text, 80), $rule)),
                }
            }
        }

        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(
    /// A bucket's name.
    BucketName, "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket,
    "a bucket's name has 3 to 63 lower-case letters, digits, `-` and `.`, and no `s3://` before it"
);
text!(
    /// A distribution's id.
    DistributionId, "^[A-Z0-9]{1,32}$", distribution,
    "a distribution's id is upper-case letters and digits, like E2EXAMPLE1ABCD (not its domain)"
);
text!(
    /// A file as it is called in the folder that is uploaded.
    FileName, "^[^/].*$", file,
    "write the file's path within the folder, without a `/` before it and without `..`"
);
text!(
    /// A path as viewers see it, or a beginning with `*` after it.
    ViewerPath, "^/[^* ]*\\*?$", viewer_path,
    "write a path as viewers see it, `/about.html` or `/docs/*`: a `*` only at the end, no space"
);

fn bucket(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (3..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b))
        && edge(text.bytes().next())
        && edge(text.bytes().last())
}

fn distribution(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn file(text: &str) -> bool {
    !text.is_empty() && text.split('/').all(|part| !["", ".", ".."].contains(&part))
}

fn viewer_path(text: &str) -> bool {
    let named = text.strip_suffix('*').unwrap_or(text);
    text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic()) && !named.contains('*')
}

/// Nothing, or a folder with a `/` after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Prefix(String);

impl TryFrom<String> for Prefix {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let inner = text.trim_end_matches('/');
        if inner.is_empty() && text.len() <= 1 {
            return Ok(Prefix(String::new()));
        }
        match file(inner) && !inner.split('/').any(|part| part == ".tidegate") {
            true => Ok(Prefix(format!("{inner}/"))),
            false => Err(format!("`{text}`: write a folder within the bucket, like `shop/`")),
        }
    }
}

impl Prefix {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `a` is `[a]`.
fn one_or_more<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String, Error = String>,
{
    struct OneOrMore<T>(std::marker::PhantomData<T>);

    impl<'de, T: TryFrom<String, Error = String>> Visitor<'de> for OneOrMore<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("one text, or a list of them")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
            Ok(vec![T::try_from(text.to_string()).map_err(E::custom)?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut found = Vec::new();
            while let Some(text) = list.next_element::<String>()? {
                found.push(T::try_from(text).map_err(A::Error::custom)?);
            }
            Ok(found)
        }
    }

    deserializer.deserialize_any(OneOrMore(std::marker::PhantomData))
}

fn one_or_more_schema(generator: &mut SchemaGenerator) -> Schema {
    let text = generator.subschema_for::<String>();
    json_schema!({"anyOf": [text, {"type": "array", "items": text}]})
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: serde_json::Value) -> Result<Config, String> {
        serde_json::from_value(value).map_err(|e| e.to_string())
    }

    #[test]
    fn three_options_are_enough_and_the_rest_has_defaults() {
        let config = read(json!({"bucket": "shop-web", "distribution": "E123", "upload": "dist/"})).unwrap();
        assert_eq!((config.prefix.as_str(), config.entry.as_str()), ("", "index.html"));
        assert!(config.assets.is_empty() && config.invalidate.is_empty());
    }

    #[test]
    fn a_prefix_is_a_folder_however_it_is_written() {
        for (written, is) in [("", ""), ("/", ""), ("shop", "shop/"), ("shop/", "shop/"), ("a/b/", "a/b/")] {
            assert_eq!(Prefix::try_from(written.to_string()).unwrap().as_str(), is, "{written}");
        }
        for bad in ["/shop", "a//b", "../a", ".tidegate/x", "a/.."] {
            assert!(Prefix::try_from(bad.to_string()).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_that_cannot_be_right_are_refused_with_the_rule() {
        let base = json!({"bucket": "shop-web", "upload": "dist/"});
        for (key, value, rule) in [
            ("bucket", json!("s3://shop"), "no `s3://`"),
            ("distribution", json!("d123.cloudfront.net"), "not its domain"),
            ("entry", json!("/index.html"), "without a `/` before it"),
            ("entry", json!("../index.html"), "without `..`"),
            ("invalidate", json!("index.html"), "as viewers see it"),
            ("invalidate", json!(["/a*b"]), "only at the end"),
            ("assets", json!(["!"]), "names nothing"),
        ] {
            let mut options = base.clone();
            options[key] = value;
            let why = read(options).unwrap_err();
            assert!(why.contains(rule), "{key}: {why}");
        }
    }
}
