//! Who calls: the ways to credentials, and what becomes of a call in trouble.

use std::sync::Arc;
use tidegate::{adapter::aws::Aws, port::Fault};

use crate::double::{self, Double};

fn way_in(url: &str) -> Arc<Aws> {
    let folder = tempfile::tempdir().unwrap();
    Aws::shared(&double::access(url), &double::setting(folder.path()))
}

async fn who(aws: &Arc<Aws>) -> Result<String, Fault> {
    aws.identity(&double::within(10)).await.map(|(account, arn)| format!("{account} {arn}"))
}

#[tokio::test]
async fn keys_in_the_environment_are_used_and_the_endpoint_of_the_options() {
    let double = Double::start();
    let aws = way_in(&double.url);
    assert_eq!(who(&aws).await.unwrap(), "123456789012 arn:aws:iam::123456789012:user/ci");
    assert_eq!(double.operations("sts"), ["GetCallerIdentity"]);
}
