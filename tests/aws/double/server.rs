//! Requests and answers of AWS's wire protocols, and the words that name an operation.

use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

use super::{Shared, names};
use crate::wire::{self, Connection, Message};

/// A signed request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The signing name of the credential scope: `ecs`, `elasticloadbalancing`, `monitoring`.
    pub service: String,
    pub operation: String,
    pub method: String,
    /// Decoded; of S3 always `/bucket/key`.
    pub path: String,
    /// Decoded.
    pub query: BTreeMap<String, String>,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// The access key that signed; empty if nobody did.
    pub key_id: String,
    pub region: String,
}

impl Request {
    /// Tells what a message asks for. Nothing is checked here.
    pub fn of(message: &Message) -> Self {
        let (path, query) = message.first[1].split_once('?').unwrap_or((&message.first[1], ""));
        let headers: BTreeMap<String, String> = message.headers.iter().cloned().collect();
        let mut request = Request {
            method: message.first[0].clone(),
            path: decoded(path, false),
            query: pairs(query),
            headers,
            body: message.body.clone(),
            ..Request::default()
        };
        if request.header("x-amz-content-sha256").starts_with("STREAMING-")
            && let Ok(plain) = wire::unchunked(&request.body)
        {
            request.body = plain;
        }
        // AWS4-HMAC-SHA256 Credential=KEY/20260101/eu-west-1/ecs/aws4_request, SignedHeaders=…, Signature=…
        let authorization = request.header("authorization").to_string();
        let scope = authorization
            .strip_prefix("AWS4-HMAC-SHA256 Credential=")
            .filter(|rest| rest.contains("SignedHeaders=") && rest.contains("Signature="))
            .and_then(|rest| rest.split(',').next())
            .map(|scope| scope.split('/').collect::<Vec<_>>());
        if let Some([key, _, region, service, "aws4_request"]) = scope.as_deref() {
            request.key_id = key.to_string();
            request.region = region.to_string();
            request.service = service.to_string();
        } else if request.form().get("Action").is_some_and(|action| action == "AssumeRoleWithWebIdentity") {
            request.service = "sts".into();
        }
        if request.service == "s3" {
            request.path = path_style(&request);
        }
        request.operation = names::operation(&request);
        request
    }

    /// The value of a header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The parameters of the Query protocol: `Action`, `Filters.member.1.Name`.
    pub fn form(&self) -> BTreeMap<String, String> {
        match self.header("content-type").starts_with("application/x-www-form-urlencoded") {
            true => pairs(&String::from_utf8_lossy(&self.body)),
            false => BTreeMap::new(),
        }
    }

    /// A list of the Query protocol: the values of `Names.member.1`, `Names.member.2`, …
    pub fn form_list(&self, name: &str) -> Vec<String> {
        let form = self.form();
        (1..).map_while(|n| form.get(&format!("{name}.member.{n}")).cloned()).collect()
    }

    /// The body as JSON; nothing is `{}`.
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            json!({})
        } else {
            serde_json::from_slice(&self.body).unwrap_or(Value::Null)
        }
    }
}

/// `bucket.127.0.0.1` and `bucket.localhost` name the bucket in the host.
fn path_style(request: &Request) -> String {
    let host = request.header("host").split(':').next().unwrap_or_default();
    let bucket = [".127.0.0.1", ".localhost"].iter().find_map(|end| host.strip_suffix(end));
    bucket.map_or_else(|| request.path.clone(), |bucket| format!("/{bucket}{}", request.path))
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (decoded(name, true), decoded(value, true)))
        .collect()
}

/// Undoes percent-encoding; in queries and forms `+` is a space.
pub fn decoded(text: &str, plus: bool) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                bytes.push(hex.unwrap_or(b'?'));
            }
            b'+' if plus => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// What a service answers, and about which object.
#[derive(Clone, Debug)]
pub struct Answer {
    pub operation: String,
    pub object: String,
    pub response: Response,
}

impl Answer {
    pub fn new(request: &Request, object: impl Into<String>, response: Response) -> Self {
        Answer { operation: request.operation.clone(), object: object.into(), response }
    }

    /// For an operation that the double does not know.
    pub fn unknown(request: &Request) -> Self {
        let message = format!(
            "the double does not know {}:{} ({} {})",
            request.service, request.operation, request.method, request.path
        );
        Answer::new(request, "", error(request, 501, "NotImplemented", &message))
    }
}

const REQUEST_ID: &str = "00000000-0000-4000-8000-000000000000";

/// An answer of the awsJson and REST JSON protocols.
pub fn json(status: u16, value: &Value) -> Response {
    let body = if value.is_null() { Vec::new() } else { value.to_string().into_bytes() };
    let response = Response { status, headers: Vec::new(), body };
    response.header("content-type", "application/x-amz-json-1.1").header("x-amzn-requestid", REQUEST_ID)
}

