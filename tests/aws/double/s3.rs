//! S3: objects with conditional writes.

use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::{
    Answer, REGION, Request, Response, State,
    iam::Ask,
    server::{self, escaped},
};

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// When the double's time begins; each write is one second later.
const EPOCH: i64 = 1_767_225_600;

#[derive(Clone, Default)]
pub struct S3 {
    buckets: BTreeMap<String, Bucket>,
    writes: i64,
    /// So many of the next conditional writes run into another one that is under way, and are not done.
    pub busy: usize,
    /// Like stores that speak S3's protocol and know nothing of conditional writes.
    pub ignores_preconditions: bool,
    /// The most that one list tells, where that is less than was asked for: S3 may do so.
    pub page: Option<usize>,
    /// Every key that was deleted, as `bucket/key`.
    pub deleted: Vec<String>,
}

#[derive(Clone, Default)]
struct Bucket {
    objects: BTreeMap<String, Object>,
    versioned: bool,
    /// It has no ACLs: the default of new buckets, and not of this double's.
    enforced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub body: Vec<u8>,
    /// With its quotes.
    pub etag: String,
    /// `content-type`, `cache-control`, `x-amz-meta-…`
    pub headers: BTreeMap<String, String>,
    /// Seconds since 1970.
    pub modified: i64,
    /// The canned ACL it was given; empty for none.
    pub acl: String,
}

/// What stays with an object.
const KEPT: [&str; 7] = [
    "content-type",
    "cache-control",
    "content-encoding",
    "content-disposition",
    "content-language",
    "expires",
    SHA256,
];
/// Stays with an object through copies, and is told to those who ask for it.
const SHA256: &str = "x-amz-checksum-sha256";

type Done = Result<Response, Response>;

impl S3 {
    /// Makes an empty bucket.
    pub fn bucket(&mut self, name: &str) {
        self.buckets.entry(name.into()).or_default();
    }

    pub fn set_versioned(&mut self, bucket: &str) {
        self.buckets.get_mut(bucket).unwrap().versioned = true;
    }

    /// Its owner enforces ownership: whatever gives an ACL is refused.
    pub fn set_enforced(&mut self, bucket: &str) {
        self.buckets.get_mut(bucket).unwrap().enforced = true;
    }

    /// Gives every object this ACL, as if somebody else had.
    pub fn set_acl(&mut self, bucket: &str, acl: &str) {
        self.buckets.get_mut(bucket).unwrap().objects.values_mut().for_each(|object| object.acl = acl.into());
    }

    /// Puts an object as if somebody else had.
    pub fn put(&mut self, bucket: &str, key: &str, body: impl Into<Vec<u8>>) {
        self.store(bucket, key, body.into(), BTreeMap::new());
    }

    /// Takes an object away as if somebody else had.
    pub fn remove(&mut self, bucket: &str, key: &str) {
        self.buckets.get_mut(bucket).unwrap().objects.remove(key).unwrap();
    }

    pub fn object(&self, bucket: &str, key: &str) -> Option<&Object> {
        self.buckets.get(bucket)?.objects.get(key)
    }

    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.buckets.get(bucket).map(|bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
    }

    pub fn answer(&mut self, request: &Request, others: &mut State) -> Answer {
        let object = request.path.trim_start_matches('/').to_string();
        let bucket = object.split('/').next().unwrap_or_default();
        let list = Ask { action: "s3:ListBucket".into(), resource: format!("arn:aws:s3:::{bucket}") };
        let lists = !others.denied.contains("s3:ListObjectsV2") && others.may(&list);
        let response = self.decide(request, lists).unwrap_or_else(|refused| refused);
        Answer::new(request, object, response)
    }

