"""Prepares databases in moto and compares what tidegate made there with what boto3 makes. Told apart from
the test by its exit code and what it prints."""

import sys

import boto3

url, task, *arguments = sys.argv[1:]
keys = {"aws_access_key_id": "AKIATIDEGATE00000001", "aws_secret_access_key": "not-a-secret"}
options = {"endpoint_url": url, "region_name": "eu-west-1", **keys}
rds = boto3.client("rds", **options)

# What differs by nature: names, times, addresses, tags.
OWN = {
    "DBSnapshotIdentifier", "DBSnapshotArn", "SnapshotCreateTime", "OriginalSnapshotCreateTime", "TagList",
    "DBClusterSnapshotIdentifier", "DBClusterSnapshotArn", "ResponseMetadata",
    "DBInstanceIdentifier", "DBInstanceArn", "InstanceCreateTime", "Endpoint", "LatestRestorableTime",
    "DBClusterIdentifier", "DBClusterArn", "DbClusterResourceId", "ClusterCreateTime", "ReaderEndpoint",
    "EarliestRestorableTime", "HostedZoneId", "DBClusterMembers",
}
KEPT_TAGS = ("tidegate:",)


def prepare():
    ec2 = boto3.client("ec2", **options)
    subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]][:2]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    groups = [
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        for name in ("database", "office")
    ]
    rds.create_db_subnet_group(
        DBSubnetGroupName="prod-subnets", DBSubnetGroupDescription="prod", SubnetIds=subnets
    )
    rds.create_db_parameter_group(
        DBParameterGroupName="prod-postgres15", DBParameterGroupFamily="postgres15", Description="prod"
    )
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="prod-cluster",
        DBParameterGroupFamily="aurora-postgresql15",
        Description="prod",
    )
    rds.create_db_instance(
        DBInstanceIdentifier="rastup-prod", DBInstanceClass="db.r6g.large", Engine="postgres",
        EngineVersion="15.4", AllocatedStorage=100, StorageType="gp3", MasterUsername="root",
        MasterUserPassword="not-a-secret", Port=5433, DBSubnetGroupName="prod-subnets",
        VpcSecurityGroupIds=groups, DBParameterGroupName="prod-postgres15", MultiAZ=True,
        PubliclyAccessible=False, DeletionProtection=True, StorageEncrypted=True,
        EnableIAMDatabaseAuthentication=True, CopyTagsToSnapshot=True, AutoMinorVersionUpgrade=True,
        EnableCloudwatchLogsExports=["postgresql"], Tags=[{"Key": "team", "Value": "guides"}],
    )
    rds.create_db_cluster(
        DBClusterIdentifier="rastup-aurora", Engine="aurora-postgresql", EngineVersion="15.4",
        MasterUsername="root", MasterUserPassword="not-a-secret", Port=5434,
        DBSubnetGroupName="prod-subnets", VpcSecurityGroupIds=groups,
        DBClusterParameterGroupName="prod-cluster", DeletionProtection=True, StorageEncrypted=True,
        Tags=[{"Key": "team", "Value": "guides"}],
    )
    for number, size in enumerate(("large", "xlarge")):
        rds.create_db_instance(
            DBInstanceIdentifier=f"rastup-aurora-{'ab'[number]}", DBClusterIdentifier="rastup-aurora",
            Engine="aurora-postgresql", DBInstanceClass=f"db.r6g.{size}", PromotionTier=number,
        )


def same(title, ours, theirs):
    fields = (set(ours) | set(theirs)) - OWN
    wrong = [f"{title}: {f}: {ours.get(f)!r} is not {theirs.get(f)!r}" for f in sorted(fields)
             if ours.get(f) != theirs.get(f)]
    if wrong or not fields:
        sys.exit("\n".join(wrong) or f"{title}: nothing to compare")


def tags(thing):
    return {t["Key"]: t["Value"] for t in thing["TagList"] if not t["Key"].startswith(KEPT_TAGS)}


def instance(name):
    return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]


def cluster(name):
    return rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]


def snapshot(ours):
    """The runbook's own command, beside what tidegate took."""
    rds.create_db_snapshot(DBSnapshotIdentifier="by-hand", DBInstanceIdentifier="rastup-prod")
    found = [rds.describe_db_snapshots(DBSnapshotIdentifier=id)["DBSnapshots"][0] for id in (ours, "by-hand")]
    same("instance snapshot", *found)
    rds.delete_db_snapshot(DBSnapshotIdentifier="by-hand")


def cluster_snapshot(ours):
    rds.create_db_cluster_snapshot(
        DBClusterSnapshotIdentifier="by-hand", DBClusterIdentifier="rastup-aurora"
    )
    found = [
        rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=id)["DBClusterSnapshots"][0]
        for id in (ours, "by-hand")
    ]
    same("cluster snapshot", *found)
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier="by-hand")


def restored(new):
    ours, theirs = instance(new), instance("rastup-prod")
    same("restored instance", ours, theirs)
    if tags(ours) != tags(theirs) or ours["Endpoint"]["Port"] != theirs["Endpoint"]["Port"]:
        sys.exit(f"tags or port: {ours} is not {theirs}")


def restored_cluster(new):
    ours, theirs = cluster(new), cluster("rastup-aurora")
    same("restored cluster", ours, theirs)
    if tags(ours) != tags(theirs):
        sys.exit(f"tags: {ours} is not {theirs}")
    classes = [
        sorted(instance(m["DBInstanceIdentifier"])["DBInstanceClass"] for m in c["DBClusterMembers"])
        for c in (ours, theirs)
    ]
    if classes[0] != classes[1] or len(classes[0]) != 2:
        sys.exit(f"instances: {classes}")


def count():
    print(
        len(rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]),
        len(rds.describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"]),
    )


globals()[task](*arguments)
