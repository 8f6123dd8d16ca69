//! Task definitions: read once, made from another one with a new image, or from a file.

use aws_sdk_ecs::{
    Client,
    types::{Tag, TaskDefinition, TaskDefinitionField, TaskDefinitionStatus},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::AfterDeserializationInterceptorContextRef},
        orchestrator::HttpRequest,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Cluster, ECS, revision_of, tags};
use crate::{
    adapter::aws::{Intent, PROVIDER, call},
    port::{Context, Fault, Treat},
};

/// ECS refuses larger ones (64 KiB).
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What `describe-task-definition` shows and `register-task-definition` refuses.
const READ_ONLY: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// A task definition and its tags. A revision never changes.
pub struct Described {
    pub definition: TaskDefinition,
    pub tags: Vec<Tag>,
    /// As the answer had it, with what this SDK does not know.
    whole: Value,
}

/// Those that were read already.
#[derive(Default)]
pub struct Definitions(Mutex<HashMap<String, Arc<Described>>>);

/// A container, as far as the choice of one needs it.
struct Brief<'a> {
    name: &'a str,
    image: &'a str,
    essential: bool,
}

/// Which container gets the image.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// The one that the file names.
    pub named: Option<&'a str>,
    /// The one that the service's load balancer sends requests to.
    pub balanced: Option<&'a str>,
}

/// A task definition that is to be registered.
pub struct Wanted {
    /// What `aws ecs register-task-definition --cli-input-json` takes, without tags.
    value: Value,
    /// What it is made from.
    source: String,
    /// What its image says it is.
    pub version: String,
    tags: Vec<Tag>,
    /// For messages.
    about: String,
}

impl Wanted {
    /// The same for the same release gives the same task definition. Another release gets one of its own:
    /// its image may have the old name and be another one.
    pub fn recipe(&self, release: &str) -> String {
        digest(&[&self.source, release])
    }
}

impl Described {
    pub fn arn(&self) -> &str {
        self.definition.task_definition_arn().unwrap_or_default()
    }

    pub fn is_active(&self) -> bool {
        self.definition.status() != Some(&TaskDefinitionStatus::Inactive)
    }

    pub fn recipe(&self) -> Option<&str> {
        tags::value(&self.tags, tags::RECIPE)
    }

    fn briefs(&self) -> Vec<Brief<'_>> {
        let containers = self.definition.container_definitions().iter();
        containers
            .map(|c| Brief {
                name: c.name().unwrap_or_default(),
                image: c.image().unwrap_or_default(),
                essential: c.essential().unwrap_or(true),
            })
            .collect()
    }

    /// The version of the container that is released.
    pub fn version(&self, choice: Choice<'_>) -> Option<String> {
        let briefs = self.briefs();
        choose(choice, &briefs).ok().map(|at| version_of(briefs[at].image).to_string())
    }

    /// The same with another image.
    pub fn with_image(&self, choice: Choice<'_>, image: &str) -> Result<Wanted, String> {
        let about = revision_of(self.arn()).to_string();
        let at = choose(choice, &self.briefs()).map_err(|why| format!("task definition {about}: {why}"))?;
        let mut value = self.whole.clone();
        let fields = value.as_object_mut().ok_or(format!("task definition {about} could not be read"))?;
        fields.retain(|key, value| !READ_ONLY.contains(&key.as_str()) && !value.is_null());
        let containers = fields.get_mut("containerDefinitions").and_then(Value::as_array_mut);
        let container = containers.and_then(|all| all.get_mut(at)).and_then(Value::as_object_mut);
        let container = container.ok_or(format!("task definition {about} could not be read"))?;
        container.insert("image".into(), Value::String(image.to_string()));
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        let source = digest(&[self.arn(), name, image]);
        // `aws:` tags are not ours to set
        let foreign =
            |tag: &&Tag| tag.key().is_some_and(|k| !k.starts_with(tags::OURS) && !k.starts_with("aws:"));
        Ok(Wanted {
            value,
            source,
            version: version_of(image).to_string(),
            tags: self.tags.iter().filter(foreign).cloned().collect(),
            about,
        })
    }
}