    fn decide(&mut self, request: &Request, lists: bool) -> Done {
        known_headers(request)?;
        let (bucket, key) = request
            .path
            .trim_start_matches('/')
            .split_once('/')
            .unwrap_or((request.path.trim_start_matches('/'), ""));
        match request.operation.as_str() {
            "ListBuckets" => return self.list_buckets(request),
            "CreateBucket" => return self.create_bucket(request, bucket),
            _ => {}
        }
        if !self.buckets.contains_key(bucket) {
            return Err(refused(404, "NoSuchBucket", "The specified bucket does not exist"));
        }
        if request.region != REGION {
            let refusal = refused(301, "PermanentRedirect", "The bucket must be addressed in its own region");
            return Err(refusal.header("x-amz-bucket-region", REGION));
        }
        match request.operation.as_str() {
            "HeadBucket" => Ok(empty(200).header("x-amz-bucket-region", REGION)),
            "GetBucketLocation" => location(request),
            "GetBucketVersioning" => self.versioning(request, bucket),
            "ListObjectsV2" => self.list(request, bucket),
            "GetObject" | "HeadObject" => self.get(request, bucket, key, lists),
            "GetObjectAcl" => self.object_acl(bucket, key),
            "PutObject" | "CopyObject" => {
                let acl = request.header("x-amz-acl");
                if self.buckets[bucket].enforced && !acl.is_empty() {
                    let message = "The bucket does not allow ACLs";
                    return Err(refused(400, "AccessControlListNotSupported", message));
                }
                let done = match request.operation.as_str() {
                    "PutObject" => self.put_object(request, bucket, key),
                    _ => self.copy(request, bucket, key),
                }?;
                if let Some(object) = self.buckets.get_mut(bucket).and_then(|b| b.objects.get_mut(key)) {
                    object.acl = acl.into();
                }
                Ok(done)
            }
            "DeleteObject" => self.delete(request, bucket, key),
            _ => Err(Answer::unknown(request).response),
        }
    }

    fn store(
        &mut self,
        bucket: &str,
        key: &str,
        body: Vec<u8>,
        headers: BTreeMap<String, String>,
    ) -> &Object {
        self.writes += 1;
        let digest = Sha256::digest(&body);
        let etag: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let object = Object {
            body,
            etag: format!("\"{etag}\""),
            headers,
            modified: EPOCH + self.writes,
            acl: String::new(),
        };
        let objects = &mut self.buckets.entry(bucket.into()).or_default().objects;
        objects.insert(key.into(), object);
        &objects[key]
    }

    fn get(&self, request: &Request, bucket: &str, key: &str, lists: bool) -> Done {
        only(request, &[])?;
        let Some(object) = self.object(bucket, key) else {
            // who may not list is not told what is not there
            return Err(match lists {
                true => refused(404, "NoSuchKey", "The specified key does not exist."),
                false => refused(403, "AccessDenied", "Access Denied"),
            });
        };
        let wanted = request.header("if-match");
        if !wanted.is_empty() && wanted != object.etag {
            return Err(precondition("If-Match"));
        }
        if request.header("if-none-match") == object.etag {
            return Err(empty(304).header("etag", &object.etag));
        }
        if request.headers.contains_key("range") {
            return Err(refused(501, "NotImplemented", "the double does not cut objects"));
        }
        let mut response = Response { status: 200, headers: Vec::new(), body: object.body.clone() }
            .header("etag", &object.etag)
            .header("last-modified", rfc_1123(object.modified));
        let sums = request.header("x-amz-checksum-mode") == "ENABLED";
        for (name, value) in object.headers.iter().filter(|(name, _)| sums || *name != SHA256) {
            response = response.header(name, value);
        }
        if !object.headers.contains_key("content-type") {
            response = response.header("content-type", "binary/octet-stream");
        }
        Ok(response)
    }

