//! What IAM asks of a caller: the actions behind a request, the resources they are asked on, and the policy
//! that must have them. From AWS's service authorization reference.

use super::{ACCOUNT, REGION, Request, ecs, server::decoded};

/// One action on one resource; the resource of an action that knows none is `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ask {
    pub action: String,
    pub resource: String,
}

/// What a caller may: actions and patterns of resources.
#[derive(Clone, Debug, Default)]
pub struct Policy(pub Vec<(String, String)>);

impl Policy {
    pub fn allows(&self, ask: &Ask) -> bool {
        self.0.iter().any(|(action, resource)| *action == ask.action && fits(resource, &ask.resource))
    }
}

/// `*` in the pattern stands for anything; a resource of `*` takes a pattern of `*`.
fn fits(pattern: &str, resource: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == resource,
        Some((start, rest)) => resource.strip_prefix(start).is_some_and(|tail| {
            let from = |at: usize| tail.get(at..).is_some_and(|tail| fits(rest, tail));
            (0..=tail.len()).any(from)
        }),
    }
}

/// Everything that IAM looks at before the request is carried out.
pub fn asks(request: &Request) -> Vec<Ask> {
    match request.service.as_str() {
        "sts" => Vec::new(),
        "ecs" => of_ecs(request),
        "elasticloadbalancing" => of_elb(request),
        "lambda" => of_lambda(request),
        "rds" => of_rds(request),
        "s3" => of_s3(request),
        "cloudfront" => of_cloudfront(request),
        "monitoring" => vec![ask(format!("cloudwatch:{}", request.operation), "*")],
        service => vec![ask(format!("{service}:{}", request.operation), "*")],
    }
}

fn ask(action: impl Into<String>, resource: impl Into<String>) -> Ask {
    Ask { action: action.into(), resource: resource.into() }
}

fn of_ecs(request: &Request) -> Vec<Ask> {
    let json = request.json();
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_string();
    let own = format!("ecs:{}", request.operation);
    let service = |name: &str| match name.starts_with("arn:") {
        true => name.to_string(),
        false => {
            let cluster = text("cluster");
            ecs::arn(&format!("service/{}/{name}", cluster.rsplit('/').next().unwrap_or_default()))
        }
    };
    match request.operation.as_str() {
        "DescribeServices" => {
            let names = json["services"].as_array().cloned().unwrap_or_default();
            names.iter().filter_map(|name| Some(ask(&*own, service(name.as_str()?)))).collect()
        }
        "UpdateService" => vec![ask(own, service(&text("service")))],
        "RegisterTaskDefinition" => {
            let roles = ["taskRoleArn", "executionRoleArn"].map(text).into_iter().filter(|r| !r.is_empty());
            let tagged = json["tags"].as_array().is_some_and(|tags| !tags.is_empty());
            let definition = ecs::arn(&format!("task-definition/{}:*", text("family")));
            let tags = tagged.then(|| ask("ecs:TagResource", definition));
            [ask(own, "*")]
                .into_iter()
                .chain(roles.map(|role| ask("iam:PassRole", role)))
                .chain(tags)
                .collect()
        }
        "TagResource" | "UntagResource" => vec![ask(own, text("resourceArn"))],
        _ => vec![ask(own, "*")],
    }
}

fn of_elb(request: &Request) -> Vec<Ask> {
    let form = request.form();
    let written = ["RuleArn", "ListenerArn"].iter().find_map(|key| form.get(*key));
    let resource = written.filter(|_| request.operation.starts_with("Modify"));
    vec![ask(
        format!("elasticloadbalancing:{}", request.operation),
        resource.cloned().unwrap_or_else(|| "*".into()),
    )]
}

fn of_lambda(request: &Request) -> Vec<Ask> {
    let function = request.path.split('/').skip_while(|part| *part != "functions").nth(1).unwrap_or_default();
    let name = function.rsplit(':').next().unwrap_or_default();
    let qualifier = request.query.get("Qualifier").map_or(String::new(), |version| format!(":{version}"));
    let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}{qualifier}");
    let mut asks = vec![ask(format!("lambda:{}", request.operation), arn)];
    if request.operation == "UpdateFunctionCode" {
        let json = request.json();
        if let (Some(bucket), Some(key)) = (json["S3Bucket"].as_str(), json["S3Key"].as_str()) {
            asks.push(ask("s3:GetObject", format!("arn:aws:s3:::{bucket}/{key}")));
        }
    }
    asks
}

