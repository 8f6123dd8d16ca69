//! The bucket: the few calls that are made of it.

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::SdkError,
    operation::head_object::HeadObjectOutput,
    primitives::{ByteStream, DateTime, DateTimeFormat},
    types::{ChecksumMode, MetadataDirective, ObjectCannedAcl, Permission},
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    config::Acl,
    folder::{Local, base64},
    state::escaped,
};
use crate::{
    adapter::aws::{Aws, Intent, PROVIDER, call},
    port::{Context, Fault, Treat},
};

/// A write of a small object that hangs has lost its answer.
const SMALL_LIMIT: Duration = Duration::from_secs(10);
/// The slowest upload worth waiting for.
const BYTES_PER_SECOND_LEAST: u64 = 256 * 1024;
/// The group that everybody is in.
const EVERYBODY: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const TEXT_BYTES_MAX: i64 = 4 * 1024 * 1024;
const DIGEST_TRIES_MAX: u32 = 3;
/// Of 1000 objects each. The two places hold as many files as may go over, once each; anything may lie beside.
const LIST_PAGES_MAX: usize = 100;

pub struct Store {
    pub aws: Arc<Aws>,
    pub bucket: String,
    /// Where what is not served begins.
    pub own: String,
    pub acl: Option<Acl>,
}

/// What an object says of itself.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Bytes.
    pub size: u64,
    /// As S3 quotes it.
    pub etag: String,
    /// SHA-256 in base64, where it was given at upload.
    pub sha256: Option<String>,
    pub headers: Headers,
}

impl Head {
    /// One of our marks.
    pub fn mark(&self, name: &str) -> Option<String> {
        self.headers.metadata.get(name).cloned()
    }
}

/// What goes to browsers with an object, and its own metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub expires: Option<String>,
    pub redirect: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

/// What must be true of the object that a write replaces.
#[derive(Clone, Debug)]
pub enum Condition {
    Absent,
    /// Its ETag.
    Is(String),
}