    fn put_object(&mut self, request: &Request, bucket: &str, key: &str) -> Done {
        only(request, &[])?;
        good_key(key)?;
        self.may_write(request, bucket, key)?;
        let sum = request.header("x-amz-checksum-crc32");
        if !sum.is_empty() && sum != base64(&crc32(&request.body).to_be_bytes()) {
            return Err(refused(
                400,
                "BadDigest",
                "The CRC32 you specified did not match the calculated one.",
            ));
        }
        let sum = request.header(SHA256);
        if !sum.is_empty() && sum != base64(&Sha256::digest(&request.body)) {
            let message = "The SHA256 you specified did not match the calculated checksum.";
            return Err(refused(400, "BadDigest", message));
        }
        let headers = kept(request);
        let etag = self.store(bucket, key, request.body.clone(), headers).etag.clone();
        Ok(empty(200).header("etag", etag))
    }

    /// The preconditions of a write.
    fn may_write(&mut self, request: &Request, bucket: &str, key: &str) -> Result<(), Response> {
        let (none, some) = (request.header("if-none-match"), request.header("if-match"));
        if !none.is_empty() && none != "*" || !none.is_empty() && !some.is_empty() {
            let message = "A header you provided implies functionality that is not implemented";
            return Err(refused(501, "NotImplemented", message));
        }
        if self.ignores_preconditions || none.is_empty() && some.is_empty() {
            return Ok(());
        }
        if self.busy > 0 {
            self.busy -= 1;
            let message = "The conditional request cannot succeed due to a conflicting operation against this resource.";
            return Err(refused(409, "ConditionalRequestConflict", message));
        }
        let present = self.object(bucket, key);
        match present {
            Some(_) if none == "*" => Err(precondition("If-None-Match")),
            Some(object) if !some.is_empty() && object.etag != some => Err(precondition("If-Match")),
            None if !some.is_empty() => Err(refused(404, "NoSuchKey", "The specified key does not exist.")),
            _ => Ok(()),
        }
    }

    fn copy(&mut self, request: &Request, bucket: &str, key: &str) -> Done {
        only(request, &[])?;
        good_key(key)?;
        let source = server::decoded(request.header("x-amz-copy-source"), false);
        let source = source.trim_start_matches('/').split('?').next().unwrap_or_default();
        let (from_bucket, from_key) = source.split_once('/').ok_or_else(|| {
            refused(400, "InvalidArgument", "Copy Source must mention the source bucket and key")
        })?;
        let replaces = match request.header("x-amz-metadata-directive") {
            "" | "COPY" => false,
            "REPLACE" => true,
            _ => return Err(refused(400, "InvalidArgument", "Unknown metadata directive.")),
        };
        if (from_bucket, from_key) == (bucket, key) && !replaces {
            let message = "This copy request is illegal because it is trying to copy an object to itself \
                           without changing the object's metadata";
            return Err(refused(400, "InvalidRequest", message));
        }
        let missing = || refused(404, "NoSuchKey", "The specified key does not exist.");
        let object = self.object(from_bucket, from_key).ok_or_else(missing)?.clone();
        let wanted = request.header("x-amz-copy-source-if-match");
        if !wanted.is_empty() && wanted != object.etag {
            return Err(precondition("x-amz-copy-source-If-Match"));
        }
        self.may_write(request, bucket, key)?;
        let mut headers = if replaces { kept(request) } else { object.headers.clone() };
        headers.extend(object.headers.get(SHA256).map(|sum| (SHA256.to_string(), sum.clone())));
        let stored = self.store(bucket, key, object.body, headers);
        let text = format!(
            "<CopyObjectResult xmlns=\"{NAMESPACE}\"><ETag>{}</ETag><LastModified>{}</LastModified></CopyObjectResult>",
            escaped(&stored.etag),
            iso(stored.modified)
        );
        Ok(server::xml(200, text))
    }

    fn object_acl(&self, bucket: &str, key: &str) -> Done {
        let missing = || refused(404, "NoSuchKey", "The specified key does not exist.");
        let object = self.object(bucket, key).ok_or_else(missing)?;
        let everybody = match object.acl.as_str() {
            "public-read" => {
                "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"Group\">\
                 <URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee>\
                 <Permission>READ</Permission></Grant>"
            }
            _ => "",
        };
        let text = format!(
            "<AccessControlPolicy xmlns=\"{NAMESPACE}\"><Owner><ID>0</ID></Owner>\
             <AccessControlList>{everybody}</AccessControlList></AccessControlPolicy>"
        );
        Ok(server::xml(200, text))
    }

