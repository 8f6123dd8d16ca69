//! From a [`Node`] to a struct: serde over the tree, so that every refusal names its line, its column and its path.
//!
//! An error is given its place where a value is handed to its type (an entry, an item, a variant, the whole): a check
//! behind `try_from` fails only after the deserializer is done with the value, so no earlier place would do.
//! Through `deserialize_any` (serde's `flatten` and `untagged`, `serde_json::Value`) numbers lose their source text.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::node::{Entry, Kind, Located, Node, Position};
use error::Error;

mod error;
#[cfg(test)]
mod tests;

/// Reads `node`, which the messages call `path`; an empty path means the whole file.
pub fn from_node<T: DeserializeOwned>(node: &Node, path: &str) -> Result<T, Located> {
    T::deserialize(Cursor { node, path }).map_err(|error| error.locate(node.position, path))
}

#[derive(Clone, Copy)]
struct Cursor<'de, 'path> {
    node: &'de Node,
    path: &'path str,
}

impl<'de> Cursor<'de, '_> {
    fn deserialize<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        self.locate(seed.deserialize(self))
    }

    fn locate<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| error.at(self.node.position, self.path))
    }
}

impl<'de> Deserializer<'de> for Cursor<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Integer { value, .. } => visitor.visit_i64(*value),
            Kind::Float { value, .. } => visitor.visit_f64(*value),
            Kind::Text(text) => visitor.visit_borrowed_str(text),
            Kind::List(items) => visit_items(Items::of_list(items, self.path), visitor),
            Kind::Map(entries) => visitor.visit_map(Entries::new(entries, self.path)),
        }
    }

    /// A number where text is asked for is its source text: a tag `1.10` needs no quotes.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Integer { raw, .. } | Kind::Float { raw, .. } => visitor.visit_borrowed_str(raw),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// One may be written without brackets wherever a list is taken.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Null | Kind::List(_) => self.deserialize_any(visitor),
            _ => visit_items(Items::of_one(self.node, self.path), visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    /// A derived struct would take a list for its fields in their order, which nobody means.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.node.kind {
            Kind::List(_) => Err(Error::mismatch("a map", self.node.describe())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let choices = || format!("one of {}", error::listed(variants));
        match &self.node.kind {
            Kind::Text(name) | Kind::Integer { raw: name, .. } | Kind::Float { raw: name, .. } => visitor
                .visit_enum(Variant { name, position: self.node.position, content: None, path: self.path }),
            Kind::Map(entries) => match entries.as_slice() {
                [Entry { key, position, value }] => visitor.visit_enum(Variant {
                    name: key,
                    position: *position,
                    content: Some(value),
                    path: self.path,
                }),
                _ => Err(Error::mismatch(choices(), format!("a map of {} keys", entries.len()))),
            },
            _ => Err(Error::mismatch(choices(), self.node.describe())),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf unit unit_struct map identifier
    }
}

struct Items<'de, 'path> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
    path: &'path str,
    /// Items of a list have a number; one written without brackets goes by the list's own name.
    numbered: bool,
}

impl<'de, 'path> Items<'de, 'path> {
    fn of_list(items: &'de [Node], path: &'path str) -> Self {
        Items { items: items.iter().enumerate(), path, numbered: true }
    }

    fn of_one(node: &'de Node, path: &'path str) -> Self {
        Items { items: std::slice::from_ref(node).iter().enumerate(), path, numbered: false }
    }
}

/// Refuses what a visitor leaves over: a tuple takes its own and would drop the rest unseen.
fn visit_items<'de, V: Visitor<'de>>(mut items: Items<'de, '_>, visitor: V) -> Result<V::Value, Error> {
    let total = items.items.len();
    let value = visitor.visit_seq(&mut items)?;
    match items.items.len() {
        0 => Ok(value),
        left => Err(Error::mismatch(format!("a list of {}", total - left), format!("a list of {total}"))),
    }
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        let numbered = self.numbered.then(|| format!("{}[{index}]", self.path));
        let path = numbered.as_deref().unwrap_or(self.path);
        Cursor { node, path }.deserialize(seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'de, 'path> {
    entries: std::slice::Iter<'de, Entry>,
    /// Whose key was given and whose value is due.
    due: Option<&'de Entry>,
    path: &'path str,
}

impl<'de, 'path> Entries<'de, 'path> {
    fn new(entries: &'de [Entry], path: &'path str) -> Self {
        Entries { entries: entries.iter(), due: None, path }
    }
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.due = self.entries.next();
        let Some(entry) = self.due else {
            return Ok(None);
        };
        let key = seed.deserialize(Key(&entry.key));
        key.map(Some).map_err(|error| error.at(entry.position, self.path))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let Some(entry) = self.due.take() else {
            return Err(Error::custom("a value was asked for before its key"));
        };
        let path = error::join(self.path, &entry.key);
        Cursor { node: &entry.value, path: &path }.deserialize(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// A key, which is always text; serde's own deserializer of a `&str` would not enter a newtype.
struct Key<'de>(&'de str);

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(BorrowedStrDeserializer::new(self.0))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// One of an enum: a word alone, or the only key of a map with its value as content.
struct Variant<'de, 'path> {
    name: &'de str,
    position: Position,
    content: Option<&'de Node>,
    path: &'path str,
}

impl<'de> Variant<'de, '_> {
    /// Runs `read` over the content, which a word alone does not have.
    fn with_content<T>(self, read: impl FnOnce(Cursor<'de, '_>) -> Result<T, Error>) -> Result<T, Error> {
        let Some(node) = self.content else {
            let message = format!("`{}` cannot stand alone: write `{}: …`", self.name, self.name);
            return Err(Error::custom(message).at(self.position, self.path));
        };
        let path = error::join(self.path, self.name);
        let cursor = Cursor { node, path: &path };
        cursor.locate(read(cursor))
    }
}

impl<'de> EnumAccess<'de> for Variant<'de, '_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        match seed.deserialize(Key(self.name)) {
            Ok(variant) => Ok((variant, self)),
            Err(error) => {
                let error = if self.content.is_some() { error } else { error.word_of_key() };
                Err(error.at(self.position, self.path))
            }
        }
    }
}

impl<'de> VariantAccess<'de> for Variant<'de, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content {
            None | Some(Node { kind: Kind::Null, .. }) => Ok(()),
            Some(_) => self.with_content(|cursor| Err(Error::mismatch("left empty", cursor.node.describe()))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.with_content(|cursor| seed.deserialize(cursor))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.with_content(|cursor| cursor.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.with_content(|cursor| cursor.deserialize_struct("", fields, visitor))
    }
}
