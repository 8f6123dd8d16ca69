//! The options of a Lambda target.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{borrow::Cow, collections::BTreeMap, fmt};

use crate::{
    adapter::aws::Access,
    domain::template::{Words, fill, words_of},
    port::excerpt,
};

/// More than any account serves as one release.
const FUNCTIONS_MAX: usize = 1000;

/// An alias of one Lambda function, or of several that go out together, split between two published versions.
///
/// The sides are `blue` and `green`. Which one a version is on is written into its description when it is
/// published, as in `tidegate v1.2.3 green`; a version that something else published is on the side that is
/// free. With several functions every alias gets the same share, and the share of a side is the mean.
///
/// The code comes from `zip`, from `s3`, or from the service's `image:`. Without any of these another tool
/// publishes the version and puts it into the alias at weight 0, before `deploy` looks for it there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The function's name. Several: `functions`.
    #[serde(default)]
    pub function: Option<FunctionName>,
    /// The functions that go out together, 1000 at most.
    #[serde(default)]
    pub functions: Vec<FunctionName>,
    /// The alias that traffic comes through, of the same name on every function.
    pub alias: AliasName,
    /// The package to publish, up to 50 MB: a path beside the file, which may hold `{{release}}`. With several
    /// functions it is the same package for all, or one for each: `{thumbs: dist/thumbs.zip, mail: dist/mail.zip}`.
    #[serde(default)]
    pub zip: Option<PerFunction>,
    /// The package to publish, in a bucket of the functions' region.
    #[serde(default)]
    pub s3: Option<Package>,
    /// Region, profile, role, endpoint.
    #[serde(default)]
    pub aws: Access,
}

/// A package in a bucket.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LambdaPackage")]
pub struct Package {
    pub bucket: String,
    /// The object's key, which may hold `{{release}}`; or one for each function.
    pub key: PerFunction,
    /// The object's version, where the bucket keeps versions.
    #[serde(default)]
    pub version: Option<String>,
}

impl Config {
    /// The functions, each once.
    pub fn functions(&self) -> Result<Vec<String>, String> {
        let names: Vec<String> = match (&self.function, self.functions.as_slice()) {
            (Some(one), []) => vec![one.0.clone()],
            (None, many) if !many.is_empty() => many.iter().map(|name| name.0.clone()).collect(),
            (Some(_), _) => return Err("give `function` or `functions`, not both".into()),
            (None, _) => return Err("`function` is missing: which one is it?".into()),
        };
        if names.len() > FUNCTIONS_MAX {
            return Err(format!("functions: {} are more than {FUNCTIONS_MAX}", names.len()));
        }
        match names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            Some((_, twice)) => Err(format!("functions: {twice} is named twice")),
            None => Ok(names),
        }
    }

    /// Where the code comes from, if it is said here.
    pub fn source(&self) -> Result<Source, String> {
        let functions = self.functions()?;
        match (&self.zip, &self.s3) {
            (Some(_), Some(_)) => Err("give `zip` or `s3`, not both".into()),
            (Some(zip), None) => zip.check("zip", &functions).map(|()| Source::Zip(zip.clone())),
            (None, Some(s3)) => s3.key.check("s3.key", &functions).map(|()| Source::S3(s3.clone())),
            (None, None) => Ok(Source::Elsewhere),
        }
    }
}

/// Where the code comes from.
#[derive(Clone, Debug)]
pub enum Source {
    Zip(PerFunction),
    S3(Package),
    /// The service's image, or another tool.
    Elsewhere,
}

impl Source {
    /// The release's name says which package it is.
    pub fn is_named_by_release(&self) -> bool {
        match self {
            Source::Zip(zip) => zip.names_release(),
            Source::S3(package) => package.key.names_release(),
            Source::Elsewhere => true,
        }
    }
}

/// One text for all functions, or one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PerFunction {
    All(String),
    Each(BTreeMap<String, String>),
}

impl PerFunction {
    fn check(&self, option: &str, functions: &[String]) -> Result<(), String> {
        if let PerFunction::Each(each) = self {
            if let Some(missing) = functions.iter().find(|name| !each.contains_key(*name)) {
                return Err(format!("{option}: {missing} has none"));
            }
            if let Some(stranger) = each.keys().find(|name| !functions.contains(name)) {
                return Err(format!("{option}: {stranger} is none of the functions"));
            }
        }
        for text in self.texts() {
            let words = words_of(text).map_err(|why| format!("{option}: {why}"))?;
            if let Some(word) = words.iter().find(|word| *word != "release") {
                return Err(format!(
                    "{option}: {{{{{word}}}}} stands for nothing here; {{{{release}}}} does"
                ));
            }
        }
        Ok(())
    }

    fn names_release(&self) -> bool {
        let named = |text: &String| words_of(text).is_ok_and(|words| words.contains("release"));
        self.texts().into_iter().all(named)
    }

    fn texts(&self) -> Vec<&String> {
        match self {
            PerFunction::All(text) => vec![text],
            PerFunction::Each(each) => each.values().collect(),
        }
    }

