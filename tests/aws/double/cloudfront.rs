//! CloudFront: distributions as they stand, and invalidations that take their time.

use std::collections::BTreeMap;

use super::{
    ACCOUNT, Answer, Request, Response, State,
    server::{self, escaped},
};

const NAMESPACE: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";
const VERSION: &str = "/2020-05-31/";
const PATHS_MAX: usize = 3000;
const WILDCARDS_MAX: usize = 15;

#[derive(Clone, Default)]
pub struct CloudFront {
    pub distributions: BTreeMap<String, Distribution>,
    /// In the order they were made.
    pub invalidations: Vec<Invalidation>,
    /// So many looks at an invalidation find it in progress.
    pub looks: usize,
}

#[derive(Clone, Debug)]
pub struct Distribution {
    pub enabled: bool,
    /// `Deployed` or `InProgress`.
    pub status: String,
    pub default_root_object: String,
    /// Domain and path.
    pub origins: Vec<(String, String)>,
    /// Code, page, seconds.
    pub error_pages: Vec<(u16, String, u32)>,
    pub etag: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    pub id: String,
    pub distribution: String,
    pub reference: String,
    pub paths: Vec<String>,
    /// Looks until it is over.
    pub left: usize,
}

type Done = Result<Response, Response>;

impl CloudFront {
    /// Makes a distribution in front of a bucket.
    pub fn before(&mut self, id: &str, bucket: &str, path: &str) {
        let domain = format!("{bucket}.s3.{}.amazonaws.com", super::REGION);
        let distribution = Distribution {
            enabled: true,
            status: "Deployed".into(),
            default_root_object: "index.html".into(),
            origins: vec![(domain, path.into())],
            error_pages: Vec::new(),
            etag: "E0".into(),
        };
        self.distributions.insert(id.into(), distribution);
    }

    /// Forgets the invalidations that are over.
    pub fn forget(&mut self) {
        self.invalidations.retain(|invalidation| invalidation.left > 0);
    }

    pub fn answer(&mut self, request: &Request, _others: &mut State) -> Answer {
        let path = request.path.strip_prefix(VERSION).unwrap_or_default().to_string();
        let response = self.decide(request, &path).unwrap_or_else(|refused| refused);
        Answer::new(request, path, response)
    }

    fn decide(&mut self, request: &Request, path: &str) -> Done {
        if let Some(name) =
            request.query.keys().find(|name| !["x-id", "Marker", "MaxItems"].contains(&name.as_str()))
        {
            return Err(refused(
                400,
                "InvalidArgument",
                &format!("the double does not know the parameter {name}"),
            ));
        }
        let parts: Vec<&str> = path.split('/').collect();
        let id = parts.get(1).copied().unwrap_or_default();
        if !self.distributions.contains_key(id) {
            return Err(refused(404, "NoSuchDistribution", "The specified distribution does not exist."));
        }
        match request.operation.as_str() {
            "GetDistribution" => Ok(self.distribution(id)),
            "GetDistributionConfig" => {
                let found = &self.distributions[id];
                Ok(xml(200, &config(found)).header("etag", &found.etag))
            }
            "CreateInvalidation" => self.invalidate(id, &String::from_utf8_lossy(&request.body)),
            "GetInvalidation" => self.invalidation(id, parts.get(3).copied().unwrap_or_default()),
            "ListInvalidations" => Ok(self.list(id)),
            _ => Err(Answer::unknown(request).response),
        }
    }

    fn distribution(&self, id: &str) -> Response {
        let found = &self.distributions[id];
        let under_way = self.invalidations.iter().filter(|i| i.distribution == id && i.left > 0).count();
        let text = format!(
            "<Distribution xmlns=\"{NAMESPACE}\"><Id>{id}</Id><ARN>arn:aws:cloudfront::{ACCOUNT}:distribution/{id}</ARN>\
             <Status>{}</Status><LastModifiedTime>2026-01-01T00:00:00Z</LastModifiedTime>\
             <InProgressInvalidationBatches>{under_way}</InProgressInvalidationBatches>\
             <DomainName>d1.cloudfront.net</DomainName>{}</Distribution>",
            found.status,
            config(found)
        );
        xml(200, &text).header("etag", &found.etag)
    }

    fn invalidate(&mut self, id: &str, body: &str) -> Done {
        let (reference, paths) = (inner(body, "CallerReference"), all(body, "Path"));
        let Some(reference) = reference.filter(|reference| !reference.is_empty()) else {
            return Err(refused(400, "MissingBody", "The batch has no CallerReference."));
        };
        if inner(body, "Quantity").and_then(|n| n.parse().ok()) != Some(paths.len()) {
            let message = "The value of Quantity and the size of Items don't match.";
            return Err(refused(400, "InconsistentQuantities", message));
        }
        let good = |path: &String| {
            path.starts_with('/')
                && path.bytes().all(|b| b.is_ascii_graphic())
                && !path.trim_end_matches('*').contains('*')
        };
        if paths.is_empty() || !paths.iter().all(good) {
            let message = "Your request contains one or more invalid invalidation paths.";
            return Err(refused(400, "InvalidArgument", message));
        }
        let same = self.invalidations.iter().find(|i| i.distribution == id && i.reference == reference);
        if let Some(same) = same {
            return match same.paths == paths {
                true => Ok(shown(201, same)),
                false => {
                    let message = "Your request contains a caller reference that was used for a previous \
                                   invalidation batch for the same distribution.";
                    Err(refused(400, "InvalidArgument", message))
                }
            };
        }
        let under_way = self.invalidations.iter().filter(|i| i.distribution == id && i.left > 0);
        let wildcard = |path: &&String| path.ends_with('*');
        let before: Vec<&String> = under_way.flat_map(|i| &i.paths).collect();
        let wild = before.iter().copied().chain(&paths).filter(wildcard).count();
        if before.len() + paths.len() > PATHS_MAX || wild > WILDCARDS_MAX {
            let message = "You have exceeded the maximum number of allowable InProgress invalidation paths.";
            return Err(refused(400, "TooManyInvalidationsInProgress", message));
        }
        let made = Invalidation {
            id: format!("I{:012}", self.invalidations.len() + 1),
            distribution: id.into(),
            reference,
            paths,
            left: self.looks,
        };
        self.invalidations.push(made.clone());
        Ok(shown(201, &made))
    }

