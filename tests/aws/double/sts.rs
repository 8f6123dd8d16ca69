//! STS: who calls, and roles assumed one after the other.

use std::collections::BTreeMap;

use super::{ACCOUNT, Answer, KEY_ID, Request, Response, State, server};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// The long-lived key's user.
pub const USER: &str = "arn:aws:iam::123456789012:user/ci";

/// Keys, roles and tokens that are known.
#[derive(Clone)]
pub struct Sts {
    keys: BTreeMap<String, Key>,
    /// Roles, and who may assume them: a user's ARN or a role's.
    roles: BTreeMap<String, Vec<String>>,
    /// Tokens of the identity provider.
    pub tokens: Vec<String>,
    /// How often a temporary key may sign before it has expired; the next one works again.
    pub calls_per_key: Option<usize>,
    /// The roles behind each temporary key that was given out, the first assumed first.
    pub chains: Vec<Vec<String>>,
}

#[derive(Clone)]
struct Key {
    /// What GetCallerIdentity says.
    arn: String,
    /// The user, or the roles, in the order they were assumed.
    lineage: Vec<String>,
    token: Option<String>,
    calls: usize,
    expired: bool,
}

impl Default for Sts {
    fn default() -> Self {
        let user =
            Key { arn: USER.into(), lineage: vec![USER.into()], token: None, calls: 0, expired: false };
        Sts {
            keys: BTreeMap::from([(KEY_ID.to_string(), user)]),
            roles: BTreeMap::new(),
            tokens: Vec::new(),
            calls_per_key: None,
            chains: Vec::new(),
        }
    }
}

