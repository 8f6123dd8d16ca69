//! A URL of the file, with words in it, and whom it is asked of.

use std::collections::BTreeSet;

use reqwest::Url;

use super::escape;
use crate::{
    domain::{
        names::TargetName,
        template::{Words, fill, words_of},
    },
    port::{
        adapter::ServiceSetting,
        metric::{Ask, Reach},
    },
};

/// An absolute URL, or a path that every instance of a side is asked for.
#[derive(Clone, Debug)]
pub struct Address {
    template: String,
    words: BTreeSet<String>,
    relative: bool,
}

impl Address {
    pub fn new(template: &str) -> Result<Self, String> {
        let words = words_of(template)?;
        let relative = template.starts_with('/');
        let address = Address { template: template.to_string(), words, relative };
        // a text that begins with a word is known only when it is filled
        if !relative && !template.starts_with("{{") {
            let dummy = address.words.iter().fold(Words::default(), |words, word| words.with(word, "1"));
            let url = Url::parse(&address.fill(&dummy)?).map_err(|_| {
                format!("`{}` is neither a path such as /metrics nor a URL", super::shown(template))
            })?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err(format!("`{}` must begin with http:// or https://", super::shown(template)));
            }
        }
        Ok(address)
    }

    pub fn is_relative(&self) -> bool {
        self.relative
    }

    pub fn words(&self) -> &BTreeSet<String> {
        &self.words
    }

    /// The text with its words in it, escaped for a URL. A leading `{{env.NAME}}` is a URL's beginning and goes in as
    /// it is.
    pub fn fill(&self, words: &Words) -> Result<String, String> {
        let whole_word = self.template.starts_with("{{env.");
        let head = self.template.find("}}").filter(|_| whole_word).map_or(0, |end| end + 2);
        let (head, tail) = self.template.split_at(head);
        Ok(fill(head, words, str::to_string)? + &fill(tail, words, escape)?)
    }

    /// The URLs one ask is about: one, or one per instance that is meant to serve. None where the side has no instance.
    pub fn urls(&self, ask: &Ask) -> Result<Vec<String>, String> {
        let filled = self.fill(&ask.words)?;
        if !self.relative {
            return Ok(vec![filled]);
        }
        let wanted: Vec<_> =
            ask.instances.iter().filter(|i| i.health != crate::domain::observed::Health::Disabled).collect();
        let urls: Vec<String> = wanted
            .iter()
            .filter_map(|i| i.address.as_ref())
            .map(|address| format!("http://{address}{filled}"))
            .collect();
        if urls.is_empty() && !wanted.is_empty() {
            return Err(format!(
                "no instance of {} has an address to be asked at; write a whole URL",
                ask.side
            ));
        }
        Ok(urls)
    }
}

/// How a question reaches the services: by the words in it, and whether it is asked of instances.
pub fn reach(
    words: &BTreeSet<String>,
    of_instances: bool,
    target: &TargetName,
    services: &[ServiceSetting],
) -> Reach {
    if of_instances || ["side", "version", "role"].iter().any(|word| words.contains(*word)) {
        Reach::Sides
    } else if words.contains("service") || services.first().is_none_or(|first| &first.name == target) {
        Reach::Whole
    } else {
        Reach::None
    }
}