    fn invalidation(&mut self, distribution: &str, id: &str) -> Done {
        let mut all = self.invalidations.iter_mut();
        let Some(found) = all.find(|i| i.distribution == distribution && i.id == id) else {
            return Err(refused(404, "NoSuchInvalidation", "The specified invalidation does not exist."));
        };
        let response = shown(200, found);
        found.left = found.left.saturating_sub(1);
        Ok(response)
    }

    fn list(&self, distribution: &str) -> Response {
        let mine: Vec<&Invalidation> =
            self.invalidations.iter().rev().filter(|i| i.distribution == distribution).collect();
        let items: String = mine
            .iter()
            .map(|i| {
                format!(
                    "<InvalidationSummary><Id>{}</Id><CreateTime>2026-01-01T00:00:00Z</CreateTime>\
                     <Status>{}</Status></InvalidationSummary>",
                    i.id,
                    status(i)
                )
            })
            .collect();
        let text = format!(
            "<InvalidationList xmlns=\"{NAMESPACE}\"><Marker></Marker><MaxItems>100</MaxItems>\
             <IsTruncated>false</IsTruncated><Quantity>{}</Quantity><Items>{items}</Items></InvalidationList>",
            mine.len()
        );
        xml(200, &text)
    }
}

fn refused(status: u16, code: &str, message: &str) -> Response {
    server::query_error(status, code, message)
}

fn xml(status: u16, text: &str) -> Response {
    server::xml(status, format!("<?xml version=\"1.0\"?>{text}"))
}

fn status(invalidation: &Invalidation) -> &'static str {
    if invalidation.left > 0 { "InProgress" } else { "Completed" }
}

fn shown(code: u16, i: &Invalidation) -> Response {
    let paths: String = i.paths.iter().map(|path| format!("<Path>{}</Path>", escaped(path))).collect();
    let text = format!(
        "<Invalidation xmlns=\"{NAMESPACE}\"><Id>{}</Id><Status>{}</Status>\
         <CreateTime>2026-01-01T00:00:00Z</CreateTime><InvalidationBatch><Paths><Quantity>{}</Quantity>\
         <Items>{paths}</Items></Paths><CallerReference>{}</CallerReference></InvalidationBatch></Invalidation>",
        i.id,
        status(i),
        i.paths.len(),
        escaped(&i.reference)
    );
    xml(code, &text)
}

fn config(found: &Distribution) -> String {
    let origins: String = found
        .origins
        .iter()
        .enumerate()
        .map(|(n, (domain, path))| {
            format!(
                "<Origin><Id>o{n}</Id><DomainName>{domain}</DomainName><OriginPath>{path}</OriginPath></Origin>"
            )
        })
        .collect();
    let pages: String = found
        .error_pages
        .iter()
        .map(|(code, page, seconds)| {
            format!(
                "<CustomErrorResponse><ErrorCode>{code}</ErrorCode><ResponsePagePath>{page}</ResponsePagePath>\
                 <ResponseCode>200</ResponseCode><ErrorCachingMinTTL>{seconds}</ErrorCachingMinTTL></CustomErrorResponse>"
            )
        })
        .collect();
    format!(
        "<DistributionConfig xmlns=\"{NAMESPACE}\"><CallerReference>made</CallerReference>\
         <DefaultRootObject>{}</DefaultRootObject>\
         <Origins><Quantity>{}</Quantity><Items>{origins}</Items></Origins>\
         <DefaultCacheBehavior><TargetOriginId>o0</TargetOriginId>\
         <ViewerProtocolPolicy>redirect-to-https</ViewerProtocolPolicy></DefaultCacheBehavior>\
         <CustomErrorResponses><Quantity>{}</Quantity><Items>{pages}</Items></CustomErrorResponses>\
         <Comment></Comment><Enabled>{}</Enabled></DistributionConfig>",
        found.default_root_object,
        found.origins.len(),
        found.error_pages.len(),
        found.enabled
    )
}

/// The text of the first element of this name.
fn inner(text: &str, name: &str) -> Option<String> {
    all(text, name).into_iter().next()
}

fn all(text: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&open)
        .skip(1)
        .filter_map(|rest| rest.split_once(&close))
        .map(|(inner, _)| {
            inner.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
        })
        .collect()
}