    fn delete(&mut self, request: &Request, bucket: &str, key: &str) -> Done {
        only(request, &[])?;
        self.deleted.push(format!("{bucket}/{key}"));
        self.buckets.get_mut(bucket).unwrap().objects.remove(key);
        Ok(empty(204))
    }

    fn list(&self, request: &Request, bucket: &str) -> Done {
        only(
            request,
            &[
                "list-type",
                "prefix",
                "start-after",
                "max-keys",
                "continuation-token",
                "delimiter",
                "encoding-type",
                "fetch-owner",
            ],
        )?;
        let parameter = |name: &str| request.query.get(name).map_or("", String::as_str);
        let most = match parameter("max-keys") {
            "" => 1000,
            text => text
                .parse::<usize>()
                .map_err(|_| refused(400, "InvalidArgument", "Argument maxKeys must be an integer"))?
                .min(1000),
        };
        let most = most.min(self.page.unwrap_or(most));
        let after = match parameter("continuation-token") {
            "" => parameter("start-after").to_string(),
            token => token
                .strip_prefix("after:")
                .ok_or_else(|| {
                    refused(400, "InvalidArgument", "The continuation token provided is incorrect")
                })?
                .to_string(),
        };
        let (prefix, delimiter) = (parameter("prefix"), parameter("delimiter"));
        let (mut contents, mut folders) = (Vec::new(), BTreeSet::new());
        let (mut last, mut more) = (String::new(), false);
        let from = (Bound::Excluded(after.as_str()), Bound::Unbounded);
        let objects = self.buckets[bucket].objects.range::<str, _>(from);
        for (key, object) in objects.filter(|(key, _)| key.starts_with(prefix)) {
            let rest = &key[prefix.len()..];
            let folder = match rest.find(delimiter) {
                Some(at) if !delimiter.is_empty() => {
                    Some(format!("{prefix}{}", &rest[..at + delimiter.len()]))
                }
                _ => None,
            };
            let known = folder.as_ref().is_some_and(|folder| folders.contains(folder));
            // a folder that was told already is not told again on the next page
            let told = folder.as_ref().is_some_and(|folder| after.starts_with(folder.as_str()));
            if told {
                continue;
            }
            if !known && contents.len() + folders.len() >= most {
                more = true;
                break;
            }
            last.clone_from(key);
            match folder {
                Some(folder) => drop(folders.insert(folder)),
                None => contents.push((key, object)),
            }
        }
        let encoded = |text: &str| match parameter("encoding-type") {
            "url" => percent(text),
            _ => escaped(text),
        };
        let mut text = format!(
            "<ListBucketResult xmlns=\"{NAMESPACE}\"><Name>{bucket}</Name><Prefix>{}</Prefix><MaxKeys>{most}</MaxKeys>\
             <KeyCount>{}</KeyCount><IsTruncated>{more}</IsTruncated>",
            encoded(prefix),
            contents.len() + folders.len()
        );
        if more {
            text += &format!(
                "<NextContinuationToken>{}</NextContinuationToken>",
                escaped(&format!("after:{last}"))
            );
        }
        for (key, object) in contents {
            text += &format!(
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>",
                encoded(key),
                iso(object.modified),
                escaped(&object.etag),
                object.body.len()
            );
        }
        for folder in folders {
            text += &format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", encoded(&folder));
        }
        Ok(server::xml(200, text + "</ListBucketResult>"))
    }

