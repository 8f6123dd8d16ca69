//! The options of a HAProxy target.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use std::{borrow::Cow, fmt, path::PathBuf};

use crate::{domain::names::SideName, port::excerpt};

/// A backend of a HAProxy (2.4 or newer) whose servers are the two sides. Traffic is split by the servers'
/// weights, through the runtime API; `haproxy.cfg` stays as it is.
///
/// Needs a `stats socket … level admin`. All servers of a side get the same weight. Servers in maintenance
/// or drain are left as they are, and count as taken out by a person.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the runtime API listens: the path of a `stats socket`, or `host:port`.
    pub socket: String,
    /// The backend, as `haproxy.cfg` calls it.
    pub backend: HaproxyName,
    /// Two servers, each a side of its own: `[blue, green]`; or the servers of each side:
    /// `{blue: [blue1, blue2], green: [green1, green2]}`.
    pub sides: Sides,
    /// Written after every change of the weights, so that they survive a reload. Give the same path to
    /// HAProxy's `server-state-file`, with `load-server-state-from-file global` in the backend. The file
    /// holds the whole state of all servers at that moment, maintenance included: where people change
    /// that by hand, let the reload write the file itself. HAProxy takes a weight from it only where the
    /// configured weight is the same as before.
    pub state_file: Option<PathBuf>,
}

/// A name that can stand in a command: letters, digits and `-_.:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[A-Za-z0-9_.:-]{1,128}$"))]
pub struct HaproxyName(String);

const NAME_BYTES_MAX: usize = 128;

impl TryFrom<String> for HaproxyName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let good = (1..=NAME_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
        match good {
            true => Ok(HaproxyName(text)),
            false => Err(format!(
                "`{}` cannot be a name in haproxy.cfg: 1 to {NAME_BYTES_MAX} letters, digits and `-_.:`",
                excerpt(&text, 80)
            )),
        }
    }
}

impl HaproxyName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HaproxyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One side and its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideServers {
    pub name: SideName,
    pub servers: Vec<HaproxyName>,
}

/// The two sides, in the order of the file; no server twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides(pub [SideServers; 2]);

impl Sides {
    fn new(sides: Vec<SideServers>) -> Result<Self, String> {
        let count = sides.len();
        let sides: [SideServers; 2] =
            sides.try_into().map_err(|_| format!("there must be exactly two sides, found {count}"))?;
        if let Some(empty) = sides.iter().find(|side| side.servers.is_empty()) {
            return Err(format!("side {} has no server", empty.name));
        }
        if sides[0].name == sides[1].name {
            return Err(format!("both sides are called {}", sides[0].name));
        }
        let servers: Vec<_> = sides.iter().flat_map(|side| &side.servers).collect();
        match servers.iter().enumerate().find(|(i, server)| servers[..*i].contains(server)) {
            Some((_, twice)) => Err(format!("server {twice} is named twice")),
            None => Ok(Sides(sides)),
        }
    }
}

impl<'de> Deserialize<'de> for Sides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SidesVisitor)
    }
}

struct SidesVisitor;

impl<'de> Visitor<'de> for SidesVisitor {
    type Value = Sides;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("two servers, `[blue, green]`, or the servers of two sides, `{blue: [b1], green: [g1]}`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Sides, A::Error> {
        let mut sides = Vec::new();
        while let Some(server) = list.next_element::<HaproxyName>()? {
            let name = SideName::new(server.as_str()).map_err(|bad| {
                A::Error::custom(format!("{bad}; give the side a name of its own: `{{blue: {server}, …}}`"))
            })?;
            sides.push(SideServers { name, servers: vec![server] });
        }
        Sides::new(sides).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sides, A::Error> {
        let mut sides = Vec::new();
        while let Some((name, servers)) = map.next_entry()? {
            sides.push(SideServers { name, servers });
        }
        Sides::new(sides).map_err(A::Error::custom)
    }
}

impl JsonSchema for Sides {
    fn schema_name() -> Cow<'static, str> {
        "HaproxySides".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let server = generator.subschema_for::<HaproxyName>();
        json_schema!({ "oneOf": [
            { "type": "array", "items": server, "minItems": 2, "maxItems": 2, "uniqueItems": true },
            { "type": "object", "minProperties": 2, "maxProperties": 2, "additionalProperties": {
                "oneOf": [server, { "type": "array", "items": server, "minItems": 1, "uniqueItems": true }]
            } },
        ]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{de::from_node, node::parse};

    fn read(text: &str) -> Result<Config, String> {
        from_node(&parse(text).unwrap(), "services.api.haproxy").map_err(|e| e.to_string())
    }

    fn sides(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
        let config = read(&format!("{{socket: /run/h.sock, backend: api, sides: {text}}}"))?;
        let names = |s: &SideServers| s.servers.iter().map(|n| n.to_string()).collect();
        Ok(config.sides.0.iter().map(|s| (s.name.to_string(), names(s))).collect())
    }

    #[test]
    fn sides_are_two_servers_or_two_lists_of_servers() {
        let side = |name: &str, servers: &[&str]| {
            (name.to_string(), servers.iter().map(|s| s.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(sides("[blue, green]"), Ok(vec![side("blue", &["blue"]), side("green", &["green"])]));
        assert_eq!(
            sides("{green: [g1, g2], blue: b1}"),
            Ok(vec![side("green", &["g1", "g2"]), side("blue", &["b1"])])
        );
        assert_eq!(sides("[1, 2]"), Ok(vec![side("1", &["1"]), side("2", &["2"])]));
    }

    #[test]
    fn what_cannot_be_two_sides_is_refused() {
        for (text, why) in [
            ("[blue]", "exactly two sides, found 1"),
            ("[a, b, c]", "exactly two sides, found 3"),
            ("[blue, blue]", "both sides are called blue"),
            ("{blue: [a, b], green: [b]}", "server b is named twice"),
            ("{blue: [a], green: []}", "side green has no server"),
            ("{blue: a}", "exactly two sides, found 1"),
            ("['blue; set weight', green]", "cannot be a name"),
            ("['a:1', green]", "give the side a name of its own"),
            ("blue", "two servers"),
        ] {
            let error = sides(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn options_are_checked_at_their_place() {
        assert!(read("{socket: s, backend: 'a/b', sides: [a, b]}").unwrap_err().contains("haproxy.backend"));
        assert!(read("{socket: s, backend: a, side: [a, b]}").unwrap_err().contains("did you mean `sides`"));
        assert!(read("{socket: s, backend: a}").unwrap_err().contains("`sides` is missing"));
    }
}