/// Reads what `aws ecs register-task-definition --cli-input-json` takes, and puts the image in.
pub async fn from_file(path: &Path, choice: Choice<'_>, image: Option<&str>) -> Result<Wanted, String> {
    let about = path.display().to_string();
    let size = tokio::fs::metadata(path).await.map_err(|e| format!("{about}: {e}"))?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("{about} is larger than a task definition can be"));
    }
    let text = tokio::fs::read_to_string(path).await.map_err(|e| format!("{about}: {e}"))?;
    let mut value: Value = serde_json::from_str(&text).map_err(|e| format!("{about}: {e}"))?;
    if let Some(inner) = value.get_mut("taskDefinition").filter(|inner| inner.is_object()) {
        value = inner.take();
    }
    let Some(fields) = value.as_object_mut() else { return Err(format!("{about} is no JSON object")) };
    fields.retain(|key, _| !READ_ONLY.contains(&key.as_str()));
    if !fields.get("family").is_some_and(Value::is_string) {
        return Err(format!("{about} has no `family`"));
    }
    let own = fields.remove("tags").and_then(|tags| tags.as_array().cloned()).unwrap_or_default();
    let Some(containers) = fields.get_mut("containerDefinitions").and_then(Value::as_array_mut) else {
        return Err(format!("{about} has no `containerDefinitions`"));
    };
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let named: Vec<_> = containers
        .iter()
        .map(|c| (text(c, "name"), text(c, "image"), c.get("essential") != Some(&Value::Bool(false))))
        .collect();
    let briefs: Vec<_> =
        named.iter().map(|(name, image, essential)| Brief { name, image, essential: *essential }).collect();
    let at = choose(choice, &briefs).map_err(|why| format!("{about}: {why}"))?;
    let image = image.unwrap_or(briefs[at].image).to_string();
    if let Some(container) = containers.get_mut(at).and_then(Value::as_object_mut) {
        container.insert("image".into(), Value::String(image.clone()));
    }
    let foreign =
        own.iter().map(|tag| Tag::builder().key(text(tag, "key")).value(text(tag, "value")).build());
    Ok(Wanted {
        source: digest(&[&value.to_string()]),
        version: version_of(&image).to_string(),
        tags: foreign.collect(),
        value,
        about,
    })
}

impl Cluster {
    /// A task definition by its ARN, or `FAMILY:REVISION`.
    pub async fn definition(&self, cx: &Context, name: &str) -> Result<Arc<Described>, Fault> {
        let held = || self.definitions.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held().get(revision_of(name)) {
            return Ok(known.clone());
        }
        let object = format!("task definition {}", revision_of(name));
        let intent = Intent::read(ECS, "DescribeTaskDefinition", &object);
        let heard = Heard::default();
        let answer = call(&self.aws, cx, &intent, |config| {
            let ask = Client::new(&config).describe_task_definition().task_definition(name);
            ask.include(TaskDefinitionField::Tags).customize().interceptor(heard.clone()).send()
        })
        .await?;
        let Some(definition) = answer.task_definition else {
            return Err(Fault::permanent(
                PROVIDER,
                "ecs:DescribeTaskDefinition",
                object,
                "the answer is empty",
            ));
        };
        let (tags, whole) = (answer.tags.unwrap_or_default(), heard.definition());
        let described = Arc::new(Described { definition, tags, whole });
        held().insert(revision_of(described.arn()).to_string(), described.clone());
        Ok(described)
    }

    /// Registers it, marked so that a later run knows it, and says so in `done`; returns its ARN. Where an
    /// earlier run registered it and did not get to know, it is there already.
    pub async fn register(
        &self,
        cx: &Context,
        wanted: &Wanted,
        release: &str,
        done: &mut Vec<String>,
    ) -> Result<String, Fault> {
        let recipe = wanted.recipe(release);
        let family = wanted.value.get("family").and_then(Value::as_str).unwrap_or_default();
        match self.definition(cx, family).await {
            Ok(newest) if newest.is_active() && newest.recipe() == Some(&recipe) => {
                return Ok(newest.arn().to_string());
            }
            Err(fault) if fault.treat != Treat::Permanent => return Err(fault),
            // another one, or the first of its family
            Ok(_) | Err(_) => {}
        }
        let mut tags = wanted.tags.clone();
        tags.push(tags::tag(tags::RECIPE, &recipe));
        tags.push(tags::tag(tags::RELEASE, release));
        let object = format!("task definition from {}", wanted.about);
        let intent = Intent::write(ECS, "RegisterTaskDefinition", &object);
        let body: Arc<str> = with_tags(&wanted.value, &tags).to_string().into();
        // fields that this SDK does not know are sent all the same
        let answer = call(&self.aws, cx, &intent, |config| {
            let body = body.clone();
            let ask = Client::new(&config).register_task_definition().family(family);
            let ask = ask.set_container_definitions(Some(Vec::new()));
            ask.customize().mutate_request(move |request| replace_body(request, &body)).send()
        })
        .await?;
        let arn = answer.task_definition.and_then(|d| d.task_definition_arn).ok_or_else(|| {
            let detail = "the answer names no task definition";
            Fault::outcome_unknown(PROVIDER, "ecs:RegisterTaskDefinition", object, detail)
        })?;
        done.push(format!("task definition {} registered", revision_of(&arn)));
        Ok(arn)
    }
}