/// Status, code, message.
type Refusal = (u16, &'static str, String);

impl Sts {
    /// Makes a role that these may assume. `web identity` stands for who has a token.
    pub fn role(&mut self, arn: &str, trusted: &[&str]) {
        self.roles.insert(arn.into(), trusted.iter().map(ToString::to_string).collect());
    }

    /// A key of this number that signs for the user is good no more.
    pub fn expire(&mut self, key_id: &str) {
        if let Some(key) = self.keys.get_mut(key_id) {
            key.expired = true;
        }
    }

    /// A further long-lived key of the user.
    pub fn add_key(&mut self, key_id: &str) {
        let user =
            Key { arn: USER.into(), lineage: vec![USER.into()], token: None, calls: 0, expired: false };
        self.keys.insert(key_id.into(), user);
    }

    /// Who is not known may ask nothing, except for credentials with a token.
    pub(super) fn admit(&mut self, request: &Request) -> Result<(), Response> {
        if request.key_id.is_empty() {
            return match request.operation.as_str() {
                "AssumeRoleWithWebIdentity" if request.service == "sts" => Ok(()),
                _ => {
                    let message = "Request is missing Authentication Token";
                    Err(server::error(request, 403, "MissingAuthenticationToken", message))
                }
            };
        }
        let unknown = match request.service.as_str() {
            "s3" => "InvalidAccessKeyId",
            "ecs" | "lambda" | "monitoring" => "UnrecognizedClientException",
            _ => "InvalidClientTokenId",
        };
        let known = self.keys.get_mut(&request.key_id);
        let known = known
            .filter(|key| key.token.as_deref().unwrap_or_default() == request.header("x-amz-security-token"));
        let Some(key) = known else {
            let message = "The security token included in the request is invalid.";
            return Err(server::error(request, 403, unknown, message));
        };
        key.calls += 1;
        let spent = key.token.is_some() && self.calls_per_key.is_some_and(|most| key.calls > most);
        if key.expired || spent {
            return Err(server::expired(request));
        }
        Ok(())
    }

    pub fn answer(&mut self, request: &Request, _others: &mut State) -> Answer {
        let form = request.form();
        let object = form.get("RoleArn").cloned().unwrap_or_default();
        let response = match request.operation.as_str() {
            "GetCallerIdentity" => self.identity(request),
            "AssumeRole" => self.assume(request, &form).unwrap_or_else(refused),
            "AssumeRoleWithWebIdentity" => self.assume_by_token(&form).unwrap_or_else(refused),
            _ => return Answer::unknown(request),
        };
        Answer::new(request, object, response)
    }

    fn identity(&self, request: &Request) -> Response {
        let arn = self.keys.get(&request.key_id).map_or("", |key| key.arn.as_str());
        let result = format!("<Arn>{arn}</Arn><UserId>AIDATIDEGATE</UserId><Account>{ACCOUNT}</Account>");
        server::query_result("GetCallerIdentity", NAMESPACE, &result)
    }

    fn assume(&mut self, request: &Request, form: &BTreeMap<String, String>) -> Result<Response, Refusal> {
        only(form, &["RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId", "Policy"])?;
        let lineage = self.keys.get(&request.key_id).map(|key| key.lineage.clone()).unwrap_or_default();
        let caller = lineage.last().cloned().unwrap_or_default();
        self.give("AssumeRole", form, &caller, lineage)
    }

    fn assume_by_token(&mut self, form: &BTreeMap<String, String>) -> Result<Response, Refusal> {
        only(form, &["RoleArn", "RoleSessionName", "DurationSeconds", "WebIdentityToken", "ProviderId"])?;
        let token = form.get("WebIdentityToken").cloned().unwrap_or_default();
        if !self.tokens.contains(&token) {
            return Err((400, "InvalidIdentityToken", "No OpenIDConnect provider knows this token".into()));
        }
        self.give("AssumeRoleWithWebIdentity", form, "web identity", Vec::new())
    }

    fn give(
        &mut self,
        operation: &str,
        form: &BTreeMap<String, String>,
        caller: &str,
        mut lineage: Vec<String>,
    ) -> Result<Response, Refusal> {
        let missing = |name: &str| {
            (400, "ValidationError", format!("Value null at '{name}' failed to satisfy constraint: not null"))
        };
        let role = form.get("RoleArn").ok_or_else(|| missing("roleArn"))?;
        let session = form.get("RoleSessionName").ok_or_else(|| missing("roleSessionName"))?;
        let good = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !(2..=64).contains(&session.len()) || !session.chars().all(good) {
            return Err((
                400,
                "ValidationError",
                format!("'{session}' at 'roleSessionName' is no session name"),
            ));
        }
        let seconds = form.get("DurationSeconds").map_or(Ok(3600), |text| text.parse::<i64>());
        let chained = lineage.iter().any(|arn| arn.contains(":role/"));
        let most = if chained { 3600 } else { 43_200 };
        let Some(seconds) = seconds.ok().filter(|seconds| (900..=most).contains(seconds)) else {
            return Err((400, "ValidationError", "the duration is out of bounds".into()));
        };
        if !self.roles.get(role).is_some_and(|trusted| trusted.iter().any(|arn| arn == caller)) {
            let message =
                format!("User: {caller} is not authorized to perform: sts:{operation} on resource: {role}");
            return Err((403, "AccessDenied", message));
        }
        lineage.push(role.clone());
        self.chains.push(lineage.iter().filter(|arn| arn.contains(":role/")).cloned().collect());
        let number = self.chains.len();
        let (id, token) = (format!("ASIATIDEGATE{number:08}"), format!("token-{number}"));
        let name = role.rsplit('/').next().unwrap_or_default();
        let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}");
        let until = tidegate::port::Clock::now(&tidegate::port::clock::SystemClock::default())
            + jiff::SignedDuration::from_secs(seconds);
        let result = format!(
            "<Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
             <SessionToken>{token}</SessionToken><Expiration>{until:.0}</Expiration></Credentials>\
             <AssumedRoleUser><AssumedRoleId>AROATIDEGATE:{session}</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>",
            super::SECRET
        );
        self.keys.insert(id, Key { arn, lineage, token: Some(token), calls: 0, expired: false });
        Ok(server::query_result(operation, NAMESPACE, &result))
    }
}

fn refused((status, code, message): Refusal) -> Response {
    server::query_error(status, code, &message)
}

fn only(form: &BTreeMap<String, String>, known: &[&str]) -> Result<(), Refusal> {
    let stranger = form
        .keys()
        .find(|name| !matches!(name.as_str(), "Action" | "Version") && !known.contains(&name.as_str()));
    stranger.map_or(Ok(()), |name| Err((400, "ValidationError", format!("unknown parameter {name}"))))
}
