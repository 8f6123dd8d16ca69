//! Who calls: the ways to credentials, and what becomes of a call in trouble.

use std::sync::Arc;
use tidegate::{
    adapter::aws::{Access, Aws},
    port::{Fault, Treat},
};

use crate::{
    double::{self, Double, USER},
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

fn through(url: &str, roles: &[&str]) -> Arc<Aws> {
    let folder = tempfile::tempdir().unwrap();
    let role = roles.iter().map(|arn| arn.to_string().try_into().unwrap()).collect();
    Aws::shared(&Access { role, ..double::access(url) }, &double::setting(folder.path()))
}

const FIRST: &str = "arn:aws:iam::123456789012:role/first";
const SECOND: &str = "arn:aws:iam::123456789012:role/second";

#[tokio::test]
async fn a_chain_of_roles_is_assumed_one_after_the_other_and_once_for_all_calls() {
    let double = Double::start();
    double.state().sts.role(FIRST, &[USER]);
    double.state().sts.role(SECOND, &[FIRST]);
    let aws = through(&double.url, &[FIRST, SECOND]);
    let second = "123456789012 arn:aws:sts::123456789012:assumed-role/second/tidegate";
    for _ in 0..3 {
        assert_eq!(who(&aws).await.unwrap(), second);
    }
    assert_eq!(double.state().sts.chains, [vec![FIRST], vec![FIRST, SECOND]]);
    let asked = ["AssumeRole", "AssumeRole", "GetCallerIdentity", "GetCallerIdentity", "GetCallerIdentity"];
    assert_eq!(double.operations("sts"), asked);
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_is_told_with_who_asked_for_it() {
    let double = Double::start();
    double.state().sts.role(FIRST, &[USER]);
    double.state().sts.role(SECOND, &[USER]);
    let fault = who(&through(&double.url, &[FIRST, SECOND])).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent);
    assert!(fault.detail.contains(FIRST) && fault.detail.contains(SECOND), "{fault}");
    assert!(fault.detail.contains("not authorized to perform: sts:AssumeRole"), "{fault}");
    assert!(fault.hint.unwrap().contains("get-caller-identity"));
}

#[tokio::test]
async fn trouble_while_a_role_is_assumed_is_overcome() {
    for trouble in Trouble::ALL {
        let double = Double::start();
        let proxy = Proxy::start(&double.url);
        proxy.plan(When::first("sts", "AssumeRole"), trouble);
        double.state().sts.role(FIRST, &[USER]);
        let done = who(&through(&proxy.url, &[FIRST])).await;
        assert!(done.is_ok(), "{trouble:?}: {done:?}");
        assert_eq!(proxy.troubles(), [trouble]);
    }
}

#[tokio::test]
async fn credentials_that_expire_in_the_middle_are_taken_anew() {
    let double = Double::start();
    double.state().sts.role(FIRST, &[USER]);
    double.state().sts.calls_per_key = Some(2);
    let aws = through(&double.url, &[FIRST]);
    for _ in 0..5 {
        who(&aws).await.unwrap();
    }
    assert_eq!(double.state().sts.chains.len(), 3);
    let refused = double.calls().iter().filter(|call| call.status == 403).count();
    assert_eq!(refused, 2);
}

#[tokio::test]
async fn credentials_that_stay_expired_are_told_after_one_more_try() {
    let double = Double::start();
    double.state().sts.expire(double::KEY_ID);
    let fault = who(&way_in(&double.url)).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent);
    assert!(fault.hint.unwrap().contains("expired"));
    assert_eq!(double.operations("sts").len(), 2);
}
