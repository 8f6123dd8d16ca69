//! `http`: a smoke test of one request.
//!
//! `http: POST /api/login` asks the side's own URL. Secrets stand as references anywhere in `json` and in `headers`; in
//! what is shown of an answer they are blotted out.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    adapter::web::{
        Address, BODY_BYTES_MAX, Expect, HeaderName, HeaderValue, Request, Response, Usual, Verb, Web, shown,
    },
    domain::{
        duration::{Span, spoken},
        template::{fill, words_of},
    },
    port::{
        Command, Context, Fault, Output, Progress, Secret, Task, Treat,
        adapter::{Adapter, CommandAdapter, Environment, Setting},
        excerpt,
    },
};

mod written;

use written::{Body, Json, TextOrSecret};

pub struct Http;

const PROVIDER: &str = "http";
const OPERATION: &str = "smoke-test";
const BODY_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How much of an unexpected answer is shown.
const SHOWN_CHARS_MAX: usize = 300;
/// A shorter secret is not looked for in answers: it would be found in every other word.
const BLOTTED_CHARS_MIN: usize = 4;

/// One request and what its answer must be.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A verb and a path, or a whole URL: `POST /api/login`. Without a verb it is GET.
    request: String,
    /// A body in JSON; `{env: NAME}` and `{file: PATH}` in it are secrets.
    json: Option<Json>,
    /// Any other body: a text, or `{file: PATH}`.
    body: Option<Body>,
    /// Headers; a value may be a secret.
    #[serde(default)]
    headers: BTreeMap<String, TextOrSecret>,
    /// What the answer must be; status 2xx unless it says otherwise.
    #[serde(default)]
    expect: Expect,
    /// The time limit, if it is shorter than the step's.
    within: Option<Span>,
    /// Sent as `Authorization: Bearer`.
    token: Option<Secret>,
}

impl Adapter for Http {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "one HTTP request and what its answer must be";
    const SHORT: Option<&'static str> = Some("request");
    type Config = Config;
}

impl CommandAdapter for Http {
    const SECTIONS: &'static [&'static str] = &["smoke"];

    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Command>, String> {
        let (verb, address) = match config.request.trim().split_once(char::is_whitespace) {
            Some((verb, address)) => (verb, address.trim()),
            None => ("GET", config.request.trim()),
        };
        if !verb.chars().all(|c| c.is_ascii_uppercase()) {
            return Err(format!("`{verb}` is not a verb such as GET or POST"));
        }
        let verb = Verb::from_bytes(verb.as_bytes()).map_err(|_| format!("`{verb}` is not a verb"))?;
        let address = Address::new(address)?;
        if config.json.is_some() && config.body.is_some() {
            return Err("write either `json` or `body`".into());
        }
        for (name, value) in &config.headers {
            HeaderName::try_from(name).map_err(|_| format!("`{name}` cannot be a header's name"))?;
            if let TextOrSecret::Text(text) = value {
                words_of(text)?;
            }
        }
        if let Some(json) = &config.json {
            json.check()?;
        }
        Ok(Box::new(Step {
            verb,
            address,
            config,
            base: setting.base.clone(),
            env: setting.env.clone(),
            web: Web::new(PROVIDER),
        }))
    }
}

struct Step {
    verb: Verb,
    address: Address,
    config: Config,
    base: std::path::PathBuf,
    env: Environment,
    web: Web,
}