    fn list_buckets(&self, request: &Request) -> Done {
        only(request, &[])?;
        let names: String =
            self.buckets.keys().map(|name| format!("<Bucket><Name>{name}</Name></Bucket>")).collect();
        let text = format!(
            "<ListAllMyBucketsResult xmlns=\"{NAMESPACE}\"><Buckets>{names}</Buckets></ListAllMyBucketsResult>"
        );
        Ok(server::xml(200, text))
    }

    fn create_bucket(&mut self, request: &Request, bucket: &str) -> Done {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        if !body.contains(&format!("<LocationConstraint>{REGION}</LocationConstraint>")) {
            let message = "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.";
            return Err(refused(400, "IllegalLocationConstraintException", message));
        }
        if self.buckets.contains_key(bucket) {
            let message =
                "Your previous request to create the named bucket succeeded and you already own it.";
            return Err(refused(409, "BucketAlreadyOwnedByYou", message));
        }
        self.bucket(bucket);
        Ok(empty(200).header("location", format!("/{bucket}")))
    }

    fn versioning(&self, request: &Request, bucket: &str) -> Done {
        only(request, &["versioning"])?;
        let status = if self.buckets[bucket].versioned { "<Status>Enabled</Status>" } else { "" };
        Ok(server::xml(
            200,
            format!("<VersioningConfiguration xmlns=\"{NAMESPACE}\">{status}</VersioningConfiguration>"),
        ))
    }
}

fn location(request: &Request) -> Done {
    only(request, &["location"])?;
    Ok(server::xml(200, format!("<LocationConstraint xmlns=\"{NAMESPACE}\">{REGION}</LocationConstraint>")))
}

fn refused(status: u16, code: &str, message: &str) -> Response {
    server::rest_xml_error(status, code, message)
}

fn precondition(condition: &str) -> Response {
    let text = format!(
        "<Error><Code>PreconditionFailed</Code><Message>At least one of the pre-conditions you specified did not \
         hold</Message><Condition>{condition}</Condition></Error>"
    );
    server::xml(412, text)
}

fn empty(status: u16) -> Response {
    Response { status, ..Response::default() }
}

/// Refuses query parameters that the operation does not have.
fn only(request: &Request, known: &[&str]) -> Result<(), Response> {
    let stranger = request.query.keys().find(|name| *name != "x-id" && !known.contains(&name.as_str()));
    match stranger {
        None => Ok(()),
        Some(name) => {
            Err(refused(501, "NotImplemented", &format!("the double does not know the parameter {name}")))
        }
    }
}

/// Refuses headers of S3 that mean something the double does not do.
fn known_headers(request: &Request) -> Result<(), Response> {
    const KNOWN: [&str; 11] = [
        "x-amz-acl",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-user-agent",
        "x-amz-copy-source",
        "x-amz-copy-source-if-match",
        "x-amz-metadata-directive",
        "x-amz-sdk-checksum-algorithm",
        "x-amz-checksum-mode",
        "x-amz-decoded-content-length",
    ];
    let known = |name: &str| {
        !name.starts_with("x-amz-")
            || KNOWN.contains(&name)
            || name.starts_with("x-amz-meta-")
            || name.starts_with("x-amz-checksum-")
            || name == "x-amz-trailer"
    };
    match request.headers.keys().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => {
            Err(refused(501, "NotImplemented", &format!("the double does not know the header {name}")))
        }
    }
}

fn good_key(key: &str) -> Result<(), Response> {
    match key.len() {
        1..=1024 => Ok(()),
        _ => Err(refused(400, "KeyTooLongError", "Your key is too long")),
    }
}

fn kept(request: &Request) -> BTreeMap<String, String> {
    let stays = |name: &str| KEPT.contains(&name) || name.starts_with("x-amz-meta-");
    let mut headers: BTreeMap<String, String> = request
        .headers
        .iter()
        .filter(|(name, _)| stays(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if headers.get("content-encoding").is_some_and(|value| value == "aws-chunked") {
        headers.remove("content-encoding");
    }
    headers
}

fn iso(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

fn rfc_1123(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    })
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = (0..3).fold(0u32, |n, i| n << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