impl Store {
    fn at(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    /// The ACL of an object, where it is served.
    fn acl_of(&self, key: &str) -> Option<ObjectCannedAcl> {
        let acl = self.acl.filter(|_| !key.starts_with(&self.own))?;
        Some(match acl {
            Acl::PublicRead => ObjectCannedAcl::PublicRead,
            Acl::AuthenticatedRead => ObjectCannedAcl::AuthenticatedRead,
            Acl::BucketOwnerRead => ObjectCannedAcl::BucketOwnerRead,
            Acl::BucketOwnerFullControl => ObjectCannedAcl::BucketOwnerFullControl,
        })
    }

    /// Whether an object's ACL lets everybody read it; an object that is not there lets nobody.
    pub async fn is_public(&self, cx: &Context, key: &str) -> Result<bool, Fault> {
        let intent = Intent::read("s3", "GetObjectAcl", self.at(key));
        let (bucket, key) = (self.bucket.clone(), key.to_string());
        let answer = call(&self.aws, cx, &intent, move |config: SdkConfig| {
            let asked = client(&config).get_object_acl().bucket(&bucket).key(&key);
            async move {
                match asked.send().await {
                    Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => Ok(None),
                    answer => answer.map(Some),
                }
            }
        });
        let answer = answer.await.map_err(|fault| needs(fault, &["s3:GetObjectAcl"]))?;
        let grants = answer.and_then(|answer| answer.grants).unwrap_or_default();
        Ok(grants.into_iter().any(|grant| {
            let all = grant.grantee.and_then(|grantee| grantee.uri).is_some_and(|uri| uri == EVERYBODY);
            all && matches!(grant.permission, Some(Permission::Read | Permission::FullControl))
        }))
    }

    /// What is known of an object; `None` if there is none.
    pub async fn head(&self, cx: &Context, key: &str) -> Result<Option<Head>, Fault> {
        let answer = match self.head_once(cx, key).await {
            Err(fault) if fault.treat == Treat::Permanent => {
                // the refusal of a HEAD has no words, and expired credentials are told by words: a GET has them
                self.ask(cx, key).await?;
                self.head_once(cx, key).await
            }
            answer => answer,
        };
        answer.map_err(|fault| needs(fault, &["s3:GetObject", "s3:ListBucket"]))
    }

    async fn head_once(&self, cx: &Context, key: &str) -> Result<Option<Head>, Fault> {
        let intent = Intent::read("s3", "HeadObject", self.at(key));
        let (bucket, key) = (self.bucket.clone(), key.to_string());
        let answer = call(&self.aws, cx, &intent, move |config: SdkConfig| {
            let asked = client(&config).head_object().bucket(&bucket).key(&key);
            async move {
                match asked.checksum_mode(ChecksumMode::Enabled).send().await {
                    Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(None),
                    answer => answer.map(Some),
                }
            }
        });
        Ok(answer.await?.map(head))
    }

    /// Whether an object may be read; its body is not.
    async fn ask(&self, cx: &Context, key: &str) -> Result<(), Fault> {
        let intent = Intent::read("s3", "GetObject", self.at(key));
        let (bucket, key) = (self.bucket.clone(), key.to_string());
        let answer = call(&self.aws, cx, &intent, move |config: SdkConfig| {
            let asked = client(&config).get_object().bucket(&bucket).key(&key);
            async move {
                match asked.send().await {
                    Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => Ok(()),
                    answer => answer.map(|_| ()),
                }
            }
        });
        answer.await.map_err(|fault| needs(fault, &["s3:GetObject", "s3:ListBucket"]))
    }

    /// A small object and its ETag; `None` if there is none.
    pub async fn text(&self, cx: &Context, key: &str) -> Result<Option<(Vec<u8>, String)>, Fault> {
        let intent = Intent::read("s3", "GetObject", self.at(key));
        let (bucket, key) = (self.bucket.clone(), key.to_string());
        let answer = call(&self.aws, cx, &intent, move |config: SdkConfig| {
            let asked = client(&config).get_object().bucket(&bucket).key(&key);
            async move {
                match asked.send().await {
                    Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => Ok(None),
                    Err(error) => Err(error),
                    Ok(object) if object.content_length.unwrap_or_default() > TEXT_BYTES_MAX => {
                        Ok(Some((Err("is too large to be tidegate's"), String::new())))
                    }
                    Ok(object) => {
                        let etag = object.e_tag.unwrap_or_default();
                        let body = object.body.collect().await;
                        // a body that is cut is a read that failed, and is asked again
                        let body =
                            body.map_err(|e| SdkError::dispatch_failure(ConnectorError::io(e.into())))?;
                        Ok(Some((Ok(body.to_vec()), etag)))
                    }
                }
            }
        });
        match answer.await.map_err(|fault| needs(fault, &["s3:GetObject", "s3:ListBucket"]))? {
            None => Ok(None),
            Some((Ok(text), etag)) => Ok(Some((text, etag))),
            Some((Err(why), _)) => Err(Fault::permanent(PROVIDER, "s3:GetObject", intent.object, why)),
        }
    }

    /// Writes a small object of our own; the new ETag, or `None` where the condition does not hold.
    pub async fn put_text(
        &self,
        cx: &Context,
        key: &str,
        text: Vec<u8>,
        condition: Condition,
    ) -> Result<Option<String>, Fault> {
        let intent = Intent::write("s3", "PutObject", self.at(key));
        let (bucket, key) = (self.bucket.clone(), key.to_string());
        let sum = base64(&Sha256::digest(&text));
        let cx = cx.within(SMALL_LIMIT);
        let answer = call(&self.aws, &cx, &intent, move |config: SdkConfig| {
            let put = client(&config).put_object().bucket(&bucket).key(&key).checksum_sha256(&sum);
            let put = put.content_type("application/json").cache_control("no-store");
            let put = match &condition {
                Condition::Absent => put.if_none_match("*"),
                Condition::Is(etag) => put.if_match(etag),
            };
            let put = put.body(ByteStream::from(text.clone()));
            async move { unless_refused(put.send().await) }
        });
        let done = answer.await.map_err(|fault| needs(fault, &["s3:PutObject"]))?;
        Ok(done.map(|done| done.e_tag.unwrap_or_default()))
    }

    /// Sends a file. `false`: `absent` was asked for, and there is an object.
    pub async fn put_file(
        &self,
        cx: &Context,
        key: &str,
        file: &Local,
        sha256: &str,
        headers: &Headers,
        absent: bool,
    ) -> Result<bool, Fault> {
        let intent = Intent::write("s3", "PutObject", self.at(key));
        let (bucket, key) = (self.bucket.clone(), key.to_string());
        let (path, sha256, headers) = (file.path.clone(), sha256.to_string(), headers.clone());
        let acl = self.acl_of(&key);
        let limit = SMALL_LIMIT + Duration::from_secs(file.size / BYTES_PER_SECOND_LEAST);
        let cx = cx.within(limit);
        let answer = call(&self.aws, &cx, &intent, move |config: SdkConfig| {
            let mut put = client(&config).put_object().bucket(&bucket).key(&key).checksum_sha256(&sha256);
            if absent {
                put = put.if_none_match("*");
            }
            let metadata: HashMap<String, String> = headers.metadata.clone().into_iter().collect();
            let put = put.set_content_type(headers.content_type.clone()).set_metadata(Some(metadata));
            let put = put.set_cache_control(headers.cache_control.clone()).set_acl(acl.clone());
            let path = path.clone();
            async move {
                // a file that is gone sends nothing, and the checksum refuses what is not the file
                let body = ByteStream::from_path(path).await.unwrap_or_default();
                unless_refused(put.body(body).send().await)
            }
        });
        Ok(answer.await.map_err(|fault| self.unwritten(fault, &["s3:PutObject"]))?.is_some())
    }

    /// A write of a file that was refused.
    fn unwritten(&self, fault: Fault, actions: &[&str]) -> Fault {
        if fault.detail.starts_with("AccessControlListNotSupported") {
            return fault.hint(
                "the bucket has ACLs disabled (its owner enforces ownership): leave `acl` away, and let people in \
                 by the bucket's policy or by CloudFront",
            );
        }
        let with_acl = self.acl.map(|_| "s3:PutObjectAcl");
        needs(fault, &actions.iter().copied().chain(with_acl).collect::<Vec<_>>())
    }

    /// Copies within the bucket, with all that goes to browsers, or with other headers and only while the
    /// source is what it was (`replace`). `false`: it is not.
    pub async fn copy(
        &self,
        cx: &Context,
        from: &str,
        to: &str,
        replace: Option<(&str, &Headers)>,
    ) -> Result<bool, Fault> {
        let intent = Intent::write("s3", "CopyObject", self.at(to));
        let (bucket, to) = (self.bucket.clone(), to.to_string());
        let source = format!("{}/{}", self.bucket, escaped(from, b"-._~/"));
        let replace = replace.map(|(etag, headers)| (etag.to_string(), headers.clone()));
        let acl = self.acl_of(&to);
        let cx = cx.within(SMALL_LIMIT);
        let answer = call(&self.aws, &cx, &intent, move |config: SdkConfig| {
            let copy = client(&config).copy_object().bucket(&bucket).key(&to).copy_source(&source);
            // a copy has none of its source's
            let copy = copy.set_acl(acl.clone());
            let copy = match &replace {
                None => copy.metadata_directive(MetadataDirective::Copy),
                Some((etag, headers)) => {
                    let h = headers.clone();
                    let expires =
                        h.expires.and_then(|at| DateTime::from_str(&at, DateTimeFormat::HttpDate).ok());
                    copy.metadata_directive(MetadataDirective::Replace)
                        .copy_source_if_match(etag)
                        .set_content_type(h.content_type)
                        .set_cache_control(h.cache_control)
                        .set_content_disposition(h.content_disposition)
                        .set_content_encoding(h.content_encoding)
                        .set_content_language(h.content_language)
                        .set_expires(expires)
                        .set_metadata(Some(h.metadata.into_iter().collect()))
                }
            };
            async move { unless_refused(copy.send().await) }
        });
        let answer =
            answer.await.map_err(|fault| self.unwritten(fault, &["s3:GetObject", "s3:PutObject"]))?;
        Ok(answer.is_some())
    }

    pub async fn delete(&self, cx: &Context, key: &str) -> Result<(), Fault> {
        let intent = Intent::write("s3", "DeleteObject", self.at(key));
        let (bucket, key) = (self.bucket.clone(), key.to_string());
        let cx = cx.within(SMALL_LIMIT);
        let answer = call(&self.aws, &cx, &intent, move |config: SdkConfig| {
            let asked = client(&config).delete_object().bucket(&bucket).key(&key);
            async move { asked.send().await }
        });
        answer.await.map(|_| ()).map_err(|fault| needs(fault, &["s3:DeleteObject"]))
    }

    /// Keys below `prefix` and their bytes: all of them, or a fault.
    pub async fn list(&self, cx: &Context, prefix: &str) -> Result<BTreeMap<String, u64>, Fault> {
        let intent = Intent::read("s3", "ListObjectsV2", self.at(prefix));
        let mut found = BTreeMap::new();
        let mut token: Option<String> = None;
        for _ in 0..LIST_PAGES_MAX {
            let (bucket, prefix, token_now) = (self.bucket.clone(), prefix.to_string(), token.take());
            let answer = call(&self.aws, cx, &intent, move |config: SdkConfig| {
                let asked = client(&config).list_objects_v2().bucket(&bucket).prefix(&prefix);
                let asked = asked.set_continuation_token(token_now.clone());
                async move { asked.send().await }
            });
            let page = answer.await.map_err(|fault| needs(fault, &["s3:ListBucket"]))?;
            for object in page.contents.unwrap_or_default() {
                let size = u64::try_from(object.size.unwrap_or_default()).unwrap_or_default();
                found.insert(object.key.unwrap_or_default(), size);
            }
            match page.next_continuation_token {
                Some(next) if page.is_truncated == Some(true) => token = Some(next),
                _ => return Ok(found),
            }
        }
        let why = format!("there are more than {LIST_PAGES_MAX} pages of objects ({} so far)", found.len());
        let fault = Fault::permanent(PROVIDER, "list the objects", self.at(prefix), why);
        Err(fault
            .hint("delete what tidegate did not put there: it keeps two copies of the site in this folder"))
    }

    /// SHA-256 in base64 of an object that was uploaded without one.
    pub async fn digest(&self, cx: &Context, key: &str) -> Result<String, Fault> {
        let mut tries = 1;
        loop {
            match self.digest_once(cx, key).await {
                // a body may take longer than a call may, so that one that is cut is asked for again here
                Err(fault) if fault.treat == Treat::Temporary && tries < DIGEST_TRIES_MAX => tries += 1,
                answer => return answer,
            }
        }
    }

    async fn digest_once(&self, cx: &Context, key: &str) -> Result<String, Fault> {
        let intent = Intent::read("s3", "GetObject", self.at(key));
        let (bucket, key) = (self.bucket.clone(), key.to_string());
        let answer = call(&self.aws, cx, &intent, move |config: SdkConfig| {
            let asked = client(&config).get_object().bucket(&bucket).key(&key);
            async move { asked.send().await }
        });
        let mut body = answer.await.map_err(|fault| needs(fault, &["s3:GetObject"]))?.body;
        let mut sha = Sha256::new();
        let whole = cx.bounded(async {
            while let Some(part) = body.next().await {
                sha.update(&part.map_err(|why| why.to_string())?);
            }
            Ok(())
        });
        match whole.await.unwrap_or_else(|late| Err(format!("not read after {} s", late.0.as_secs()))) {
            Ok(()) => Ok(base64(&sha.finalize())),
            Err(why) => Err(Fault::temporary(PROVIDER, "s3:GetObject", intent.object, why)),
        }
    }

    /// Whether old versions of objects are kept.
    pub async fn versioned(&self, cx: &Context) -> Result<bool, Fault> {
        let intent = Intent::read("s3", "GetBucketVersioning", self.at(""));
        let bucket = self.bucket.clone();
        let answer = call(&self.aws, cx, &intent, move |config: SdkConfig| {
            let asked = client(&config).get_bucket_versioning().bucket(&bucket);
            async move { asked.send().await }
        });
        let answer = answer.await.map_err(|fault| needs(fault, &["s3:GetBucketVersioning"]))?;
        Ok(answer.status.is_some_and(|status| status.as_str() == "Enabled"))
    }
}

fn client(config: &SdkConfig) -> Client {
    // what answers at another endpoint has no name of its own for every bucket
    let path_style = config.endpoint_url().is_some();
    Client::from_conf(aws_sdk_s3::config::Builder::from(config).force_path_style(path_style).build())
}

fn head(answer: HeadObjectOutput) -> Head {
    Head {
        size: answer.content_length.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
        etag: answer.e_tag.unwrap_or_default(),
        sha256: answer.checksum_sha256,
        headers: Headers {
            content_type: answer.content_type,
            cache_control: answer.cache_control,
            content_disposition: answer.content_disposition,
            content_encoding: answer.content_encoding,
            content_language: answer.content_language,
            expires: answer.expires_string,
            redirect: answer.website_redirect_location,
            metadata: answer.metadata.unwrap_or_default().into_iter().collect(),
        },
    }
}

/// `None` where S3 says that the condition does not hold, or that another write is under way.
fn unless_refused<T, E: ProvideErrorMetadata, R>(
    answer: Result<T, aws_sdk_s3::error::SdkError<E, R>>,
) -> Result<Option<T>, aws_sdk_s3::error::SdkError<E, R>> {
    const REFUSALS: [&str; 2] = ["PreconditionFailed", "ConditionalRequestConflict"];
    match answer {
        Err(error) if error.code().is_some_and(|code| REFUSALS.contains(&code)) => Ok(None),
        answer => answer.map(Some),
    }
}

/// S3's operations are not called what their permissions are, and a HEAD does not say why it is refused.
fn needs(fault: Fault, actions: &[&str]) -> Fault {
    let denied = fault.detail.contains("AccessDenied")
        || fault.detail.contains("Forbidden")
        || fault.detail.contains("HTTP 403");
    match fault.treat == Treat::Permanent && denied {
        true => {
            let hint = format!(
                "the identity lacks one of `{}` here (or the key's `kms:Decrypt`): docs/permissions.md has \
                 the least policy",
                actions.join("`, `")
            );
            fault.hint(hint)
        }
        false => fault,
    }
}
