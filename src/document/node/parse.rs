//! From YAML text to a tree, refusing what two readers would read differently and what could exhaust us.
//!
//! Events are pulled one by one and the open collections kept on a stack of our own: `Parser::load` of saphyr recurses
//! and would overflow on deep nesting before a limit of ours is asked.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::scalar::{self, Refusal};
use super::{Entry, Kind, Located, Node, Position};

const TEXT_BYTES_MAX: usize = 256 * 1024;
const DEPTH_MAX: usize = 32;
const NODES_MAX: usize = 20_000;

/// Reads exactly one document.
pub fn parse(text: &str) -> Result<Node, Located> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_size(text)?;
    check_characters(text)?;
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| scan_error(&error, text))?;
        builder.accept(event, position(&span.start))?;
    }
    builder.finish()
}

fn check_size(text: &str) -> Result<(), Located> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(());
    }
    let start = position_at(text, TEXT_BYTES_MAX);
    Err(refused(start, format!("the file is {} bytes; at most {TEXT_BYTES_MAX} are read", text.len())))
}

/// NUL would end the scanner's input without a word; the others have no business in a file people read.
fn check_characters(text: &str) -> Result<(), Located> {
    let forbidden = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    match text.char_indices().find(|(_, c)| forbidden(*c)) {
        None => Ok(()),
        Some((byte, c)) => {
            let message = format!("control character U+{:04X}", u32::from(c));
            let hint = "remove it, or write it as an escape in double quotes";
            Err(refused(position_at(text, byte), message).with_hint(hint))
        }
    }
}

/// A collection whose end is still to come.
enum Open {
    List {
        position: Position,
        items: Vec<Node>,
    },
    Map {
        position: Position,
        entries: Vec<Entry>,
        first_seen: HashMap<String, Position>,
        key: Option<(String, Position)>,
    },
}

impl Open {
    fn awaits_key(&self) -> bool {
        matches!(self, Open::Map { key: None, .. })
    }

    fn close(self) -> Node {
        match self {
            Open::List { position, items } => Node { position, kind: Kind::List(items) },
            Open::Map { position, entries, .. } => Node { position, kind: Kind::Map(entries) },
        }
    }
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Builder {
    fn accept(&mut self, event: Event<'_>, position: Position) -> Result<(), Located> {
        match event {
            Event::DocumentStart(_) => self.start_document(position),
            Event::Alias(_) => Err(alias_refused(position)),
            Event::Scalar(text, style, anchor, tag) => {
                refuse_properties(anchor, tag.as_deref(), position)?;
                self.scalar(&text, style, position)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_properties(anchor, tag.as_deref(), position)?;
                self.start(Open::List { position, items: Vec::new() }, position)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_properties(anchor, tag.as_deref(), position)?;
                let (entries, first_seen) = (Vec::new(), HashMap::new());
                self.start(Open::Map { position, entries, first_seen, key: None }, position)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(collection) = self.open.pop() {
                    self.place(collection.close());
                }
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn finish(self) -> Result<Node, Located> {
        self.root.ok_or_else(|| empty_refused(Position { line: 1, column: 1 }))
    }

    fn start_document(&mut self, position: Position) -> Result<(), Located> {
        self.documents += 1;
        if self.documents > 1 {
            return Err(refused(position, "a second document begins here; the file must hold one"));
        }
        Ok(())
    }

    fn start(&mut self, collection: Open, position: Position) -> Result<(), Located> {
        if self.awaits_key() {
            let hint = "quote it if it is text; a value that begins with `{{` always needs quotes";
            return Err(refused(position, "a key must be text, not a list or a map").with_hint(hint));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(refused(position, format!("nested more than {DEPTH_MAX} levels deep")));
        }
        self.count(position)?;
        self.open.push(collection);
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, position: Position) -> Result<(), Located> {
        let plain = style == ScalarStyle::Plain;
        if self.awaits_key() {
            return self.key(text, plain, position);
        }
        if plain && text.is_empty() && self.open.is_empty() {
            return Err(empty_refused(position));
        }
        self.count(position)?;
        let kind = match plain {
            true => scalar::resolve(text).map_err(|refusal| refusal_at(refusal, position))?,
            false => Kind::Text(text.to_owned()),
        };
        self.place(Node { position, kind });
        Ok(())
    }

    fn key(&mut self, text: &str, plain: bool, position: Position) -> Result<(), Located> {
        if plain && text.is_empty() {
            return Err(refused(position, "a key is missing here"));
        }
        if plain {
            scalar::refuse_old_boolean(text).map_err(|refusal| refusal_at(refusal, position))?;
        }
        if let Some(Open::Map { first_seen, key, .. }) = self.open.last_mut() {
            if let Some(first) = first_seen.insert(text.to_owned(), position) {
                let message = format!("key `{text}` is given twice; the first is at {first}");
                return Err(refused(position, message).with_hint("merge the two into one"));
            }
            *key = Some((text.to_owned(), position));
        }
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        self.open.last().is_some_and(Open::awaits_key)
    }

    fn count(&mut self, position: Position) -> Result<(), Located> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(refused(position, format!("more than {NODES_MAX} values in one file")));
        }
        Ok(())
    }

    fn place(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                if let Some((key, position)) = key.take() {
                    entries.push(Entry { key, position, value: node });
                }
            }
        }
    }
}

