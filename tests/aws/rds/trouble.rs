//! Every trouble with every call: right, or the right words, and never two of anything.

use futures_util::future::join_all;
use std::fmt::Write as _;
use tidegate::{
    domain::record::Artifact,
    port::{Context, Database, Fault, Silent, Treat},
};

use super::{ID, KEY, Of, connect, double, hours, hurried};
use crate::{
    double::{Double, rds::Snapshot},
    troubled::{World, each},
};

/// An account, and the database in it that this is about.
struct Account {
    of: Of,
    double: Double,
}

impl World for Account {
    type Subject = dyn Database;

    fn copy(&self) -> Self {
        Account { of: self.of, double: self.double.copy() }
    }

    fn url(&self) -> &str {
        &self.double.url
    }

    fn subject(&self, url: &str) -> Box<dyn Database> {
        connect(self.of, url)
    }

    /// The snapshot, if it is good, and the new database: there or not.
    fn places(&self) -> Vec<String> {
        let good = |kept: &Snapshot| kept.fails.is_none() && !["failed", "deleting"].contains(&&*kept.status);
        let snapshot = self.of.kept(&self.double).get(ID).is_some_and(good);
        let rds = &self.double.state().rds;
        let new = ["back", "back-1", "back-2"].map(|id| rds.instances.contains_key(id));
        [snapshot, rds.clusters.contains_key("back")]
            .into_iter()
            .chain(new)
            .map(|is| is.to_string())
            .collect()
    }

    /// Snapshots, instances and clusters.
    fn made(&self) -> usize {
        let rds = &self.double.state().rds;
        let kept = rds.snapshots.values().chain(rds.cluster_snapshots.values());
        kept.filter(|kept| kept.status != "deleting").count() + rds.instances.len() + rds.clusters.len()
    }

    async fn state(&self) -> String {
        let (mut text, rds) = (String::new(), &self.double.state().rds);
        let kept = rds.snapshots.values().chain(rds.cluster_snapshots.values());
        for kept in kept.filter(|kept| kept.status != "deleting") {
            let _ = writeln!(text, "{} of {}: {} {:?}", kept.id, kept.of, kept.status, kept.tags);
        }
        let _ = writeln!(text, "{:?}\n{:?}", rds.instances, rds.clusters);
        text
    }

    fn calm(&self) -> Context {
        hours()
    }

    /// A write that hangs is given up after six seconds.
    fn pressed(&self) -> Context {
        hurried(10, 4 * 3600)
    }
}

/// One account for each kind of database, in which a snapshot takes two looks.
fn accounts() -> [Account; 3] {
    Of::ALL.map(|of| {
        let double = double();
        double.state().rds.looks = 2;
        Account { of, double }
    })
}

/// The same with a snapshot, and what is restored takes one look.
async fn with_snapshot() -> Vec<(Account, Artifact)> {
    join_all(accounts().map(async |account| {
        account.double.state().rds.looks = 1;
        let taken = account.subject(account.url()).snapshot(&hours(), KEY, &Silent).await.unwrap();
        (account, taken)
    }))
    .await
}

async fn taken(db: &dyn Database, cx: &Context) -> Result<String, Fault> {
    let taken = db.snapshot(cx, KEY, &Silent).await.inspect_err(says_to_run_it_again)?;
    Ok(format!("{taken:?}"))
}

/// What ended without an answer is found by the same command.
fn says_to_run_it_again(fault: &Fault) {
    assert!(fault.hint.as_deref().is_some_and(|hint| hint.contains("run it again")), "{fault:?}");
}

#[tokio::test]
async fn a_snapshot_is_taken_through_every_trouble_once() {
    join_all(accounts().map(|account| each(account, async |db, cx| taken(db, cx).await))).await;
}

#[tokio::test]
async fn a_failed_snapshot_is_told_with_its_reasons_through_every_trouble() {
    join_all(accounts().map(|account| {
        account.double.state().rds.fails = Some("Unable to use the KMS key".into());
        each(account, async |db, cx| match db.snapshot(cx, KEY, &Silent).await {
            Err(fault) if fault.treat == Treat::Permanent => Ok(fault.to_string()),
            answer => Ok(format!("{:?}", answer?)),
        })
    }))
    .await;
}

#[tokio::test]
async fn a_failed_snapshot_is_replaced_through_every_trouble() {
    join_all(accounts().map(async |account| {
        account.double.state().rds.fails = Some("Unable to use the KMS key".into());
        account.subject(account.url()).snapshot(&hours(), KEY, &Silent).await.unwrap_err();
        each(account, async |db, cx| {
            let taken = db.snapshot(cx, KEY, &Silent).await?;
            Ok(format!("{taken:?}"))
        })
        .await;
    }))
    .await;
}

#[tokio::test]
async fn a_snapshot_is_found_and_proved_through_every_trouble() {
    join_all(with_snapshot().await.into_iter().map(async |(account, artifact)| {
        each(account, async |db, cx| {
            let (found, listed) = (db.find(cx, KEY).await?, db.list(cx).await?);
            db.verify(cx, &artifact).await?;
            Ok(format!("{found:?} {listed:?}"))
        })
        .await;
    }))
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found_through_every_trouble() {
    join_all(accounts().map(|account| {
        each(account, async |db, cx| Ok(format!("{:?} {:?}", db.find(cx, KEY).await?, db.list(cx).await?)))
    }))
    .await;
}

#[tokio::test]
async fn a_snapshot_is_deleted_through_every_trouble() {
    join_all(with_snapshot().await.into_iter().map(async |(account, artifact)| {
        each(account, async |db, cx| {
            db.delete(cx, &artifact).await?;
            Ok(String::new())
        })
        .await;
    }))
    .await;
}

#[tokio::test]
async fn a_database_comes_back_through_every_trouble_once() {
    join_all(with_snapshot().await.into_iter().map(async |(account, artifact)| {
        each(account, async |db, cx| {
            let restored = db.restore(cx, &artifact, "back", &Silent).await;
            Ok(restored.inspect_err(says_to_run_it_again)?.join("\n"))
        })
        .await;
    }))
    .await;
}

#[tokio::test]
async fn preflight_finds_the_same_through_every_trouble() {
    join_all(
        accounts().map(|account| each(account, async |db, cx| Ok(format!("{:?}", db.preflight(cx).await)))),
    )
    .await;
}
