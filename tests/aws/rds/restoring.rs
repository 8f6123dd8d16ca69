//! Restores: a new database like the old one, and never over it.

use std::{collections::BTreeMap, time::Duration};
use tidegate::port::{Silent, Treat};

use super::{Heard, KEY, Of, connect, double, hours, within};
use crate::double::rds::{Cluster, Instance};

/// Without what differs by nature.
fn bare(instance: &Instance) -> Instance {
    let tags = instance.tags.iter().filter(|(name, _)| !name.starts_with("tidegate:"));
    Instance {
        id: String::new(),
        cluster: String::new(),
        tags: tags.map(|(name, value)| (name.clone(), value.clone())).collect(),
        ..instance.clone()
    }
}

fn bare_cluster(cluster: &Cluster) -> Cluster {
    let tags = cluster.tags.iter().filter(|(name, _)| !name.starts_with("tidegate:"));
    Cluster {
        id: String::new(),
        writer: String::new(),
        tags: tags.map(|(name, value)| (name.clone(), value.clone())).collect(),
        ..cluster.clone()
    }
}

#[tokio::test]
async fn an_instance_comes_back_beside_the_old_one_with_all_that_it_had() {
    let double = double();
    double.state().rds.instances.get_mut("rastup-prod").unwrap().tags.insert("aws:stack".into(), "x".into());
    let (db, cx, heard) = (connect(Of::Instance, &double.url), hours(), Heard::default());
    let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
    let lines = db.restore(&cx, &artifact, "Rastup-Prod-Rollback", &heard).await.unwrap();
    let host = |id: &str| format!("{id}.c0ffee.eu-west-1.rds.amazonaws.com:5433");
    let (old, new) = (host("rastup-prod"), host("rastup-prod-rollback"));
    let text = lines.join("\n");
    for wanted in [
        format!("endpoint: {new}"),
        format!("from {old} to {new}"),
        "after 2026-01-01T00:01:00.123Z".into(),
        "still runs and costs".into(),
        "protected against deletion".into(),
    ] {
        assert!(text.contains(&wanted), "{wanted}: {text}");
    }
    assert!(heard.lines().contains(&"restore main: rastup-prod-rollback: creating".to_string()));
    let state = double.state();
    let (old, new) = (&state.rds.instances["rastup-prod"], &state.rds.instances["rastup-prod-rollback"]);
    let mut wanted = bare(old);
    wanted.tags.remove("aws:stack");
    assert_eq!(format!("{:?}", bare(new)), format!("{wanted:?}"));
    assert_eq!(new.tags["tidegate:restored-from"], artifact.id);
    // a copy of its tags on a snapshot must not look like ours
    assert!(!new.tags.contains_key("tidegate:unit"));
}

#[tokio::test]
async fn a_cluster_comes_back_with_as_many_instances_writer_first() {
    for of in [Of::Aurora, Of::Documents] {
        let double = double();
        let (db, cx) = (connect(of, &double.url), hours());
        let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
        let lines = db.restore(&cx, &artifact, "back", &Silent).await.unwrap();
        assert!(lines.contains(&"instances: back-1, back-2".to_string()), "{lines:?}");
        let state = double.state();
        let id = of.option().1.split_once(": ").unwrap().1;
        let (old, new) = (&state.rds.clusters[id], &state.rds.clusters["back"]);
        assert_eq!(format!("{:?}", bare_cluster(new)), format!("{:?}", bare_cluster(old)));
        assert_eq!(new.writer, "back-1");
        for (new, old) in [("back-1", "b"), ("back-2", "a")] {
            let (new, old) = (&state.rds.instances[new], &state.rds.instances[&format!("{id}-{old}")]);
            assert_eq!(new.cluster, "back");
            assert_eq!(format!("{:?}", bare(new)), format!("{:?}", bare(old)));
        }
    }
}

