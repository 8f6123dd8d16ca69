//! Exchanges against GitHub's own OpenAPI description (3.0).

use boon::{Compiler, Schemas};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};

use crate::{api::decoded, wire::Message};

const ROOT: &str = "https://github.test/openapi.json";
/// Any endpoint may answer so, and few say it.
const ANYWHERE: [u16; 9] = [304, 401, 403, 404, 409, 422, 429, 500, 502];

/// The description, with a validator for each schema that was needed.
pub struct OpenApi {
    whole: Value,
    compiler: Compiler,
    schemas: Schemas,
    known: HashMap<String, boon::SchemaIndex>,
}

/// A path of the description and what its variables stand for.
struct Route {
    template: String,
    variables: BTreeMap<String, String>,
}

impl OpenApi {
    pub fn load() -> OpenApi {
        let file = std::env::var("TIDEGATE_TEST_OPENAPI")
            .expect("TIDEGATE_TEST_OPENAPI names GitHub's OpenAPI description: run scripts/test");
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let mut whole: Value = serde_json::from_str(&text).unwrap();
        without_nullable(&mut whole);
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource(ROOT, whole.clone()).unwrap();
        OpenApi { whole, compiler, schemas: Schemas::new(), known: HashMap::new() }
    }

    /// What is wrong with an exchange.
    pub fn faults(&mut self, request: &Message, answer: &Message) -> Vec<String> {
        let [method, target, _] = &request.first;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method = method.to_lowercase();
        let Some(route) = self.route(path, &method) else {
            return vec![format!("{method} {path} is not in GitHub's description")];
        };
        let pointer = format!("/paths/{}/{method}", escaped(&route.template));
        let mut faults = self.parameters(&pointer, &route, query);
        faults.extend(self.request_body(&pointer, request));
        faults.extend(self.answer(&pointer, answer));
        faults.into_iter().map(|fault| format!("{method} {path}: {fault}")).collect()
    }

    fn at(&self, pointer: &str) -> Option<&Value> {
        self.whole.pointer(pointer)
    }