/// Keeps an answer as it came.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Value>>);

impl Heard {
    fn definition(&self) -> Value {
        let mut answer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answer.get_mut("taskDefinition").map(Value::take).unwrap_or_default()
    }
}

impl Intercept for Heard {
    fn name(&self) -> &'static str {
        "Heard"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        // what is no JSON the SDK tells of
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            serde_json::from_slice(body).unwrap_or_default();
        Ok(())
    }
}

fn with_tags(value: &Value, tags: &[Tag]) -> Value {
    let mut value = value.clone();
    value["tags"] = tags.iter().map(|tag| json!({"key": tag.key(), "value": tag.value()})).collect();
    value
}

fn replace_body(request: &mut HttpRequest, body: &str) {
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body.to_string());
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The container that is released: the one that is named, the only one, the only essential one, or the one
/// behind the load balancer.
fn choose(choice: Choice<'_>, containers: &[Brief<'_>]) -> Result<usize, String> {
    let names = || containers.iter().map(|c| c.name).collect::<Vec<_>>().join(", ");
    let position = |name: &str| containers.iter().position(|c| c.name == name);
    if let Some(name) = choice.named {
        return position(name).ok_or_else(|| format!("there is no container {name}; known: {}", names()));
    }
    let mut essential = containers.iter().enumerate().filter(|(_, c)| c.essential || containers.len() == 1);
    if let (Some((at, _)), None) = (essential.next(), essential.next()) {
        return Ok(at);
    }
    choice.balanced.and_then(position).ok_or_else(|| {
        format!(
            "which of its containers gets the image cannot be told: say `container:` (one of {})",
            names()
        )
    })
}

/// The tag of an image, else its digest, else `latest`.
fn version_of(image: &str) -> &str {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) => tag,
        None => digest.unwrap_or("latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_tag_of_the_image_or_its_digest() {
        for (image, version) in [
            ("nginx", "latest"),
            ("registry:5000/shop/api", "latest"),
            ("1234.dkr.ecr.eu-west-1.amazonaws.com/shop/api:v1.2.3", "v1.2.3"),
            ("api@sha256:abc", "sha256:abc"),
            ("registry:5000/api:v2@sha256:abc", "v2"),
        ] {
            assert_eq!(version_of(image), version, "{image}");
        }
    }

    #[test]
    fn the_container_that_is_released_is_named_or_there_is_no_doubt() {
        let brief = |name, essential| Brief { name, image: "", essential };
        let of = |named, balanced, list: &[(&'static str, bool)]| {
            let briefs: Vec<_> = list.iter().map(|&(name, essential)| brief(name, essential)).collect();
            choose(Choice { named, balanced }, &briefs).map(|at| briefs[at].name)
        };
        assert_eq!(of(None, None, &[("api", false)]), Ok("api"));
        assert_eq!(of(None, None, &[("log", false), ("api", true)]), Ok("api"));
        assert_eq!(of(Some("log"), None, &[("log", false), ("api", true)]), Ok("log"));
        assert_eq!(of(None, Some("api"), &[("log", true), ("api", true)]), Ok("api"));
        let doubt = of(None, None, &[("log", true), ("api", true)]).unwrap_err();
        assert!(doubt.contains("say `container:` (one of log, api)"), "{doubt}");
        let unknown = of(Some("apy"), None, &[("api", true)]).unwrap_err();
        assert!(unknown.contains("no container apy; known: api"), "{unknown}");
    }
}
