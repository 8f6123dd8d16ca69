//! Series selectors as Prometheus writes them: `http_requests_total{code=~"5..", side="{{side}}"}`.

use std::{borrow::Cow, collections::BTreeSet};

use regex_lite::Regex;

use super::exposition::{Scanner, is_label_name, is_metric_name};
use crate::domain::template::{Words, fill, words_of};

/// A selector of the file, its words not yet filled in.
#[derive(Clone, Debug)]
pub struct Selector {
    pub metric: String,
    matchers: Vec<Matcher>,
}

#[derive(Clone, Debug)]
struct Matcher {
    label: String,
    relation: Relation,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Unequal,
    Like,
    Unlike,
}

/// A selector that can be held against series.
#[derive(Clone, Debug)]
pub struct Filter {
    pub metric: String,
    tests: Vec<(String, Test)>,
}

#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    Unequal(String),
    Like(Regex),
    Unlike(Regex),
}

/// Labels of a series, as read.
pub type Labels<'a> = [(&'a str, Cow<'a, str>)];

impl Selector {
    pub fn new(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!("`{text}` is not a selector such as `http_requests_total{{code=~\"5..\"}}`: {what}")
        };
        let mut scanner = Scanner::new(text.trim());
        let metric = scanner.take_while(|c| !c.is_whitespace() && c != '{').to_string();
        if !is_metric_name(&metric) {
            return Err(wrong("it begins with no metric name"));
        }
        let mut matchers = Vec::new();
        scanner.spaces();
        if scanner.eat("{") {
            loop {
                scanner.spaces();
                if scanner.eat("}") {
                    break;
                }
                let label = scanner.take_while(|c| !c.is_whitespace() && !"=!~,}\"".contains(c)).to_string();
                if !is_label_name(&label) {
                    return Err(wrong("a label's name is missing"));
                }
                scanner.spaces();
                let relation = match () {
                    () if scanner.eat("=~") => Relation::Like,
                    () if scanner.eat("!~") => Relation::Unlike,
                    () if scanner.eat("!=") => Relation::Unequal,
                    () if scanner.eat("=") => Relation::Equal,
                    () => return Err(wrong("after a label comes =, !=, =~ or !~")),
                };
                scanner.spaces();
                let value = scanner.quoted().map_err(wrong)?.into_owned();
                words_of(&value)?;
                matchers.push(Matcher { label, relation, value });
                scanner.spaces();
                if !scanner.eat(",") && !scanner.rest().starts_with('}') {
                    return Err(wrong("between labels stands a comma"));
                }
            }
        }
        scanner.spaces();
        if !scanner.rest().is_empty() {
            return Err(wrong("something follows it"));
        }
        let selector = Selector { metric, matchers };
        let dummy = selector.words().iter().fold(Words::default(), |words, word| words.with(word, "1"));
        selector.fill(&dummy).map(|_| selector)
    }

    /// The same for series that also have this label.
    #[must_use]
    pub fn and(mut self, label: &str, value: &str) -> Self {
        self.matchers.push(Matcher { label: label.into(), relation: Relation::Equal, value: value.into() });
        self
    }

    pub fn words(&self) -> BTreeSet<String> {
        // each was read once before
        self.matchers.iter().flat_map(|matcher| words_of(&matcher.value).unwrap_or_default()).collect()
    }

    /// Puts the words in; in a pattern they stand for themselves.
    pub fn fill(&self, words: &Words) -> Result<Filter, String> {
        let mut tests = Vec::with_capacity(self.matchers.len());
        for Matcher { label, relation, value } in &self.matchers {
            let plain = || fill(value, words, str::to_string);
            let pattern = || {
                let filled = fill(value, words, regex_lite::escape)?;
                Regex::new(&format!("^(?:{filled})$"))
                    .map_err(|e| format!("the pattern \"{value}\" of {label}: {e}"))
            };
            let test = match relation {
                Relation::Equal => Test::Equal(plain()?),
                Relation::Unequal => Test::Unequal(plain()?),
                Relation::Like => Test::Like(pattern()?),
                Relation::Unlike => Test::Unlike(pattern()?),
            };
            tests.push((label.clone(), test));
        }
        Ok(Filter { metric: self.metric.clone(), tests })
    }
}

impl Filter {
    /// Whether the labels fit. As in Prometheus, a label that is absent is an empty one.
    pub fn fits(&self, labels: &Labels<'_>) -> bool {
        self.tests.iter().all(|(label, test)| {
            let value = labels.iter().find(|(name, _)| name == label).map_or("", |(_, value)| value.as_ref());
            match test {
                Test::Equal(wanted) => value == wanted,
                Test::Unequal(wanted) => value != wanted,
                Test::Like(pattern) => pattern.is_match(value),
                Test::Unlike(pattern) => !pattern.is_match(value),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(selector: &str, labels: &[(&'static str, &'static str)]) -> bool {
        let words = Words::default().with("side", "blue.1").with("version", "v1+2");
        let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))).collect();
        Selector::new(selector).unwrap().fill(&words).unwrap().fits(&labels)
    }

    #[test]
    fn every_relation_means_what_prometheus_means() {
        let labels = [("code", "503"), ("side", "blue.1")];
        assert!(fits("m", &labels));
        assert!(fits(r#"m{code=~"5..",}"#, &labels));
        assert!(!fits(r#"m{code=~"5."}"#, &labels), "a pattern is anchored");
        assert!(!fits(r#"m{code=~"2..|03"}"#, &labels), "all of its alternatives are");
        assert!(fits(r#"m { code != "500" , code!~"4..", side = "blue.1" }"#, &labels));
        assert!(fits(r#"m{absent="", absent!="x"}"#, &labels));
        assert!(!fits(r#"m{absent=~".+"}"#, &labels));
    }

    #[test]
    fn words_stand_for_themselves_in_patterns_too() {
        assert!(fits(r#"m{side="{{side}}"}"#, &[("side", "blue.1")]));
        assert!(fits(r#"m{v=~"{{version}}|x"}"#, &[("v", "v1+2")]));
        assert!(!fits(r#"m{side=~"{{side}}"}"#, &[("side", "bluex1")]));
    }

    #[test]
    fn what_is_not_a_selector_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "metric name"),
            ("5xx", "metric name"),
            ("sum(m)", "metric name"),
            ("m{", "label"),
            ("m{code}", "=~"),
            ("m{code=5}", "quote"),
            (r#"m{code="5"#, "quote"),
            (r#"m{a="1" b="2"}"#, "comma"),
            (r#"m{a="1"}[5m]"#, "follows"),
            (r#"m{a=~"("}"#, "pattern"),
            (r#"m{a="{{sid}}"}"#, "known"),
        ] {
            let error = Selector::new(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
