"""The runbook's own commands for an alias, by boto3 against moto, and a comparison with what tidegate did.

prepare URL              makes `by-hand` and `by-tidegate`, each with version 1 behind the alias `production`
canary|all|back URL CODE publishes CODE for `by-hand` and does that step of the runbook
compare URL              exits 1 and says which fields differ between the two aliases
"""

import sys

import boto3

step, url = sys.argv[1:3]
code = sys.argv[3].encode() if len(sys.argv) > 3 else b"v1"
keys = dict(aws_access_key_id="a", aws_secret_access_key="b", region_name="eu-west-1", endpoint_url=url)
client = boto3.client("lambda", **keys)
HAND, OURS, ALIAS = "by-hand", "by-tidegate", "production"


def prepare():
    iam = boto3.client("iam", **keys)
    role = iam.create_role(RoleName="jobs", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    for name in (HAND, OURS):
        client.create_function(
            FunctionName=name, Role=role, Runtime="python3.12", Handler="a.b", Code={"ZipFile": code}, Publish=True
        )
        client.create_alias(FunctionName=name, Name=ALIAS, FunctionVersion="1")


def canary():
    client.update_function_code(FunctionName=HAND, ZipFile=code)
    new = client.publish_version(FunctionName=HAND)["Version"]
    client.update_alias(
        FunctionName=HAND, Name=ALIAS, FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {new: 0.1}}
    )


def everything():
    client.update_alias(FunctionName=HAND, Name=ALIAS, FunctionVersion="2", RoutingConfig={})


def back():
    client.update_alias(FunctionName=HAND, Name=ALIAS, FunctionVersion="1", RoutingConfig={})


def fields(name):
    found = client.get_alias(FunctionName=name, Name=ALIAS)
    for own in ("ResponseMetadata", "AliasArn", "RevisionId"):
        found.pop(own, None)
    # no routing and a routing to nowhere are the same
    if not (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights"):
        found.pop("RoutingConfig", None)
    versions = client.list_versions_by_function(FunctionName=name)["Versions"]
    found["versions"] = [(version["Version"], version["CodeSha256"]) for version in versions]
    return found


def compare():
    hand, ours = fields(HAND), fields(OURS)
    for field in sorted(set(hand) | set(ours)):
        if hand.get(field) != ours.get(field):
            print(f"{field}: {hand.get(field)} by hand, {ours.get(field)} by tidegate")
    sys.exit(hand != ours)


{"prepare": prepare, "canary": canary, "all": everything, "back": back, "compare": compare}[step]()
