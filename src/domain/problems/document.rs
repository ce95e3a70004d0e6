//! Parses JSON with duplicate keys, and converts JSON pointers.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A parsed document with its duplicate keys.
#[derive(Debug)]
pub struct ParsedDocument {
    pub value: Value,
    /// Path segments of each duplicate key. They are not joined, because a key may have to be redacted.
    pub duplicates: Vec<Vec<String>>,
}

/// Parses a document.
///
/// # Errors
/// The error of serde_json with line and column: invalid JSON, too many levels, or text after the document.
pub fn parse(text: &str) -> Result<ParsedDocument, serde_json::Error> {
    let duplicates = RefCell::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = ValueSeed { path: &JsonPath::Root, duplicates: &duplicates }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(ParsedDocument { value, duplicates: duplicates.into_inner() })
}

enum JsonPath<'a> {
    Root,
    Key(&'a JsonPath<'a>, &'a str),
    Index(&'a JsonPath<'a>, usize),
}

impl JsonPath<'_> {
    fn segments(&self) -> Vec<String> {
        let (parent, segment) = match self {
            JsonPath::Root => return Vec::new(),
            JsonPath::Key(parent, key) => (parent, (*key).to_owned()),
            JsonPath::Index(parent, index) => (parent, index.to_string()),
        };
        let mut segments = parent.segments();
        segments.push(segment);
        segments
    }
}

struct ValueSeed<'a> {
    path: &'a JsonPath<'a>,
    duplicates: &'a RefCell<Vec<Vec<String>>>,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        loop {
            let path = JsonPath::Index(self.path, array.len());
            match items.next_element_seed(ValueSeed { path: &path, duplicates: self.duplicates })? {
                Some(item) => array.push(item),
                None => return Ok(Value::Array(array)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let path = JsonPath::Key(self.path, &key);
            let value = entries.next_value_seed(ValueSeed { path: &path, duplicates: self.duplicates })?;
            if object.contains_key(&key) {
                self.duplicates.borrow_mut().push(path.segments());
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// Returns the RFC 6901 pointer to a child.
pub fn child(pointer: &str, segment: impl fmt::Display) -> String {
    format!("{pointer}/{}", segment.to_string().replace('~', "~0").replace('/', "~1"))
}

/// Returns the segments of an RFC 6901 pointer.
pub fn segments(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"))
}

/// Returns the position of a pointer in the document as a sort key. Missing values come after existing ones.
pub fn position(document: &Value, pointer: &str) -> Vec<usize> {
    let mut here = Some(document);
    segments(pointer)
        .map(|segment| {
            let (index, next) = match here {
                Some(Value::Object(object)) => (object.keys().position(|key| *key == segment), object.get(&segment)),
                Some(Value::Array(items)) => {
                    let index = segment.parse().ok();
                    (index, index.and_then(|index: usize| items.get(index)))
                }
                _ => (None, None),
            };
            here = next;
            index.unwrap_or(usize::MAX)
        })
        .collect()
}
