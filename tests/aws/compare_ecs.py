"""The runbook's own commands for ECS services, by boto3 against moto, and a comparison with what tidegate did.

prepare URL              makes everything twice, `by-hand` and `by-tidegate`: NAME-blue, which serves, and NAME-green
                         behind a listener rule, and NAME-jobs, which is deployed in place. Prints the rules' ARNs.
deploy URL IMAGE         the idle side gets the live one's task definition with IMAGE, and its count
shift URL BLUE GREEN     the weights of the rule
retire URL SIDE          no tasks any more
register URL IMAGE       a task definition with IMAGE for NAME-jobs
roll URL REVISION        NAME-jobs runs that revision
compare URL

After `-- TAG...` every step is followed by a comparison, which exits 1 and says which fields differ. TAGs are
tidegate's own, which it must have put on its part and which nobody misses on the other.
"""

import json
import re
import sys

import boto3

step, url, *rest = sys.argv[1:]
end = rest.index("--") if "--" in rest else len(rest)
arguments, tags = rest[:end], rest[end + 1 :]
keys = dict(aws_access_key_id="a", aws_secret_access_key="b", region_name="eu-west-1", endpoint_url=url)
ecs, elb = boto3.client("ecs", **keys), boto3.client("elbv2", **keys)
HAND, OURS, CLUSTER = "by-hand", "by-tidegate", "shop"
# what `describe-task-definition` shows and `register-task-definition` refuses
READ_ONLY = {
    "taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities", "registeredAt", "registeredBy",
    "deregisteredAt", "deleteRequestedAt",
}
# two of a kind differ in these
MOMENTS = {"createdAt", "updatedAt", "registeredAt", "id", "ResponseMetadata"}


def filled(shape):
    """A value that has every field that the API knows."""
    if shape.type_name == "structure":
        return {name: filled(member) for name, member in shape.members.items()}
    if shape.type_name == "list":
        return [filled(shape.member)]
    if shape.type_name == "map":
        return {"key": filled(shape.value)}
    plain = {"string": (getattr(shape, "enum", None) or ["text"])[0], "boolean": True, "timestamp": 1}
    return plain.get(shape.type_name, 7)


def define(name, images):
    """Every field there is, in each of three containers."""
    wanted = filled(ecs.meta.service_model.operation_model("RegisterTaskDefinition").input_shape)
    first = wanted["containerDefinitions"][0]
    wanted["containerDefinitions"] = [
        {**first, "name": part, "image": image, "essential": part != "log"} for part, image in images.items()
    ]
    wanted["tags"] = [{"key": "team", "value": "Größe & co"}, {"key": "cost", "value": ""}]
    for role in ("taskRoleArn", "executionRoleArn"):
        wanted[role] = f"arn:aws:iam::123456789012:role/{role}"
    ecs.register_task_definition(**{**wanted, "family": name})


