//! Who calls: the ways to credentials, and what becomes of a call in trouble.

use std::sync::Arc;
use tidegate::{adapter::aws::Aws, port::Fault};

use crate::{
    double::{self, Double},
    moto::Moto,
    proxy::{Proxy, Trouble, When},
};

fn way_in(url: &str) -> Arc<Aws> {
    let folder = tempfile::tempdir().unwrap();
    Aws::shared(&double::access(url), &double::setting(folder.path()))
}

async fn who(aws: &Arc<Aws>) -> Result<String, Fault> {
    aws.identity(&double::hurried(30)).await.map(|(account, arn)| format!("{account} {arn}"))
}

#[tokio::test]
async fn keys_in_the_environment_are_used_and_the_endpoint_of_the_options() {
    let double = Double::start();
    let aws = way_in(&double.url);
    assert_eq!(who(&aws).await.unwrap(), "123456789012 arn:aws:iam::123456789012:user/ci");
    assert_eq!(double.operations("sts"), ["GetCallerIdentity"]);
}

#[tokio::test]
async fn moto_knows_who_calls() {
    let moto = Moto::start();
    assert!(who(&way_in(&moto.url)).await.unwrap().starts_with("123456789012 arn:aws:"));
}

#[tokio::test]
async fn each_trouble_with_a_read_is_overcome_or_told_in_the_right_words() {
    for trouble in Trouble::ALL {
        let double = Double::start();
        let proxy = Proxy::start(&double.url);
        proxy.plan(When::first("sts", "GetCallerIdentity"), trouble);
        let aws = way_in(&proxy.url);
        assert!(who(&aws).await.is_ok(), "{trouble:?}");
        assert_eq!(proxy.troubles(), [trouble]);
        let after = who(&aws).await;
        assert!(after.is_ok(), "{trouble:?}: {after:?}");
    }
}
