//! Lambda: functions, published versions, and aliases with weights.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

use super::{ACCOUNT, Answer, REGION, Request, Response, State, server};

/// A refusal: status, code, message.
type Refusal = (u16, &'static str, String);

#[derive(Clone, Default)]
pub struct Lambda {
    pub functions: BTreeMap<String, Function>,
    /// How many looks an update of the code takes.
    pub update_looks: usize,
    /// The next updates of code fail with this.
    pub update_fails: Option<String>,
    /// How many looks a new version is pending.
    pub pending_looks: usize,
    /// What UpdateAlias answers for these functions: nobody may.
    pub denied: Vec<String>,
    moment: u64,
}

#[derive(Clone)]
pub struct Function {
    pub latest: Config,
    /// By number, beginning with 1.
    pub versions: Vec<Config>,
    pub aliases: BTreeMap<String, Alias>,
    /// Aliases and versions with provisioned concurrency.
    pub provisioned: Vec<String>,
    /// Looks until the update of `$LATEST` is done.
    updating: usize,
    failing: Option<String>,
}

#[derive(Clone)]
pub struct Config {
    pub version: String,
    pub sha256: String,
    pub description: String,
    pub role: String,
    pub dead_letters: Option<String>,
    pub environment: String,
    pub image: bool,
    pub state: &'static str,
    pub last_update: &'static str,
    pub reason: Option<String>,
    pending: usize,
    modified: u64,
    revision: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    pub version: String,
    pub weights: BTreeMap<String, f64>,
    pub description: String,
    pub revision: String,
}

impl Config {
    /// What a published version is the same by.
    fn content(&self) -> (&str, &str, &Option<String>, &str) {
        (&self.sha256, &self.role, &self.dead_letters, &self.environment)
    }
}

impl Lambda {
    /// A function whose code is `code`, published as version 1, which the alias points to.
    pub fn function(&mut self, name: &str, code: &str, alias: &str) {
        self.moment += 1;
        let latest = Config {
            version: "$LATEST".into(),
            sha256: sha256(code.as_bytes()),
            description: String::new(),
            role: format!("arn:aws:iam::{ACCOUNT}:role/jobs"),
            dead_letters: None,
            environment: String::new(),
            image: false,
            state: "Active",
            last_update: "Successful",
            reason: None,
            pending: 0,
            modified: self.moment,
            revision: self.moment,
        };
        let function = Function {
            latest,
            versions: Vec::new(),
            aliases: BTreeMap::new(),
            provisioned: Vec::new(),
            updating: 0,
            failing: None,
        };
        self.functions.insert(name.into(), function);
        self.publish(name, "");
        self.point(name, alias, "1", &[]);
    }

    pub fn get(&mut self, name: &str) -> &mut Function {
        self.functions.get_mut(name).unwrap_or_else(|| panic!("there is no function {name}"))
    }

    /// Somebody sends code and publishes it, by hand.
    pub fn publish_by_hand(&mut self, name: &str, code: &str) -> String {
        self.get(name).latest.sha256 = sha256(code.as_bytes());
        self.publish(name, "")
    }

    /// Somebody changes an alias, by hand.
    pub fn point(&mut self, name: &str, alias: &str, version: &str, weights: &[(&str, f64)]) {
        self.moment += 1;
        let revision = format!("alias-{}", self.moment);
        let weights = weights.iter().map(|(version, weight)| (version.to_string(), *weight)).collect();
        let made = Alias { version: version.into(), weights, description: String::new(), revision };
        self.get(name).aliases.insert(alias.into(), made);
    }

    pub fn alias(&self, name: &str, alias: &str) -> (String, Vec<(String, f64)>) {
        let alias = &self.functions[name].aliases[alias];
        (alias.version.clone(), alias.weights.clone().into_iter().collect())
    }

    fn publish(&mut self, name: &str, description: &str) -> String {
        self.moment += 1;
        let (moment, pending) = (self.moment, self.pending_looks);
        let function = self.get(name);
        if let Some(last) = function.versions.last()
            && last.content() == function.latest.content()
        {
            return last.version.clone();
        }
        let version = (function.versions.len() + 1).to_string();
        let description = match description {
            "" => function.latest.description.clone(),
            text => text.to_string(),
        };
        let published = Config {
            version: version.clone(),
            description,
            state: if pending > 0 { "Pending" } else { "Active" },
            pending,
            modified: moment,
            revision: moment,
            ..function.latest.clone()
        };
        function.versions.push(published);
        // a version more is a new revision of the function
        function.latest.revision = moment;
        version
    }

    pub fn answer(&mut self, request: &Request, others: &mut State) -> Answer {
        let parts: Vec<String> =
            request.path.trim_matches('/').split('/').skip(2).map(String::from).collect();
        let name = parts.first().cloned().unwrap_or_default();
        let object = match parts.get(2) {
            Some(alias) => format!("{name}:{alias}"),
            None => name.clone(),
        };
        let alias = parts.get(2).cloned().unwrap_or_default();
        let result = match request.operation.as_str() {
            "GetAlias" => only(request, &[], &[]).and_then(|_| self.get_alias(&name, &alias)),
            "ListAliases" => self.list_aliases(&name, request),
            "UpdateAlias" => self.update_alias(&name, &alias, request),
            "GetFunctionConfiguration" => self.configuration(&name, request),
            "GetFunction" => self.configuration(&name, request).map(|found| json!({"Configuration": found})),
            "UpdateFunctionCode" => self.update_code(&name, request, others),
            "PublishVersion" => self.publish_version(&name, request),
            "ListVersionsByFunction" => self.list_versions(&name, request),
            "GetProvisionedConcurrencyConfig" => self.provisioned(&name, request),
            _ => return Answer::unknown(request),
        };
        let created = request.operation == "PublishVersion";
        let response = match result {
            Ok(value) => answered(if created { 201 } else { 200 }, &value),
            Err((status, code, message)) => server::rest_json_error(status, code, &message),
        };
        Answer::new(request, object, response)
    }

    fn known(&mut self, name: &str) -> Result<&mut Function, Refusal> {
        let message = format!("Function not found: {}", arn(name));
        self.functions.get_mut(name).ok_or((404, "ResourceNotFoundException", message))
    }

    fn get_alias(&mut self, name: &str, alias: &str) -> Result<Value, Refusal> {
        let function = self.known(name)?;
        let found = function.aliases.get(alias).ok_or_else(|| no_alias(name, alias))?;
        Ok(shown(name, alias, found))
    }

    fn list_aliases(&mut self, name: &str, request: &Request) -> Result<Value, Refusal> {
        only(request, &["FunctionVersion", "Marker", "MaxItems"], &[])?;
        let function = self.known(name)?;
        let all: Vec<Value> = function.aliases.iter().map(|(alias, a)| shown(name, alias, a)).collect();
        Ok(json!({ "Aliases": all }))
    }

    fn update_alias(&mut self, name: &str, alias: &str, request: &Request) -> Result<Value, Refusal> {
        let body = only(request, &[], &["Description", "FunctionVersion", "RevisionId", "RoutingConfig"])?;
        if self.denied.iter().any(|denied| denied == name) {
            let message =
                format!("User is not authorized to perform: lambda:UpdateAlias on resource: {}", arn(name));
            return Err((403, "AccessDeniedException", message));
        }
        self.moment += 1;
        let moment = self.moment;
        let function = self.known(name)?;
        let old = function.aliases.get(alias).ok_or_else(|| no_alias(name, alias))?.clone();
        if let Some(revision) = body.get("RevisionId")
            && revision.as_str() != Some(&old.revision)
        {
            let message = "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/\
                           GetAlias API to retrieve the latest Revision Id";
            return Err((412, "PreconditionFailedException", message.into()));
        }
        let mut new = old;
        if let Some(version) = text(&body, "FunctionVersion")? {
            new.version = version;
        }
        if let Some(description) = text(&body, "Description")? {
            new.description = description;
        }
        if let Some(routing) = body.get("RoutingConfig") {
            let routing = routing.as_object().ok_or_else(|| invalid("RoutingConfig is no structure"))?;
            if let Some(key) = routing.keys().find(|key| *key != "AdditionalVersionWeights") {
                return Err(invalid(&format!("unknown member {key}")));
            }
            let weights = routing.get("AdditionalVersionWeights").and_then(Value::as_object);
            new.weights = weights
                .into_iter()
                .flatten()
                .map(|(version, weight)| {
                    Ok((version.clone(), weight.as_f64().ok_or_else(|| invalid("weight"))?))
                })
                .collect::<Result<_, Refusal>>()?;
        }
        function.routable(name, alias, &new)?;
        new.revision = format!("alias-{moment}");
        function.aliases.insert(alias.into(), new.clone());
        Ok(shown(name, alias, &new))
    }

    fn configuration(&mut self, name: &str, request: &Request) -> Result<Value, Refusal> {
        only(request, &["Qualifier"], &[])?;
        let qualifier = request.query.get("Qualifier").cloned().unwrap_or_else(|| "$LATEST".into());
        self.moment += 1;
        let moment = self.moment;
        let function = self.known(name)?;
        if qualifier == "$LATEST" {
            if function.updating > 0 {
                function.updating -= 1;
                if function.updating == 0 {
                    function.settle(moment);
                }
            }
            return Ok(described(name, &function.latest));
        }
        let number = match function.aliases.get(&qualifier) {
            Some(alias) => alias.version.clone(),
            None => qualifier.clone(),
        };
        let found = function.versions.iter_mut().find(|version| version.version == number);
        let message = format!("Function not found: {}:{qualifier}", arn(name));
        let found = found.ok_or((404, "ResourceNotFoundException", message))?;
        let shown = described(name, found);
        if found.state == "Pending" {
            found.pending -= 1;
            if found.pending == 0 {
                found.state = "Active";
            }
        }
        Ok(shown)
    }

    fn update_code(&mut self, name: &str, request: &Request, others: &mut State) -> Result<Value, Refusal> {
        let members = [
            "ZipFile",
            "S3Bucket",
            "S3Key",
            "S3ObjectVersion",
            "ImageUri",
            "Publish",
            "DryRun",
            "RevisionId",
        ];
        let body = only(request, &[], &members)?;
        let (looks, fails) = (self.update_looks, self.update_fails.clone());
        self.moment += 1;
        let moment = self.moment;
        let function = self.known(name)?;
        if function.updating > 0 {
            return Err(under_way(name));
        }
        function.same_revision(&body)?;
        let zip = text(&body, "ZipFile")?;
        let object = text(&body, "S3Bucket")?.zip(text(&body, "S3Key")?);
        let image = text(&body, "ImageUri")?;
        let sha = match (zip, object, image) {
            (Some(_), None, None) | (None, Some(_), None) if function.latest.image => {
                return Err(invalid(
                    "Please don't provide ZipFile or S3Bucket when updating a function with packageType Image.",
                ));
            }
            (Some(zip), None, None) => {
                let bytes =
                    aws_smithy_types::base64::decode(zip).map_err(|_| invalid("ZipFile is no base64"))?;
                if bytes.is_empty() {
                    return Err(invalid("Uploaded file must be a non-empty zip"));
                }
                sha256(&bytes)
            }
            (None, Some((bucket, key)), None) => {
                let _ = others;
                sha256(format!("{bucket}/{key}").as_bytes())
            }
            (None, None, Some(_)) if !function.latest.image => {
                return Err(invalid(
                    "Please don't provide ImageUri when updating a function with packageType Zip.",
                ));
            }
            (None, None, Some(image)) => sha256(image.as_bytes()),
            _ => return Err(invalid("exactly one source of code is required")),
        };
        let latest = &mut function.latest;
        latest.sha256 = sha;
        latest.modified = moment;
        latest.revision = moment;
        latest.last_update = "InProgress";
        latest.reason = None;
        function.failing = fails;
        function.updating = looks;
        let shown = described(name, &function.latest);
        if looks == 0 {
            function.settle(moment);
        }
        Ok(shown)
    }

    fn publish_version(&mut self, name: &str, request: &Request) -> Result<Value, Refusal> {
        let body = only(request, &[], &["CodeSha256", "Description", "RevisionId"])?;
        let function = self.known(name)?;
        if function.updating > 0 {
            return Err(under_way(name));
        }
        function.same_revision(&body)?;
        if let Some(sha) = text(&body, "CodeSha256")?
            && sha != function.latest.sha256
        {
            let message = format!("CodeSHA256 ({sha}) is different from current CodeSHA256 in $LATEST");
            return Err(invalid(&message));
        }
        let description = text(&body, "Description")?.unwrap_or_default();
        if description.chars().count() > 256 {
            return Err(invalid("Description is longer than 256"));
        }
        let number = self.publish(name, &description);
        let function = self.known(name)?;
        let published = function.versions.iter().find(|version| version.version == number);
        Ok(published.map_or(Value::Null, |version| described(name, version)))
    }

    fn list_versions(&mut self, name: &str, request: &Request) -> Result<Value, Refusal> {
        only(request, &["Marker", "MaxItems"], &[])?;
        let function = self.known(name)?;
        let all: Vec<Value> = std::iter::once(&function.latest)
            .chain(&function.versions)
            .map(|version| described(name, version))
            .collect();
        Ok(json!({ "Versions": all }))
    }

    fn provisioned(&mut self, name: &str, request: &Request) -> Result<Value, Refusal> {
        only(request, &["Qualifier"], &[])?;
        let qualifier =
            request.query.get("Qualifier").cloned().ok_or_else(|| invalid("Qualifier is missing"))?;
        let function = self.known(name)?;
        if !function.provisioned.contains(&qualifier) {
            let message = "No Provisioned Concurrency Config found for this function".to_string();
            return Err((404, "ProvisionedConcurrencyConfigNotFoundException", message));
        }
        Ok(json!({"RequestedProvisionedConcurrentExecutions": 5, "Status": "READY"}))
    }
}

impl Function {
    fn settle(&mut self, moment: u64) {
        self.latest.revision = moment;
        self.latest.reason = self.failing.take();
        self.latest.last_update = if self.latest.reason.is_some() { "Failed" } else { "Successful" };
    }

    fn same_revision(&self, body: &Value) -> Result<(), Refusal> {
        match body.get("RevisionId") {
            Some(revision) if revision.as_str() != Some(&format!("r-{}", self.latest.revision)) => {
                let message = "The Revision Id provided does not match the latest Revision Id.";
                Err((412, "PreconditionFailedException", message.into()))
            }
            _ => Ok(()),
        }
    }

    /// What AWS demands of an alias with weights.
    fn routable(&self, name: &str, alias: &str, new: &Alias) -> Result<(), Refusal> {
        let find = |number: &str| {
            let found = self.versions.iter().find(|version| version.version == number);
            let message = format!("Function not found: {}:{number}", arn(name));
            found.ok_or((404, "ResourceNotFoundException", message))
        };
        if new.weights.is_empty() {
            return if new.version == "$LATEST" { Ok(()) } else { find(&new.version).map(|_| ()) };
        }
        if new.version == "$LATEST" {
            return Err(invalid("$LATEST is not supported for an alias pointing to more than 1 version"));
        }
        if new.weights.len() > 1 {
            return Err(invalid("Number of items in AdditionalVersionWeights cannot be greater than 1"));
        }
        let primary = find(&new.version)?;
        for (version, weight) in &new.weights {
            if !(0.0..=1.0).contains(weight) {
                return Err(invalid(&format!("{weight} failed to satisfy constraint: between 0 and 1")));
            }
            if *version == new.version {
                let message = format!(
                    "Invalid function version {version}. Function version {version} is already included in routing configuration."
                );
                return Err(invalid(&message));
            }
            let other = find(version)?;
            if other.role != primary.role || other.dead_letters != primary.dead_letters {
                return Err(invalid(
                    "The versions of an alias must have the same execution role and dead-letter configuration",
                ));
            }
        }
        if self.provisioned.iter().any(|qualifier| qualifier == alias) {
            return Err(invalid("Alias with weights can not be used with Provisioned Concurrency"));
        }
        Ok(())
    }
}

/// The members of a request, all of them known.
fn only(request: &Request, query: &[&str], members: &[&str]) -> Result<Value, Refusal> {
    if let Some(stranger) = request.query.keys().find(|key| !query.contains(&key.as_str())) {
        return Err(invalid(&format!("unknown parameter {stranger}")));
    }
    let body = request.json();
    let Some(object) = body.as_object() else {
        return Err((400, "InvalidRequestContentException", "Could not parse request body into json".into()));
    };
    match object.keys().find(|key| !members.contains(&key.as_str())) {
        Some(stranger) => Err(invalid(&format!("unknown member {stranger}"))),
        None => Ok(body),
    }
}

fn text(body: &Value, member: &str) -> Result<Option<String>, Refusal> {
    match body.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(&format!("{member} is no text"))),
    }
}