fn of_rds(request: &Request) -> Vec<Ask> {
    let form = request.form();
    let own = format!("rds:{}", request.operation);
    let arn = |kind: &str, key: &str| {
        form.get(key).map(|name| format!("arn:aws:rds:{REGION}:{ACCOUNT}:{kind}:{name}"))
    };
    let instance = || arn("db", "DBInstanceIdentifier");
    let snapshot = || arn("snapshot", "DBSnapshotIdentifier");
    let cluster = || arn("cluster", "DBClusterIdentifier");
    let of_cluster = |key: &str| arn("cluster-snapshot", key);
    let (resources, made) = match request.operation.as_str() {
        "CreateDBSnapshot" => (vec![instance(), snapshot()], snapshot()),
        "DeleteDBSnapshot" => (vec![snapshot()], None),
        "RestoreDBInstanceFromDBSnapshot" => {
            let more =
                [("subgrp", "DBSubnetGroupName"), ("pg", "DBParameterGroupName"), ("og", "OptionGroupName")];
            let groups = more.map(|(kind, key)| arn(kind, key));
            (groups.into_iter().chain([instance(), snapshot()]).collect(), instance())
        }
        "CreateDBClusterSnapshot" => {
            let taken = of_cluster("DBClusterSnapshotIdentifier");
            (vec![cluster(), taken.clone()], taken)
        }
        "DeleteDBClusterSnapshot" => (vec![of_cluster("DBClusterSnapshotIdentifier")], None),
        "RestoreDBClusterFromSnapshot" => {
            let more = [("subgrp", "DBSubnetGroupName"), ("cluster-pg", "DBClusterParameterGroupName")];
            let groups = more.map(|(kind, key)| arn(kind, key));
            let from = of_cluster("SnapshotIdentifier");
            (groups.into_iter().chain([cluster(), from]).collect(), cluster())
        }
        "CreateDBInstance" => (vec![instance(), cluster(), arn("pg", "DBParameterGroupName")], instance()),
        _ => return vec![ask(own, "*")],
    };
    let tags = form.keys().any(|key| key.starts_with("Tags."));
    let tagged = made.filter(|_| tags).map(|made| ask("rds:AddTagsToResource", made));
    resources.into_iter().flatten().map(|resource| ask(&*own, resource)).chain(tagged).collect()
}

fn of_s3(request: &Request) -> Vec<Ask> {
    let arn = |path: &str| format!("arn:aws:s3:::{}", path.trim_start_matches('/'));
    let (here, path) = (arn(&request.path), request.path.trim_start_matches('/'));
    let bucket = arn(path.split('/').next().unwrap_or_default());
    match request.operation.as_str() {
        "HeadObject" | "GetObject" => vec![ask("s3:GetObject", here)],
        "HeadBucket" | "ListObjectsV2" => vec![ask("s3:ListBucket", bucket)],
        "GetBucketVersioning" => vec![ask("s3:GetBucketVersioning", bucket)],
        "CopyObject" => {
            let from = arn(&decoded(request.header("x-amz-copy-source"), false));
            let get = ask("s3:GetObject", from);
            [get, ask("s3:PutObject", &*here)].into_iter().chain(acl(request, &here)).collect()
        }
        "PutObject" => [ask("s3:PutObject", &*here)].into_iter().chain(acl(request, &here)).collect(),
        operation => vec![ask(format!("s3:{operation}"), here)],
    }
}

fn acl(request: &Request, object: &str) -> Option<Ask> {
    let given = !request.header("x-amz-acl").is_empty();
    given.then(|| ask("s3:PutObjectAcl", object))
}

fn of_cloudfront(request: &Request) -> Vec<Ask> {
    let id = request.path.split('/').skip_while(|part| *part != "distribution").nth(1).unwrap_or_default();
    let arn = format!("arn:aws:cloudfront::{ACCOUNT}:distribution/{id}");
    vec![ask(format!("cloudfront:{}", request.operation), arn)]
}

#[test]
fn a_pattern_fits_what_it_names_and_nothing_else() {
    for (pattern, resource, is) in [
        ("*", "*", true),
        ("arn:aws:s3:::shop/*", "arn:aws:s3:::shop/a/b", true),
        ("arn:aws:s3:::shop/*", "arn:aws:s3:::shop", false),
        ("arn:aws:s3:::shop", "*", false),
        ("a*c", "abbc", true),
        ("a*c", "abcd", false),
    ] {
        assert_eq!(fits(pattern, resource), is, "{pattern} {resource}");
    }
}