    /// The text of this function in this release.
    pub fn of(&self, function: &str, release: &str) -> Result<String, String> {
        let text = match self {
            PerFunction::All(text) => Some(text),
            PerFunction::Each(each) => each.get(function),
        };
        let text = text.ok_or_else(|| format!("{function} has none"))?;
        fill(text, &Words::default().with("release", release), str::to_string)
    }

    /// What it says where no release is known yet; none where it takes one to know.
    pub fn fixed(&self, function: &str) -> Option<String> {
        let text = match self {
            PerFunction::All(text) => text,
            PerFunction::Each(each) => each.get(function)?,
        };
        words_of(text).ok()?.is_empty().then(|| text.clone())
    }
}

impl<'de> Deserialize<'de> for PerFunction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PerFunctionVisitor)
    }
}

struct PerFunctionVisitor;

impl<'de> Visitor<'de> for PerFunctionVisitor {
    type Value = PerFunction;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or one for each function: `{thumbs: …, mail: …}`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PerFunction, E> {
        Ok(PerFunction::All(text.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PerFunction, A::Error> {
        Ok(PerFunction::Each(BTreeMap::deserialize(MapAccessDeserializer::new(map))?))
    }
}

impl JsonSchema for PerFunction {
    fn schema_name() -> Cow<'static, str> {
        "PerFunction".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "object", "additionalProperties": { "type": "string" } },
        ]})
    }
}

macro_rules! aws_name {
    ($(#[$doc:meta])* $type:ident, $pattern:literal, $most:literal, $extra:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
        #[serde(try_from = "String")]
        #[schemars(with = "String", extend("pattern" = $pattern))]
        pub struct $type(pub String);

        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                let good = (1..=$most).contains(&text.len())
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
                    && $extra(&text);
                match good {
                    true => Ok($type(text)),
                    false => Err(format!("`{}` {}", excerpt(&text, 80), $rule)),
                }
            }
        }
    };
}

aws_name!(
    /// A function's name, without its ARN and without a version: 1 to 64 letters, digits, `-` and `_`.
    FunctionName,
    "^[A-Za-z0-9_-]{1,64}$",
    64,
    |_: &str| true,
    "cannot be a function's name: 1 to 64 letters, digits, `-` and `_`; its region belongs into `aws:`"
);
aws_name!(
    /// An alias' name: 1 to 128 letters, digits, `-` and `_`, and not a number.
    AliasName,
    "^(?![0-9]+$)[A-Za-z0-9_-]{1,128}$",
    128,
    |text: &str| !text.chars().all(|c| c.is_ascii_digit()),
    "cannot be an alias' name: 1 to 128 letters, digits, `-` and `_`, and not a number"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{de::from_node, node::parse};

    fn read(text: &str) -> Result<(Vec<String>, Source), String> {
        let config: Config = from_node(&parse(text).unwrap(), "lambda").map_err(|e| e.to_string())?;
        Ok((config.functions()?, config.source()?))
    }

    #[test]
    fn one_function_or_several_and_one_source_of_code_or_none() {
        let (functions, source) = read("{function: thumbs, alias: live, zip: dist/a.zip}").unwrap();
        assert_eq!(functions, ["thumbs"]);
        assert!(matches!(source, Source::Zip(zip) if zip.of("thumbs", "v1") == Ok("dist/a.zip".into())));
        let (functions, source) =
            read("{functions: [a, b], alias: live, s3: {bucket: c, key: 'jobs/{{release}}.zip'}}").unwrap();
        assert_eq!(functions, ["a", "b"]);
        assert!(matches!(source, Source::S3(s3) if s3.key.of("b", "v1") == Ok("jobs/v1.zip".into())));
        assert!(matches!(read("{function: a, alias: live}"), Ok((_, Source::Elsewhere))));
        let (_, source) = read("{functions: [a, b], alias: live, zip: {a: a.zip, b: b.zip}}").unwrap();
        assert!(matches!(source, Source::Zip(zip) if zip.of("b", "v1") == Ok("b.zip".into())));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (text, why) in [
            ("{alias: live}", "`function` is missing"),
            ("{function: a, functions: [b], alias: live}", "not both"),
            ("{functions: [a, b, a], alias: live}", "a is named twice"),
            ("{function: a}", "`alias` is missing"),
            ("{function: a, alias: '42'}", "not a number"),
            (
                "{function: 'arn:aws:lambda:eu-west-1:1:function:a', alias: live}",
                "cannot be a function's name",
            ),
            ("{function: a, alias: live, zip: a.zip, s3: {bucket: b, key: k}}", "`zip` or `s3`, not both"),
            ("{functions: [a, b], alias: live, zip: {a: a.zip}}", "zip: b has none"),
            ("{function: a, alias: live, zip: {a: a.zip, c: c.zip}}", "c is none of the functions"),
            ("{function: a, alias: live, zip: '{{side}}.zip'}", "{{side}} stands for nothing here"),
            ("{function: a, alias: live, zips: a.zip}", "did you mean `zip`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
