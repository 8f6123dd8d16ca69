//! `URL#/pointer`: one value in what a URL answers.

use serde_json::Value;

use super::{Address, Response};
use crate::port::excerpt;

/// A URL and a JSON pointer (RFC 6901) into its answer; without a pointer, the whole answer as text.
#[derive(Clone, Debug)]
pub struct Pointed {
    pub address: Address,
    pointer: Option<String>,
}

impl Pointed {
    pub fn new(text: &str) -> Result<Self, String> {
        let (url, pointer) = match text.split_once('#') {
            Some((url, pointer)) => (url, Some(pointer)),
            None => (text, None),
        };
        if let Some(pointer) = pointer.filter(|p| !p.starts_with('/')) {
            return Err(format!("`#{pointer}` is not a JSON pointer: write `#/{pointer}`"));
        }
        Ok(Pointed { address: Address::new(url)?, pointer: pointer.map(str::to_string) })
    }

    /// The value as text; the message says what was there instead.
    pub fn text(&self, response: &Response) -> Result<String, String> {
        let found = self.find(response)?;
        match found {
            Value::String(text) if !text.trim().is_empty() => Ok(text.trim().to_string()),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(self.wrong("text", &other)),
        }
    }

    /// The value as a finite number; a text that is one counts. `None` for null.
    pub fn number(&self, response: &Response) -> Result<Option<f64>, String> {
        let found = self.find(response)?;
        let number = match &found {
            Value::Null => return Ok(None),
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|n: &f64| n.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong("a number", &found)),
        }
    }

    fn find(&self, response: &Response) -> Result<Value, String> {
        let Some(pointer) = &self.pointer else {
            return Ok(Value::String(response.text().into_owned()));
        };
        let json: Value = serde_json::from_slice(&response.body)
            .map_err(|e| format!("the answer is not JSON ({e}): {}", excerpt(&response.text(), 200)))?;
        json.pointer(pointer)
            .cloned()
            .ok_or_else(|| format!("there is nothing at {pointer} in {}", excerpt(&response.text(), 200)))
    }

    fn wrong(&self, wanted: &str, found: &Value) -> String {
        let place = self.pointer.as_deref().map_or("the answer".to_string(), |p| format!("what is at {p}"));
        format!("{place} is not {wanted} but {}", excerpt(&found.to_string(), 80))
    }
}
