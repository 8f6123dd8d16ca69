//! The Prometheus text format 0.0.4, read line by line in bounded memory.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>. OpenMetrics' additions (`# EOF`, `# UNIT`, exemplars,
//! timestamps with a fraction) are read over. A malformed line ends the reading: half a page of numbers is no page.

use std::borrow::Cow;

#[cfg(test)]
mod tests;

/// A longer line is refused.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// One line that says something.
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    Type { family: &'a str, kind: Kind },
    Sample { metric: &'a str, labels: Vec<(&'a str, Cow<'a, str>)>, value: f64 },
}

/// What `# TYPE` says of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    /// `untyped`, `unknown` and whatever else there may be.
    Other,
}

/// Why a page cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the metrics is malformed: {what}")]
pub struct Malformed {
    pub line: u64,
    pub what: String,
}

/// Cuts a stream of bytes into lines and reads them.
#[derive(Debug, Default)]
pub struct Reader {
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    line: u64,
}

impl Reader {
    /// Reads what is complete in `bytes` and what was left before. `take` may refuse a line in words.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        take: &mut dyn FnMut(Line<'_>) -> Result<(), String>,
    ) -> Result<(), Malformed> {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            self.line += 1;
            if self.partial.is_empty() {
                self.read(line, take)?;
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.read(&whole, take)?;
            }
        }
        if self.partial.len() + bytes.len() > LINE_BYTES_MAX {
            return Err(self.too_long(self.line + 1));
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the reading. A last line without an end is one that was cut off.
    pub fn finish(self) -> Result<(), Malformed> {
        match self.partial.is_empty() {
            true => Ok(()),
            false => {
                Err(Malformed { line: self.line + 1, what: "it is cut off: no line feed ends it".into() })
            }
        }
    }

    fn read(
        &self,
        line: &[u8],
        take: &mut dyn FnMut(Line<'_>) -> Result<(), String>,
    ) -> Result<(), Malformed> {
        if line.len() > LINE_BYTES_MAX {
            return Err(self.too_long(self.line));
        }
        let malformed = |what: String| Malformed { line: self.line, what };
        let text = std::str::from_utf8(line).map_err(|_| malformed("it is not UTF-8".into()))?;
        match parse(text).map_err(|what| malformed(what.into()))? {
            Some(line) => take(line).map_err(malformed),
            None => Ok(()),
        }
    }

    fn too_long(&self, line: u64) -> Malformed {
        Malformed { line, what: format!("it is longer than {LINE_BYTES_MAX} bytes") }
    }
}

/// Reads one line; `None` for a blank one or a comment.
fn parse(line: &str) -> Result<Option<Line<'_>>, &'static str> {
    let line = line.trim();
    if let Some(comment) = line.strip_prefix('#') {
        return Ok(type_of(comment));
    }
    if line.is_empty() {
        return Ok(None);
    }
    let mut scanner = Scanner::new(line);
    let metric = scanner.take_while(|c| !c.is_whitespace() && c != '{');
    if !is_metric_name(metric) {
        return Err("it begins with no metric name");
    }
    scanner.spaces();
    let labels = if scanner.eat("{") { labels(&mut scanner)? } else { Vec::new() };
    scanner.spaces();
    let value = number(scanner.take_while(|c| !c.is_whitespace())).ok_or("its value is not a number")?;
    scanner.spaces();
    if !scanner.rest().starts_with('#') {
        let time = scanner.take_while(|c| !c.is_whitespace());
        if !time.is_empty() && number(time).is_none() {
            return Err("its timestamp is not a number");
        }
        scanner.spaces();
    }
    // an exemplar is nobody's business here
    if !scanner.rest().is_empty() && !scanner.rest().starts_with('#') {
        return Err("something follows its value");
    }
    Ok(Some(Line::Sample { metric, labels, value }))
}

fn type_of(comment: &str) -> Option<Line<'_>> {
    let mut words = comment.split_whitespace();
    let (Some("TYPE"), Some(family), Some(kind)) = (words.next(), words.next(), words.next()) else {
        return None;
    };
    let kind = match kind {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        "summary" => Kind::Summary,
        _ => Kind::Other,
    };
    Some(Line::Type { family, kind })
}

/// What stands between the braces; the first one is eaten.
fn labels<'a>(scanner: &mut Scanner<'a>) -> Result<Vec<(&'a str, Cow<'a, str>)>, &'static str> {
    let mut labels = Vec::new();
    loop {
        scanner.spaces();
        if scanner.eat("}") {
            return Ok(labels);
        }
        let name = scanner.take_while(|c| !c.is_whitespace() && !"=,}\"".contains(c));
        if !is_label_name(name) {
            return Err("a label's name is missing");
        }
        scanner.spaces();
        if !scanner.eat("=") {
            return Err("after a label's name comes =");
        }
        scanner.spaces();
        labels.push((name, scanner.quoted()?));
        scanner.spaces();
        if !scanner.eat(",") && !scanner.rest().starts_with('}') {
            return Err("between labels stands a comma");
        }
    }
}

/// Go's floating point numbers, without its hexadecimal ones and underscores.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

pub fn is_metric_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

pub fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

/// Goes through a text from left to right.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        Scanner { rest: text }
    }

    pub fn rest(&self) -> &'a str {
        self.rest
    }

    pub fn spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    pub fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// A text in double quotes with `\\`, `\"` and `\n`; any other backslash stands for itself, as Prometheus has it.
    pub fn quoted(&mut self) -> Result<Cow<'a, str>, &'static str> {
        if !self.eat("\"") {
            return Err("a value in double quotes is missing");
        }
        let text = self.rest;
        let mut unescaped: Option<String> = None;
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            let put = match c {
                '"' => {
                    self.rest = &text[at + 1..];
                    return Ok(unescaped.map_or(Cow::Borrowed(&text[..at]), Cow::Owned));
                }
                '\\' => {
                    let owned = unescaped.get_or_insert_with(|| text[..at].to_string());
                    match chars.next() {
                        Some((_, 'n')) => '\n',
                        Some((_, c @ ('\\' | '"'))) => c,
                        Some((_, other)) => {
                            owned.push('\\');
                            other
                        }
                        None => break,
                    }
                }
                c => c,
            };
            if let Some(owned) = &mut unescaped {
                owned.push(put);
            }
        }
        Err("a closing quote is missing")
    }
}