#[tokio::test]
async fn storage_is_asked_for_only_where_rds_lets_it_be() {
    for (kind, iops, throughput, wanted) in [
        ("gp3", 3000, 125, [None, None]),
        ("gp2", 0, 0, [None, None]),
        ("io1", 2000, 0, [Some("2000"), None]),
    ] {
        let double = double();
        {
            let mut state = double.state();
            let instance = state.rds.instances.get_mut("rastup-prod").unwrap();
            (instance.storage_type, instance.iops, instance.throughput) = (kind.into(), iops, throughput);
        }
        let (db, cx) = (connect(Of::Instance, &double.url), hours());
        let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
        db.restore(&cx, &artifact, "back", &Silent).await.unwrap();
        let state = double.state();
        let asked = &state.rds.asked["back"];
        let got = ["Iops", "StorageThroughput"].map(|name| asked.get(name).map(String::as_str));
        assert_eq!((got, asked["StorageType"].as_str()), (wanted, kind));
    }
}

/// RDS has `default.FAMILY` and `default:ENGINE-VERSION`; a name that merely begins like them is somebody's own.
#[tokio::test]
async fn groups_of_somebody_s_own_are_kept_whatever_they_are_called_and_those_of_rds_left_to_it() {
    for (parameters, options, wanted) in [
        ("default-tuned-pg15", "default-audited", [Some("default-tuned-pg15"), Some("default-audited")]),
        ("defaults", "defaulted", [Some("defaults"), Some("defaulted")]),
        ("default.postgres15", "default:postgres-15", [None, None]),
    ] {
        let double = double();
        {
            let mut state = double.state();
            let old = state.rds.instances["rastup-prod"].clone();
            state.rds.add(Instance {
                parameter_group: parameters.into(),
                option_group: options.into(),
                ..old
            });
            let old = state.rds.clusters["rastup-aurora"].clone();
            state.rds.add_cluster(Cluster { parameter_group: parameters.into(), ..old });
        }
        let names = ["DBParameterGroupName", "OptionGroupName", "DBClusterParameterGroupName"];
        for (of, wanted) in
            [(Of::Instance, [wanted[0], wanted[1], None]), (Of::Aurora, [None, None, wanted[0]])]
        {
            let (db, cx) = (connect(of, &double.url), hours());
            let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
            let into = if of == Of::Instance { "back" } else { "aurora-back" };
            db.restore(&cx, &artifact, into, &Silent).await.unwrap();
            let state = double.state();
            let asked = &state.rds.asked[into];
            let got = names.map(|name| asked.get(name).map(String::as_str));
            assert_eq!(got, wanted, "{of:?} with {parameters} and {options}");
        }
    }
}

/// A Multi-AZ cluster, whose instances RDS makes itself.
#[tokio::test]
async fn a_multi_az_cluster_is_asked_for_iops_only_where_its_storage_takes_them() {
    for (kind, iops, wanted) in [
        ("io1", 3000, Some("3000")),
        ("io1", 0, None),
        ("gp3", 3000, None),
        ("gp3", 12_000, Some("12000")),
        ("aurora", 0, None),
    ] {
        let double = double();
        let of = Of::Aurora;
        let id = of.option().1.split_once(": ").unwrap().1.to_string();
        {
            let mut state = double.state();
            let cluster = state.rds.clusters.get_mut(&id).unwrap();
            (cluster.storage_type, cluster.iops) = (kind.into(), iops);
            cluster.class = Some("db.m6gd.large".into());
        }
        let (db, cx) = (connect(of, &double.url), hours());
        let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
        db.restore(&cx, &artifact, "back", &Silent).await.unwrap();
        let state = double.state();
        let asked = &state.rds.asked["back"];
        let got = ["Iops", "DBClusterInstanceClass"].map(|name| asked.get(name).map(String::as_str));
        assert_eq!(got, [wanted, Some("db.m6gd.large")], "{kind} {iops}");
    }
}

