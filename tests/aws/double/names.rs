//! The operation that a request asks for. Where the protocol does not say it, method and path do.

use super::server::Request;

/// `UpdateService`; empty if it cannot be told.
pub fn operation(request: &Request) -> String {
    if let Some(target) = request.headers.get("x-amz-target") {
        return target.rsplit('.').next().unwrap_or_default().to_string();
    }
    // /service/GraniteServiceVersion20100801/operation/GetMetricData
    if let Some((_, operation)) = request.path.split_once("/operation/") {
        return operation.to_string();
    }
    if let Some(action) = request.form().get("Action") {
        return action.clone();
    }
    let named = match request.service.as_str() {
        "s3" => s3(request),
        "lambda" => lambda(request),
        "cloudfront" => cloudfront(request),
        _ => "",
    };
    named.to_string()
}

fn s3(request: &Request) -> &'static str {
    let (bucket, key) = request.path.trim_start_matches('/').split_once('/').unwrap_or((&request.path, ""));
    let asks = |name: &str| request.query.contains_key(name);
    let copies = request.headers.contains_key("x-amz-copy-source");
    match (request.method.as_str(), bucket.trim_matches('/').is_empty(), key.is_empty()) {
        ("GET", true, _) => "ListBuckets",
        ("GET", _, true) if asks("location") => "GetBucketLocation",
        ("GET", _, true) if asks("versioning") => "GetBucketVersioning",
        ("GET", _, true) if asks("encryption") => "GetBucketEncryption",
        ("GET", _, true) if asks("list-type") => "ListObjectsV2",
        ("GET", _, true) => "ListObjects",
        ("PUT", _, true) if asks("versioning") => "PutBucketVersioning",
        ("PUT", _, true) => "CreateBucket",
        ("HEAD", _, true) => "HeadBucket",
        ("DELETE", _, true) => "DeleteBucket",
        ("POST", _, true) if asks("delete") => "DeleteObjects",
        ("GET", _, _) if asks("uploadId") => "ListParts",
        ("GET", _, _) if asks("tagging") => "GetObjectTagging",
        ("GET", _, _) if asks("acl") => "GetObjectAcl",
        ("GET", _, _) => "GetObject",
        ("HEAD", _, _) => "HeadObject",
        ("PUT", _, _) if asks("uploadId") => "UploadPart",
        ("PUT", _, _) if asks("tagging") => "PutObjectTagging",
        ("PUT", _, _) if copies => "CopyObject",
        ("PUT", _, _) => "PutObject",
        ("POST", _, _) if asks("uploads") => "CreateMultipartUpload",
        ("POST", _, _) if asks("uploadId") => "CompleteMultipartUpload",
        ("DELETE", _, _) if asks("uploadId") => "AbortMultipartUpload",
        ("DELETE", _, _) => "DeleteObject",
        _ => "",
    }
}

/// `/2015-03-31/functions/NAME/aliases/ALIAS`
fn lambda(request: &Request) -> &'static str {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').skip(1).collect();
    let listed = request.query.contains_key("List");
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["functions"]) => "ListFunctions",
        ("POST", ["functions"]) => "CreateFunction",
        ("GET", ["functions", _]) => "GetFunction",
        ("DELETE", ["functions", _]) => "DeleteFunction",
        ("GET", ["functions", _, "configuration"]) => "GetFunctionConfiguration",
        ("PUT", ["functions", _, "configuration"]) => "UpdateFunctionConfiguration",
        ("PUT", ["functions", _, "code"]) => "UpdateFunctionCode",
        ("GET", ["functions", _, "versions"]) => "ListVersionsByFunction",
        ("POST", ["functions", _, "versions"]) => "PublishVersion",
        ("GET", ["functions", _, "aliases"]) => "ListAliases",
        ("POST", ["functions", _, "aliases"]) => "CreateAlias",
        ("GET", ["functions", _, "aliases", _]) => "GetAlias",
        ("PUT", ["functions", _, "aliases", _]) => "UpdateAlias",
        ("DELETE", ["functions", _, "aliases", _]) => "DeleteAlias",
        ("POST", ["functions", _, "invocations"]) => "Invoke",
        ("GET", ["functions", _, "policy"]) => "GetPolicy",
        ("GET", ["functions", _, "provisioned-concurrency"]) if listed => "ListProvisionedConcurrencyConfigs",
        ("GET", ["functions", _, "provisioned-concurrency"]) => "GetProvisionedConcurrencyConfig",
        ("PUT", ["functions", _, "provisioned-concurrency"]) => "PutProvisionedConcurrencyConfig",
        ("DELETE", ["functions", _, "provisioned-concurrency"]) => "DeleteProvisionedConcurrencyConfig",
        ("GET", ["functions", _, "concurrency"]) => "GetFunctionConcurrency",
        ("PUT", ["functions", _, "concurrency"]) => "PutFunctionConcurrency",
        ("GET", ["tags", ..]) => "ListTags",
        ("GET", ["account-settings"]) => "GetAccountSettings",
        _ => "",
    }
}

/// `/2020-05-31/distribution/ID/config`
fn cloudfront(request: &Request) -> &'static str {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').skip(1).collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["distribution"]) => "ListDistributions",
        ("POST", ["distribution"]) if request.query.contains_key("WithTags") => "CreateDistributionWithTags",
        ("POST", ["distribution"]) => "CreateDistribution",
        ("GET", ["distribution", _]) => "GetDistribution",
        ("GET", ["distribution", _, "config"]) => "GetDistributionConfig",
        ("PUT", ["distribution", _, "config"]) => "UpdateDistribution",
        ("POST", ["distribution", _, "invalidation"]) => "CreateInvalidation",
        ("GET", ["distribution", _, "invalidation"]) => "ListInvalidations",
        ("GET", ["distribution", _, "invalidation", _]) => "GetInvalidation",
        ("GET", ["continuous-deployment-policy", _]) => "GetContinuousDeploymentPolicy",
        ("GET", ["continuous-deployment-policy", _, "config"]) => "GetContinuousDeploymentPolicyConfig",
        _ => "",
    }
}