fn invalid(message: &str) -> Refusal {
    (400, "InvalidParameterValueException", message.into())
}

fn under_way(name: &str) -> Refusal {
    let message = format!(
        "The operation cannot be performed at this time. An update is in progress for resource: {}",
        arn(name)
    );
    (409, "ResourceConflictException", message)
}

fn no_alias(name: &str, alias: &str) -> Refusal {
    (404, "ResourceNotFoundException", format!("Cannot find alias arn: {}:{alias}", arn(name)))
}

fn arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}

fn sha256(bytes: &[u8]) -> String {
    aws_smithy_types::base64::encode(Sha256::digest(bytes))
}

fn shown(name: &str, alias: &str, found: &Alias) -> Value {
    let mut shown = json!({
        "AliasArn": format!("{}:{alias}", arn(name)),
        "Name": alias,
        "FunctionVersion": found.version,
        "Description": found.description,
        "RevisionId": found.revision,
    });
    if !found.weights.is_empty() {
        shown["RoutingConfig"] = json!({"AdditionalVersionWeights": found.weights});
    }
    shown
}

fn described(name: &str, config: &Config) -> Value {
    let mut shown = json!({
        "FunctionName": name,
        "FunctionArn": format!("{}:{}", arn(name), config.version),
        "Role": config.role,
        "Description": config.description,
        "LastModified": format!("2026-01-{:02}T00:{:02}:{:02}.000+0000", 1 + config.modified / 3600, config.modified / 60 % 60, config.modified % 60),
        "CodeSha256": config.sha256,
        "Version": config.version,
        "RevisionId": format!("r-{}", config.revision),
        "State": config.state,
        "LastUpdateStatus": config.last_update,
        "PackageType": if config.image { "Image" } else { "Zip" },
    });
    if let Some(target) = &config.dead_letters {
        shown["DeadLetterConfig"] = json!({ "TargetArn": target });
    }
    if let Some(reason) = &config.reason {
        shown["LastUpdateStatusReason"] = json!(reason);
    }
    if config.state == "Pending" {
        shown["StateReason"] = json!("The function is being created.");
    }
    shown
}

fn answered(status: u16, value: &Value) -> Response {
    server::json(status, value)
}