#[tokio::test]
async fn nothing_is_restored_over_what_exists() {
    for of in Of::ALL {
        let double = double();
        let (db, cx) = (connect(of, &double.url), hours());
        let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
        let own = of.option().1.split_once(": ").unwrap().1;
        let taken = if of == Of::Instance { "rastup-aurora-a" } else { "taken" };
        double.state().rds.add_cluster(Cluster::new("taken", "docdb"));
        for (into, said) in [
            (own, "never goes over the old one"),
            (taken, "exists already"),
            ("1st", "not an identifier"),
            ("two--hyphens", "not an identifier"),
        ] {
            let fault = db.restore(&cx, &artifact, into, &Silent).await.unwrap_err();
            assert!(fault.treat == Treat::Permanent && fault.detail.contains(said), "{fault}");
        }
        let operations = double.operations("rds");
        assert!(!operations.iter().any(|operation| operation.starts_with("Restore")));
    }
    // the name is free, that of its second instance is not
    let double = double();
    double.state().rds.add(Instance::new("back-2"));
    let (db, cx) = (connect(Of::Aurora, &double.url), hours());
    let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
    let fault = db.restore(&cx, &artifact, "back", &Silent).await.unwrap_err();
    assert!(fault.detail.contains("back-2 exists already"), "{fault}");
    let long = "b".repeat(62);
    let fault = db.restore(&cx, &artifact, &long, &Silent).await.unwrap_err();
    assert!(fault.hint.unwrap().contains("shorter"));
    assert!(!double.state().rds.clusters.contains_key(&long));
}

#[tokio::test]
async fn a_restore_that_was_cut_off_is_continued() {
    for of in Of::ALL {
        let double = double();
        let (db, cx) = (connect(of, &double.url), hours());
        let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
        double.state().rds.looks = 30;
        let late = db.restore(&within(120), &artifact, "back", &Silent).await.unwrap_err();
        assert_eq!(late.treat, Treat::Temporary);
        assert!(late.hint.unwrap().contains("continued"));
        double.state().rds.looks = 2;
        // and once in the middle of the instances
        let mut work = db.restore(&cx, &artifact, "back", &Silent);
        let mut done = false;
        while !done && !double.state().rds.instances.contains_key("back-1") {
            tokio::select! { biased; _ = &mut work => done = true, () = tokio::time::sleep(Duration::from_millis(1)) => {} }
        }
        drop(work);
        db.restore(&cx, &artifact, "back", &Silent).await.unwrap();
        let counted = double.operations("rds").into_iter().fold(BTreeMap::new(), |mut all, operation| {
            *all.entry(operation).or_insert(0) += 1;
            all
        });
        let restores = counted.iter().filter(|(operation, _)| operation.starts_with("Restore"));
        assert_eq!(restores.map(|(_, count)| count).sum::<i32>(), 1);
        assert_eq!(counted.get("CreateDBInstance").copied(), (of != Of::Instance).then_some(2));
    }
}

#[tokio::test]
async fn without_the_original_rds_chooses_and_it_is_said() {
    for of in Of::ALL {
        let double = double();
        let (db, cx) = (connect(of, &double.url), hours());
        let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
        double.state().rds.instances.clear();
        double.state().rds.clusters.clear();
        db.verify(&cx, &artifact).await.unwrap();
        let lines = db.restore(&cx, &artifact, "back", &Silent).await.unwrap();
        let text = lines.join("\n");
        assert!(text.contains("is gone, so RDS chose"), "{text}");
        assert_eq!(text.contains("create-db-instance"), of != Of::Instance, "{text}");
    }
}

#[tokio::test]
async fn a_restore_that_breaks_says_how_it_ended() {
    for (of, status) in [(Of::Instance, "incompatible-parameters"), (Of::Aurora, "failed")] {
        let double = double();
        let (db, cx) = (connect(of, &double.url), hours());
        let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
        double.state().rds.broken = Some(status.into());
        let fault = db.restore(&cx, &artifact, "back", &Silent).await.unwrap_err();
        assert!(fault.treat == Treat::Permanent && fault.detail.contains(status), "{fault}");
    }
}

#[tokio::test]
async fn a_snapshot_that_is_not_encrypted_as_its_database_is_no_good() {
    let double = double();
    let (db, cx) = (connect(Of::Instance, &double.url), hours());
    let artifact = db.snapshot(&cx, KEY, &Silent).await.unwrap();
    Of::Instance.change(&double, &artifact.id, |snapshot| snapshot.encrypted = false);
    assert!(db.verify(&cx, &artifact).await.unwrap_err().detail.contains("encrypted"));
}