    /// The thing at `pointer`, its reference followed, and where that is.
    fn resolved(&self, pointer: &str) -> Option<(String, &Value)> {
        let here = self.at(pointer)?;
        match here.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#')) {
            Some(there) => Some((there.to_string(), self.at(there)?)),
            None => Some((pointer.to_string(), here)),
        }
    }

    /// The path with the most fixed parts that fits. GitHub's `ref`s have slashes in them.
    fn route(&self, path: &str, method: &str) -> Option<Route> {
        let paths = self.whole["paths"].as_object()?;
        let fits = paths.iter().filter(|(_, item)| item.get(method).is_some()).filter_map(|(template, _)| {
            let (mut variables, mut fixed) = (BTreeMap::new(), 0);
            let mut rest = path.trim_start_matches('/');
            let wanted: Vec<&str> = template.trim_start_matches('/').split('/').collect();
            for (index, part) in wanted.iter().enumerate() {
                let last = index + 1 == wanted.len();
                let (value, after) = match rest.split_once('/') {
                    Some(_) if last && *part == "{ref}" => (rest, ""),
                    Some((value, after)) => (value, after),
                    None => (rest, ""),
                };
                match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                    Some(name) if !value.is_empty() => drop(variables.insert(name.into(), decoded(value))),
                    None if *part == value => fixed += 1,
                    _ => return None,
                }
                rest = after;
                if rest.is_empty() && !last {
                    return None;
                }
            }
            rest.is_empty().then(|| (fixed, Route { template: template.clone(), variables }))
        });
        fits.max_by_key(|(fixed, _)| *fixed).map(|(_, route)| route)
    }

    fn parameters(&mut self, pointer: &str, route: &Route, query: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let mut given: BTreeMap<String, String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        let count = self.at(&format!("{pointer}/parameters")).and_then(Value::as_array).map_or(0, Vec::len);
        for index in 0..count {
            let (place, parameter) = self.resolved(&format!("{pointer}/parameters/{index}")).unwrap();
            let name = parameter["name"].as_str().unwrap().to_string();
            let required = parameter["required"] == json!(true);
            let text = match parameter["in"].as_str().unwrap() {
                "path" => route.variables.get(&name).cloned(),
                "query" => given.remove(&name),
                _ => continue,
            };
            match text {
                None if required => faults.push(format!("`{name}` is missing")),
                None => {}
                Some(text) => {
                    let place = format!("{place}/schema");
                    let kind = self.resolved(&place).map(|(_, schema)| schema["type"].clone());
                    let value = match kind.as_ref().and_then(Value::as_str) {
                        Some("integer" | "number" | "boolean") => {
                            serde_json::from_str(&text).unwrap_or(json!(text))
                        }
                        _ => json!(text),
                    };
                    faults.extend(self.against(&place, &value).map(|why| format!("`{name}`: {why}")));
                }
            }
        }
        faults.extend(given.keys().map(|name| format!("there is no parameter `{name}`")));
        faults
    }

    fn request_body(&mut self, pointer: &str, request: &Message) -> Vec<String> {
        let described = self.resolved(&format!("{pointer}/requestBody")).map(|(place, _)| place);
        let Some(place) = described else {
            return match request.body.is_empty() {
                true => Vec::new(),
                false => vec!["it takes no body".into()],
            };
        };
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
            return vec!["the body is not JSON".into()];
        };
        let mut faults = Vec::new();
        if request.header("content-type") != Some("application/json") {
            faults.push(format!("the body is {:?}", request.header("content-type")));
        }
        let place = format!("{place}/content/application~1json/schema");
        faults.extend(self.against(&place, &body));
        // GitHub passes over what it does not know; we would not notice a slip of the hand
        if let (Some(known), Some(fields)) = (self.at(&format!("{place}/properties")), body.as_object()) {
            let unknown = fields.keys().filter(|name| known.get(name.as_str()).is_none());
            faults.extend(unknown.map(|name| format!("the body has no `{name}`")));
        }
        faults
    }

    fn answer(&mut self, pointer: &str, answer: &Message) -> Vec<String> {
        let status = answer.status();
        let place = self.resolved(&format!("{pointer}/responses/{status}")).map(|(place, _)| place);
        let described = place.map(|place| format!("{place}/content/application~1json/schema"));
        let schema = match described {
            Some(place) if self.at(&place).is_some() => Some(place),
            Some(_) => None,
            None if ANYWHERE.contains(&status) => Some("/components/schemas/basic-error".into()),
            None => return vec![format!("GitHub does not answer {status}")],
        };
        let Some(schema) = schema.filter(|_| status != 304) else { return Vec::new() };
        match serde_json::from_slice::<Value>(&answer.body) {
            Ok(body) => self
                .against(&schema, &body)
                .map(|why| format!("answer {status}: {why}"))
                .into_iter()
                .collect(),
            Err(e) => vec![format!("answer {status} is not JSON: {e}")],
        }
    }

    /// Why a value does not fit a schema.
    fn against(&mut self, pointer: &str, value: &Value) -> Option<String> {
        let index = match self.known.get(pointer) {
            Some(index) => *index,
            None => {
                let place = format!("{ROOT}#{}", pointer.replace('{', "%7B").replace('}', "%7D"));
                let index = self
                    .compiler
                    .compile(&place, &mut self.schemas)
                    .unwrap_or_else(|e| panic!("{pointer}: {e:#}"));
                self.known.insert(pointer.into(), index);
                index
            }
        };
        self.schemas.validate(value, index).err().map(|e| e.to_string())
    }

    /// The example that the description has of an answer.
    pub fn example(&self, template: &str, method: &str, status: u16) -> Value {
        let pointer = format!(
            "/paths/{}/{method}/responses/{status}/content/application~1json/examples",
            escaped(template)
        );
        let examples = self.at(&pointer).and_then(Value::as_object).unwrap();
        let first = examples.keys().next().unwrap();
        self.resolved(&format!("{pointer}/{}", escaped(first))).unwrap().1["value"].clone()
    }
}

fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

/// OpenAPI 3.0 says `nullable: true` where JSON Schema has a type of its own; and `$ref` with anything beside
/// it stands alone.
fn without_nullable(node: &mut Value) {
    match node {
        Value::Array(items) => items.iter_mut().for_each(without_nullable),
        Value::Object(fields) => {
            fields.values_mut().for_each(without_nullable);
            fields.remove("example");
            if fields.get("$ref").is_some_and(Value::is_string) {
                fields.retain(|key, _| key == "$ref");
            }
            if fields.remove("nullable") == Some(Value::Bool(true)) {
                let other: Map<String, Value> = std::mem::take(fields);
                fields.insert("anyOf".into(), json!([{"type": "null"}, other]));
            }
        }
        _ => {}
    }
}