/// An answer of the Query and REST XML protocols.
pub fn xml(status: u16, text: impl Into<String>) -> Response {
    let response = Response { status, headers: Vec::new(), body: text.into().into_bytes() };
    response.header("content-type", "text/xml").header("x-amzn-requestid", REQUEST_ID)
}

/// An answer of the rpc-v2-cbor protocol.
pub fn cbor(status: u16, value: &ciborium::Value) -> Response {
    let mut body = Vec::new();
    ciborium::into_writer(value, &mut body).unwrap();
    let response = Response { status, headers: Vec::new(), body };
    response.header("content-type", "application/cbor").header("smithy-protocol", "rpc-v2-cbor")
}

/// What the Query protocol wraps a result in; `namespace` is the service's.
pub fn query_result(operation: &str, namespace: &str, result: &str) -> Response {
    xml(
        200,
        format!(
            "<{operation}Response xmlns=\"{namespace}\"><{operation}Result>{result}</{operation}Result>\
             <ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata></{operation}Response>"
        ),
    )
}

/// An error in the protocol that the request speaks.
pub fn error(request: &Request, status: u16, code: &str, message: &str) -> Response {
    match request.service.as_str() {
        "ecs" => json_error(status, code, message),
        "lambda" => rest_json_error(status, code, message),
        "s3" => rest_xml_error(status, code, message),
        "monitoring" if request.path.starts_with("/service/") => cbor_error(status, code, message),
        "monitoring" if request.headers.contains_key("x-amz-target") => json_error(status, code, message),
        _ => query_error(status, code, message),
    }
}

/// The refusal of a key that has expired.
pub fn expired(request: &Request) -> Response {
    let message = "The security token included in the request is expired";
    match request.service.as_str() {
        "s3" => error(request, 400, "ExpiredToken", "The provided token has expired."),
        "ecs" | "monitoring" => error(request, 400, "ExpiredTokenException", message),
        "lambda" => error(request, 403, "ExpiredTokenException", message),
        _ => error(request, 403, "ExpiredToken", message),
    }
}

/// The refusal of a caller who lacks the permission.
pub fn denied(request: &Request, action: &str) -> Response {
    let code = match request.service.as_str() {
        "ecs" | "lambda" => "AccessDeniedException",
        _ => "AccessDenied",
    };
    let status = if request.service == "ecs" { 400 } else { 403 };
    let message = format!("User: {} is not authorized to perform: {action}", super::sts::USER);
    error(request, status, code, &message)
}

/// ELB, RDS, STS; CloudFront's errors look the same.
pub fn query_error(status: u16, code: &str, message: &str) -> Response {
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    xml(
        status,
        format!(
            "<ErrorResponse><Error><Type>{kind}</Type><Code>{}</Code><Message>{}</Message></Error>\
             <RequestId>{REQUEST_ID}</RequestId></ErrorResponse>",
            escaped(code),
            escaped(message)
        ),
    )
}

/// ECS.
pub fn json_error(status: u16, code: &str, message: &str) -> Response {
    json(status, &json!({"__type": code, "message": message}))
}

/// Lambda.
pub fn rest_json_error(status: u16, code: &str, message: &str) -> Response {
    json(status, &json!({"Type": "User", "message": message})).header("x-amzn-errortype", code)
}

/// S3.
pub fn rest_xml_error(status: u16, code: &str, message: &str) -> Response {
    xml(
        status,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{}</Code><Message>{}</Message>\
             <RequestId>{REQUEST_ID}</RequestId></Error>",
            escaped(code),
            escaped(message)
        ),
    )
}

/// CloudWatch.
pub fn cbor_error(status: u16, code: &str, message: &str) -> Response {
    let text = |text: &str| ciborium::Value::Text(text.into());
    cbor(status, &ciborium::Value::Map(vec![(text("__type"), text(code)), (text("message"), text(message))]))
}

/// For text between tags.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Answers one request after the other until the client goes away.
pub(super) fn answer_all<S: std::io::Read + std::io::Write>(
    connection: &mut Connection<S>,
    shared: &Arc<Shared>,
) -> std::io::Result<()> {
    while let Some(message) = wire::read_request(connection)? {
        let request = Request::of(&message);
        let response = shared.answer(&request);
        let head = request.method == "HEAD";
        let mut headers = response.headers;
        if head {
            let told = headers.iter().any(|(name, _)| name == "content-length");
            if !told {
                headers.push(("content-length".into(), response.body.len().to_string()));
            }
        }
        let answer = Message {
            first: ["HTTP/1.1".into(), response.status.to_string(), String::new()],
            headers,
            body: if head { Vec::new() } else { response.body },
        };
        std::io::Write::write_all(connection, &wire::bytes_of(&answer, head))?;
        std::io::Write::flush(connection)?;
    }
    Ok(())
}