def prepare():
    ec2 = boto3.client("ec2", **keys)
    subnets = ec2.describe_subnets()["Subnets"][:2]
    vpc, subnets = subnets[0]["VpcId"], [subnet["SubnetId"] for subnet in subnets]
    groups = [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]]
    network = {"awsvpcConfiguration": {"subnets": subnets, "securityGroups": groups, "assignPublicIp": "DISABLED"}}
    ecs.create_cluster(clusterName=CLUSTER)
    for name in (HAND, OURS):
        balancer = elb.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
        health = dict(HealthCheckPath="/health", HealthCheckIntervalSeconds=7, HealthyThresholdCount=3)
        arns = {}
        for side in ("blue", "green", "third"):
            made = elb.create_target_group(
                Name=f"{name}-{side}", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip", **health
            )
            arns[side] = made["TargetGroups"][0]["TargetGroupArn"]
            delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "45"}
            elb.modify_target_group_attributes(TargetGroupArn=arns[side], Attributes=[delay])
            elb.register_targets(TargetGroupArn=arns[side], Targets=[{"Id": "10.0.0.1", "Port": 8080}])
        fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}
        made = elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=[fixed])
        forward = {
            "TargetGroups": [{"TargetGroupArn": arn, "Weight": 100 * (side == "blue")} for side, arn in arns.items()],
            "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 600},
        }
        conditions = [
            {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/api/*", "/v1/*"]}},
            {"Field": "host-header", "HostHeaderConfig": {"Values": ["shop.example"]}},
            {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET", "POST"]}},
        ]
        made = elb.create_rule(
            ListenerArn=made["Listeners"][0]["ListenerArn"], Priority=10, Conditions=conditions,
            Actions=[{"Type": "forward", "Order": 1, "ForwardConfig": forward}], Tags=[{"Key": "team", "Value": "shop"}],
        )
        print(made["Rules"][0]["RuleArn"])
        define(name, {"log": "log:1", "api": "shop/api:v1", "mesh": "mesh:1"})
        define(f"{name}-jobs", {"log": "log:1", "jobs": "shop/jobs:v1"})
        for part, count in (("blue", 3), ("green", 0), ("jobs", 2)):
            full = f"{name}-{part}"
            behind = [{"targetGroupArn": arns.get(part), "containerName": "api", "containerPort": 8080}]
            ecs.create_service(
                cluster=CLUSTER, serviceName=full, taskDefinition=full if part == "jobs" else name, desiredCount=count,
                loadBalancers=behind if part in arns else [], networkConfiguration=network, launchType="FARGATE",
                platformVersion="1.4.0", propagateTags="SERVICE", tags=[{"key": "team", "value": "shop"}],
            )
            # moto forgets these when a service is made
            ecs.update_service(
                cluster=CLUSTER, service=full, enableECSManagedTags=True, healthCheckGracePeriodSeconds=30,
                enableExecuteCommand=True, deploymentConfiguration={
                    "deploymentCircuitBreaker": {"enable": True, "rollback": True}, "strategy": "ROLLING",
                    "maximumPercent": 150, "minimumHealthyPercent": 75,
                },
            )


def service(name):
    return ecs.describe_services(cluster=CLUSTER, services=[name], include=["TAGS"])["services"][0]


def registered(live, container, image):
    """A new revision of what a service runs, with another image."""
    found = ecs.describe_task_definition(taskDefinition=service(live)["taskDefinition"], include=["TAGS"])
    wanted = {key: value for key, value in found["taskDefinition"].items() if key not in READ_ONLY}
    for part in wanted["containerDefinitions"]:
        if part["name"] == container:
            part["image"] = image
    made = ecs.register_task_definition(**wanted, tags=found["tags"])
    return made["taskDefinition"]["taskDefinitionArn"]


def rule(name):
    balancer = elb.describe_load_balancers(Names=[name])["LoadBalancers"][0]["LoadBalancerArn"]
    listener = elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"][0]
    found = elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    return listener, next(rule for rule in found if not rule["IsDefault"])


def deploy(image):
    definition = registered(f"{HAND}-blue", "api", image)
    count = service(f"{HAND}-blue")["desiredCount"]
    ecs.update_service(
        cluster=CLUSTER, service=f"{HAND}-green", taskDefinition=definition, desiredCount=count
    )


def shift(blue, green):
    _, held = rule(HAND)
    for group in held["Actions"][0]["ForwardConfig"]["TargetGroups"]:
        for side, weight in (("blue", blue), ("green", green)):
            if f"{HAND}-{side}/" in group["TargetGroupArn"]:
                group["Weight"] = int(weight)
    held["Actions"][0].pop("TargetGroupArn", None)
    elb.modify_rule(RuleArn=held["RuleArn"], Actions=held["Actions"])


def retire(side):
    ecs.update_service(cluster=CLUSTER, service=f"{HAND}-{side}", desiredCount=0)


def register(image):
    registered(f"{HAND}-jobs", "jobs", image)


def roll(revision):
    recorded = ecs.describe_task_definition(taskDefinition=f"{HAND}-jobs:{revision}")["taskDefinition"]
    ecs.update_service(cluster=CLUSTER, service=f"{HAND}-jobs", taskDefinition=recorded["taskDefinitionArn"])


def everything(name):
    """All that is there, whoever it was made for."""
    listener, held = rule(name)
    groups = elb.describe_target_groups(LoadBalancerArn=listener["LoadBalancerArn"])["TargetGroups"]
    found = {
        "listener": listener,
        "rule": held,
        "rule tags": elb.describe_tags(ResourceArns=[held["RuleArn"]])["TagDescriptions"][0]["Tags"],
    }
    for group in groups:
        arn, about = group["TargetGroupArn"], group["TargetGroupName"]
        found[f"{about} group"] = group
        found[f"{about} attributes"] = elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
        health = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        found[f"{about} targets"] = [target["Target"] for target in health]
    for part in ("blue", "green", "jobs"):
        found[f"{part} service"] = service(f"{name}-{part}")
    for family in (name, f"{name}-jobs"):
        for arn in ecs.list_task_definitions(familyPrefix=family)["taskDefinitionArns"]:
            # a prefix is a prefix
            if f"/{family}:" in arn:
                definition = ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
                found[f"definition {arn}"] = {**definition["taskDefinition"], "tags": definition["tags"]}
    # ours alone have names and ids of their own
    text = json.dumps(found, default=str).replace(name, "NAME")
    text = re.sub(r"/[0-9a-f]{16}\b", "/ID", text)
    return json.loads(re.sub(r"ecs-svc/\d+", "ecs-svc/ID", text))


def flat(value, path=""):
    """Every leaf by its path; tags by their keys."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in MOMENTS:
                yield from flat(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            tag = isinstance(inner, dict) and {key.lower() for key in inner} == {"key", "value"}
            place = next(v for k, v in inner.items() if k.lower() == "key") if tag else at
            yield from flat(inner, f"{path}[{place}]")
        yield f"{path} has", len([i for i in value if not own(i)])
    else:
        yield path, value


def own(tag):
    return isinstance(tag, dict) and tag.get("key") in tags


def compare():
    hand, ours = (dict(flat(everything(name))) for name in (HAND, OURS))
    extra = {path for path in ours if path not in hand and any(f"tags[{tag}]" in path for tag in tags)}
    for tag in tags:
        if not any(f"tags[{tag}]" in path for path in extra):
            sys.exit(f"tidegate put no tag {tag} anywhere")
    paths = sorted((set(hand) | set(ours)) - extra)
    wrong = [path for path in paths if hand.get(path) != ours.get(path)]
    for path in wrong:
        print(f"{path}: {hand.get(path)!r} by hand, {ours.get(path)!r} by tidegate")
    print(f"{len(paths)} fields")
    sys.exit(bool(wrong))


steps = [prepare, deploy, shift, retire, register, roll]
{"compare": lambda: None, **{step.__name__: step for step in steps}}[step](*arguments)
if "--" in rest:
    compare()
