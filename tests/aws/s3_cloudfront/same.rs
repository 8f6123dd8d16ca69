//! The state after tidegate is the state after the commands of the runbook.

use std::process::Command;

use super::world::{FIRST, SECOND, World, create, write};
use crate::{double, moto};

const RUNBOOK_BUCKET: &str = "shop-runbook";

/// Compares two buckets key by key, without what is tidegate's own. The AWS CLI asks Python what a file is,
/// which asks the machine: two types have an older name on some.
const SAME: &str = r#"
import sys, boto3
s3 = boto3.client("s3", endpoint_url=sys.argv[1])
def state(bucket):
    found = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", []):
            key = item["Key"]
            if not key.startswith(".tidegate/"):
                got = s3.get_object(Bucket=bucket, Key=key)
                kind = got["ContentType"]
                kind = {"application/javascript": "text/javascript", "text/xml": "application/xml"}.get(kind, kind)
                found[key] = (got["Body"].read(), kind)
    return found
ours, theirs = state(sys.argv[2]), state(sys.argv[3])
for key in sorted(set(ours) | set(theirs)):
    if ours.get(key) != theirs.get(key):
        sys.exit(f"{key}: tidegate {ours.get(key)}, runbook {theirs.get(key)}")
print(len(ours))
"#;

fn run(world: &World, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(moto::python().join("bin").join(program))
        .args(arguments)
        .current_dir(world.folder.path())
        .env_clear()
        .envs(double::environment(world.url()))
        .env("AWS_DEFAULT_REGION", double::REGION)
        .env("PATH", std::env::var_os("PATH").unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_site_after_a_release_is_the_site_after_aws_s3_sync() {
    let world = World::moto().await;
    let url = world.url().to_string();
    create(&world.client(), RUNBOOK_BUCKET).await;
    let copy = format!("s3://{RUNBOOK_BUCKET}");
    run(&world, "aws", &["--endpoint-url", &url, "s3", "sync", "s3://shop-web", &copy]);
    let types = [
        ("index.html", "page"),
        ("site.css", "css"),
        ("app.js", "js"),
        ("data.json", "{}"),
        ("icon.svg", "<svg/>"),
        ("favicon.ico", "icon"),
        ("photo.jpg", "jpg"),
        ("photo.png", "png"),
        ("robots.txt", "text"),
        ("feed.xml", "xml"),
        ("README", "none"),
    ];
    for (side, release, files) in [("green", "v1", &FIRST[..]), ("blue", "v2", &SECOND[..])] {
        world.build(files);
        write(&world.folder.path().join("dist"), &types[1..]);
        world.deploy(side, release).await.unwrap();
        world.switch(side).await;
        let distribution = world.options["distribution"].as_str().unwrap();
        run(&world, "aws", &["--endpoint-url", &url, "s3", "sync", "dist/", &copy, "--size-only"]);
        // `sync` looks at size and time; equal sizes of another content it does not see
        run(&world, "aws", &["--endpoint-url", &url, "s3", "cp", "dist/", &copy, "--recursive"]);
        let invalidate = ["cloudfront", "create-invalidation", "--distribution-id", distribution];
        let paths = ["--paths", "/*"];
        run(&world, "aws", &[&["--endpoint-url", &url][..], &invalidate, &paths].concat());
        if release == "v2" {
            // the page that the second release has no more: `sync --delete` would take the assets, too
            let gone = format!("{copy}/about.html");
            run(&world, "aws", &["--endpoint-url", &url, "s3", "rm", &gone]);
        }
        let compared = run(&world, "python", &["-c", SAME, &url, "shop-web", RUNBOOK_BUCKET]);
        assert!(compared.trim().parse::<usize>().unwrap() >= 15, "{compared}");
    }
}