#[async_trait]
impl Command for Step {
    async fn run(&self, cx: &Context, task: &Task, _: &dyn Progress) -> Result<Output, Fault> {
        let mut secrets = Secrets { env: &self.env, used: Vec::new() };
        let request = self
            .request(task, &mut secrets)
            .map_err(|why| Fault::permanent(PROVIDER, OPERATION, &task.name, why))?;
        let object = format!("{} {}", self.verb, shown(&request.url));
        let start = cx.clock().elapsed();
        let limit = self.config.within.map_or(cx.left(), Span::get);
        let response = self.web.ask(&cx.within(limit), OPERATION, request, BODY_BYTES_MAX).await?;
        let took = spoken(cx.clock().elapsed().saturating_sub(start));
        match self.config.expect.unmet(Usual::Success, &task.words, &response) {
            None => Ok(Output { answer: None, summary: format!("{} in {took}", response.status) }),
            Some(unmet) => {
                let unmet = secrets.blotted(&unmet);
                let detail = format!("{unmet}; it answered {}{}", response.status, told(&response, &secrets));
                Err(Fault::new(Treat::Permanent, PROVIDER, OPERATION, object, detail))
            }
        }
    }
}

/// The beginning of an answer's body.
fn told(response: &Response, secrets: &Secrets<'_>) -> String {
    match excerpt(&secrets.blotted(&response.text()), SHOWN_CHARS_MAX) {
        body if body.is_empty() => " and nothing more".into(),
        body => format!(": {body}"),
    }
}

impl Step {
    fn request(&self, task: &Task, secrets: &mut Secrets<'_>) -> Result<Request, String> {
        let mut url = self.address.fill(&task.words)?;
        if self.address.is_relative() {
            let base = task
                .base_url
                .as_deref()
                .ok_or("there is no URL to send it to; give the service `url`, or write a whole URL")?;
            url = format!("{}{url}", base.trim_end_matches('/'));
        }
        let mut request = Request { method: self.verb.clone(), ..Request::get(url) };
        if let Some(json) = &self.config.json {
            let filled = json.filled(&task.words, &mut |secret| secrets.resolve(secret))?;
            request.body = Some(filled.to_string().into_bytes());
            request.headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
        match &self.config.body {
            Some(Body::Text(text)) => request.body = Some(text.clone().into_bytes()),
            Some(Body::File(path)) => request.body = Some(self.read(path)?),
            None => {}
        }
        if let Some(token) = &self.config.token {
            request = request.bearer(&secrets.resolve(token)?)?;
        }
        for (name, value) in &self.config.headers {
            let text = match value {
                TextOrSecret::Text(text) => fill(text, &task.words, str::to_string)?,
                TextOrSecret::Secret(secret) => secrets.resolve(secret)?,
            };
            let header = HeaderName::try_from(name).map_err(|e| format!("{name}: {e}"))?;
            let value = HeaderValue::try_from(text).map_err(|_| {
                format!("the value of header {name} holds characters that no header may hold")
            })?;
            request.headers.insert(header, value);
        }
        Ok(request)
    }

    fn read(&self, path: &std::path::Path) -> Result<Vec<u8>, String> {
        let path = self.base.join(path);
        let shown = path.display();
        let size = std::fs::metadata(&path).map_err(|e| format!("{shown}: {e}"))?.len();
        if size > BODY_FILE_BYTES_MAX {
            return Err(format!("{shown} is larger than {BODY_FILE_BYTES_MAX} bytes"));
        }
        std::fs::read(&path).map_err(|e| format!("{shown}: {e}"))
    }
}

/// Resolves secrets and remembers them, to keep them out of what is shown.
struct Secrets<'a> {
    env: &'a Environment,
    used: Vec<String>,
}

impl Secrets<'_> {
    fn resolve(&mut self, secret: &Secret) -> Result<String, String> {
        let value = secret.resolve(&**self.env)?;
        self.used.push(value.clone());
        Ok(value)
    }

    /// The text with every secret that was sent replaced, as it is and as JSON writes it.
    fn blotted(&self, text: &str) -> String {
        let mut blotted = text.to_string();
        for secret in self.used.iter().filter(|secret| secret.chars().count() >= BLOTTED_CHARS_MIN) {
            let escaped = serde_json::Value::from(secret.as_str()).to_string();
            for form in [secret.as_str(), escaped.trim_matches('"')] {
                blotted = blotted.replace(form, "***");
            }
        }
        blotted
    }
}
