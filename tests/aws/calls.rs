//! What becomes of a call in trouble: a read is asked again, a write never without knowing.

use std::sync::Arc;
use tidegate::{
    adapter::aws::{self, Aws, Intent, call},
    port::{Context, Fault, Treat},
};

use crate::{
    double::{self, Double},
    proxy::{Proxy, Trouble, When},
};

fn way_in(url: &str) -> Arc<Aws> {
    let folder = tempfile::tempdir().unwrap();
    Aws::shared(&double::access(url), &double::setting(folder.path()))
}

async fn put(aws: &Arc<Aws>, cx: &Context) -> Result<(), Fault> {
    call(aws, cx, &Intent::write("s3", "PutObject", "b/k"), async |config| {
        aws::s3(&config).put_object().bucket("b").key("k").body(b"text".to_vec().into()).send().await
    })
    .await
    .map(drop)
}

async fn get(aws: &Arc<Aws>, cx: &Context) -> Result<String, Fault> {
    let answer = call(aws, cx, &Intent::read("s3", "GetObject", "b/k"), async |config| {
        aws::s3(&config).get_object().bucket("b").key("k").send().await
    })
    .await?;
    Ok(String::from_utf8(answer.body.collect().await.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_read_is_asked_again_until_it_is_answered() {
    let double = Double::start();
    for trouble in Trouble::ALL {
        let proxy = Proxy::start(&double.url);
        let aws = way_in(&proxy.url);
        // a cut body is the reader's to notice
        if trouble == Trouble::Truncated {
            continue;
        }
        double.state().s3.put("b", "k", "text");
        proxy.plan(When::first("s3", "GetObject"), trouble);
        assert_eq!(get(&aws, &double::hurried(30)).await.unwrap(), "text", "{trouble:?}");
        assert_eq!(proxy.troubles(), [trouble]);
        assert_eq!(get(&aws, &double::hurried(30)).await.unwrap(), "text", "after {trouble:?}");
    }
}

#[tokio::test]
async fn a_write_is_sent_again_only_where_the_answer_says_that_nothing_was_done() {
    use Trouble::{Expired, SentTwice, Throttled400, Throttled429, Twice};
    let double = Double::start();
    double.state().s3.bucket("b");
    for trouble in Trouble::ALL {
        let proxy = Proxy::start(&double.url);
        let aws = way_in(&proxy.url);
        proxy.plan(When::first("s3", "PutObject"), trouble);
        let done = put(&aws, &double::hurried(8)).await;
        assert_eq!(proxy.troubles(), [trouble]);
        let sent = proxy.count("s3", "PutObject");

        match trouble {
            Throttled400 | Throttled429 | Expired => assert_eq!((done, sent), (Ok(()), 2), "{trouble:?}"),
            Twice | SentTwice => assert_eq!((done, sent), (Ok(()), 1), "{trouble:?}"),
            _ => {
                let fault = done.unwrap_err();
                assert_eq!((fault.treat, sent), (Treat::OutcomeUnknown, 1), "{trouble:?}: {fault}");
            }
        }
        // nothing that was left on a connection is taken for the next answer
        double.state().s3.put("b", "k", "other");
        assert_eq!(get(&aws, &double::hurried(30)).await.unwrap(), "other", "after {trouble:?}");
    }
}

#[tokio::test]
async fn a_write_to_nobody_was_not_sent_and_says_so() {
    let url = {
        let double = Double::start();
        double.url.clone()
    };
    let fault = put(&way_in(&url), &double::hurried(3)).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Temporary, "{fault}");
    assert!(fault.to_string().contains("Connection refused"), "{fault}");
}

#[tokio::test]
async fn a_refusal_for_want_of_a_permission_names_it() {
    let double = Double::start();
    double.state().s3.bucket("b");
    double.state().denied.insert("s3:PutObject".into());
    let fault = put(&way_in(&double.url), &double::hurried(30)).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Permanent);
    let hint = fault.hint.unwrap();
    assert!(hint.contains("`s3:PutObject`") && hint.contains("docs/permissions.md"), "{hint}");
    assert_eq!(double.operations("s3"), ["PutObject"]);
}

#[tokio::test]
async fn a_throttle_that_lasts_ends_as_temporary_at_the_deadline() {
    let double = Double::start();
    double.state().s3.bucket("b");
    let proxy = Proxy::start(&double.url);
    proxy.plan(When::all("s3", "*"), Trouble::Throttled400);
    let fault = put(&way_in(&proxy.url), &double::hurried(5)).await.unwrap_err();
    assert_eq!(fault.treat, Treat::Temporary);
    assert!(fault.detail.contains("SlowDown"), "{fault}");
    assert!(double.operations("s3").is_empty());
}