fn refuse_properties(anchor: usize, tag: Option<&Tag>, position: Position) -> Result<(), Located> {
    if anchor > 0 {
        let hint = "write the value out; quote text that begins with `&`";
        return Err(refused(position, "anchors (`&name`) are not read").with_hint(hint));
    }
    if tag.is_some() {
        return Err(tag_refused(position));
    }
    Ok(())
}

fn alias_refused(position: Position) -> Located {
    let hint = "write the value out; quote text that begins with `*`";
    refused(position, "aliases (`*name`) are not read").with_hint(hint)
}

fn tag_refused(position: Position) -> Located {
    refused(position, "tags (`!name`) are not read").with_hint("quote text that begins with `!`")
}

fn empty_refused(position: Position) -> Located {
    refused(position, "the file is empty")
}

fn refusal_at(refusal: Refusal, position: Position) -> Located {
    refused(position, refusal.message).with_hint(refusal.hint)
}

/// The scanner's complaint in our words where its own would mislead: it looks an alias up before we see it.
fn scan_error(error: &ScanError, text: &str) -> Located {
    let position = position(error.marker());
    let info = error.info();
    if info.contains("unknown anchor") {
        return alias_refused(position);
    }
    if info.contains("handle wasn't declared") {
        return tag_refused(position);
    }
    let refusal = refused(position, format!("not valid YAML: {info}"));
    match scan_hint(info, line_of(text, position)) {
        Some(hint) => refusal.with_hint(hint),
        None => refusal,
    }
}

fn scan_hint(info: &str, line: &str) -> Option<&'static str> {
    let indentation = line.len() - line.trim_start().len();
    if line[..indentation].contains('\t') {
        Some("indent with spaces, not tabs")
    } else if line.contains(": {{") || line.contains("- {{") {
        Some("quote a value that begins with `{{`")
    } else if info.contains("mapping values are not allowed") {
        Some("check the indentation; quote text that has `: ` in it")
    } else {
        None
    }
}

fn line_of(text: &str, position: Position) -> &str {
    text.lines().nth(position.line.saturating_sub(1) as usize).unwrap_or_default()
}

/// The scanner's lines count from 1 and its columns from 0.
fn position(marker: &Marker) -> Position {
    let line = u32::try_from(marker.line()).unwrap_or(u32::MAX);
    let column = u32::try_from(marker.col()).unwrap_or(u32::MAX).saturating_add(1);
    Position { line: line.max(1), column }
}

/// Where a byte of the text is; lines end as the scanner ends them: at LF, CR LF or a lone CR.
fn position_at(text: &str, byte: usize) -> Position {
    let mut found = Position { line: 1, column: 1 };
    let mut before = text.char_indices().take_while(|(at, _)| *at < byte).map(|(_, c)| c).peekable();
    while let Some(c) = before.next() {
        if c == '\n' || c == '\r' && before.peek() != Some(&'\n') {
            found = Position { line: found.line.saturating_add(1), column: 1 };
        } else {
            found.column = found.column.saturating_add(1);
        }
    }
    found
}

fn refused(position: Position, message: impl Into<String>) -> Located {
    Located { position: Some(position), path: String::new(), message: message.into(), hint: None }
}

impl Located {
    fn with_hint(self, hint: impl Into<String>) -> Located {
        Located { hint: Some(hint.into()), ..self }
    }
}
