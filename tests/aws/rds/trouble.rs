//! Every kind of trouble with every call: right, or the right words, and never two of anything.

use futures_util::future::join_all;
use tidegate::port::{Fault, Found, Silent, Treat};

use super::{KEY, Of, connect, double, hours};
use crate::proxy::{Proxy, Trouble, When};

/// What a fault after this trouble must be.
fn right_words(trouble: Trouble, fault: &Fault) {
    let treat = match trouble {
        Trouble::Internal | Trouble::ResetBefore | Trouble::Hang => Treat::OutcomeUnknown,
        _ => panic!("{trouble:?}: {fault}"),
    };
    assert_eq!(fault.treat, treat, "{trouble:?}: {fault}");
    assert!(fault.hint.as_deref().is_some_and(|hint| hint.contains("run it again")), "{fault:?}");
}

#[tokio::test]
async fn trouble_with_taking_a_snapshot_leaves_exactly_one() {
    let cases = Of::ALL.into_iter().flat_map(|of| Trouble::ALL.map(|trouble| (of, trouble)));
    join_all(cases.map(async |(of, trouble)| {
        let double = double();
        let proxy = Proxy::start(&double.url);
        proxy.plan(When::first("rds", of.create()), trouble);
        let (db, cx) = (connect(of, &proxy.url), hours());
        match db.snapshot(&cx, KEY, &Silent).await {
            Ok(artifact) => assert_eq!(db.find(&cx, KEY).await, Ok(Found::Ready(artifact))),
            Err(fault) => right_words(trouble, &fault),
        }
        assert_eq!(proxy.troubles(), [trouble]);
        db.snapshot(&cx, KEY, &Silent).await.unwrap();
        assert_eq!(of.kept(&double).len(), 1, "{of:?} {trouble:?}");
        assert_eq!(db.list(&cx).await.unwrap().len(), 1);
    }))
    .await;
}

#[tokio::test]
async fn trouble_with_deleting_a_snapshot_ends_with_none() {
    let cases = Of::ALL.into_iter().flat_map(|of| Trouble::ALL.map(|trouble| (of, trouble)));
    join_all(cases.map(async |(of, trouble)| {
        let double = double();
        let proxy = Proxy::start(&double.url);
        let (db, cx) = (connect(of, &proxy.url), hours());
        let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
        let operation = if of == Of::Instance { "DeleteDBSnapshot" } else { "DeleteDBClusterSnapshot" };
        proxy.plan(When::first("rds", operation), trouble);
        if let Err(fault) = db.delete(&cx, &artifact).await {
            assert_eq!(fault.treat, Treat::OutcomeUnknown, "{trouble:?}: {fault}");
            assert!(!trouble.is_done(), "{trouble:?}: {fault}");
        }
        assert_eq!(proxy.troubles(), [trouble]);
        db.delete(&cx, &artifact).await.unwrap();
        assert_eq!(db.list(&cx).await, Ok(vec![]));
    }))
    .await;
}

#[tokio::test]
async fn trouble_with_a_restore_leaves_one_new_database() {
    let writes = [
        (Of::Instance, "RestoreDBInstanceFromDBSnapshot"),
        (Of::Aurora, "RestoreDBClusterFromSnapshot"),
        (Of::Aurora, "CreateDBInstance"),
        (Of::Documents, "RestoreDBClusterFromSnapshot"),
        (Of::Documents, "CreateDBInstance"),
    ];
    let cases = writes.into_iter().flat_map(|write| Trouble::ALL.map(|trouble| (write, trouble)));
    join_all(cases.map(async |((of, operation), trouble)| {
        let double = double();
        let proxy = Proxy::start(&double.url);
        let (db, cx) = (connect(of, &proxy.url), hours());
        let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
        proxy.plan(When::first("rds", operation), trouble);
        if let Err(fault) = db.restore(&cx, &artifact, "back", &Silent).await {
            right_words(trouble, &fault);
        }
        assert_eq!(proxy.troubles(), [trouble]);
        db.restore(&cx, &artifact, "back", &Silent).await.unwrap();
        let state = double.state();
        // the two clusters have two instances each
        let (instances, clusters) = if of == Of::Instance { (6, 2) } else { (7, 3) };
        assert_eq!(
            (state.rds.instances.len(), state.rds.clusters.len()),
            (instances, clusters),
            "{trouble:?}"
        );
    }))
    .await;
}

#[tokio::test]
async fn trouble_with_looking_is_overcome() {
    let reads = [
        (Of::Instance, "DescribeDBSnapshots"),
        (Of::Instance, "DescribeDBInstances"),
        (Of::Aurora, "DescribeDBClusterSnapshots"),
        (Of::Aurora, "DescribeDBClusters"),
        (Of::Aurora, "DescribeDBInstances"),
    ];
    let cases = reads.into_iter().flat_map(|read| Trouble::ALL.map(|trouble| (read, trouble)));
    join_all(cases.map(async |((of, operation), trouble)| {
        let double = double();
        let proxy = Proxy::start(&double.url);
        // new credentials that are refused at once are no trouble but the end
        let times: &[usize] = if trouble == Trouble::Expired { &[1] } else { &[1, 3, 5] };
        for &nth in times {
            proxy.plan(When::nth("rds", operation, nth), trouble);
        }
        let (db, cx) = (connect(of, &proxy.url), hours());
        let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
        db.verify(&cx, &artifact).await.unwrap();
        db.restore(&cx, &artifact, "back", &Silent).await.unwrap();
        assert_eq!(db.list(&cx).await.unwrap(), [artifact]);
        assert_eq!(proxy.troubles(), vec![trouble; times.len()], "{operation}");
        assert_eq!(of.kept(&double).len(), 1);
    }))
    .await;
}
