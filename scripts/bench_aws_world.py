"""Makes the world of `scripts/bench_aws` in moto, and the files that release to it, in the folder given."""

import sys
from pathlib import Path

import boto3

SERVICES = 6
folder = Path(sys.argv[1])
ec2, elb, ecs = (boto3.client(name) for name in ("ec2", "elbv2", "ecs"))

vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
subnets = [
    ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"eu-west-1{'ab'[n]}")["Subnet"]["SubnetId"]
    for n in range(2)
]
balancer = elb.create_load_balancer(Name="shop", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
listener = elb.create_listener(
    LoadBalancerArn=balancer,
    Protocol="HTTP",
    Port=80,
    DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
)["Listeners"][0]["ListenerArn"]
ecs.create_cluster(clusterName="shop")


def side(service, colour, address):
    """One ECS service with its target group; returns the group's ARN."""
    name = f"{service}-{colour}"
    group = elb.create_target_group(Name=name, Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip")
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": address, "Port": 8080}])
    ecs.register_task_definition(
        family=name, containerDefinitions=[{"name": "app", "image": "shop:v0", "memory": 64, "essential": True}]
    )
    ecs.create_service(
        cluster="shop",
        serviceName=name,
        taskDefinition=name,
        desiredCount=1,
        loadBalancers=[{"targetGroupArn": arn, "containerName": "app", "containerPort": 8080}],
    )
    return arn


rules, entries = [], []
for n in range(SERVICES):
    service = f"s{n}"
    blue, green = (side(service, colour, f"10.0.0.{10 + 2 * n + i}") for i, colour in enumerate(("blue", "green")))
    rule = elb.create_rule(
        ListenerArn=listener,
        Priority=n + 1,
        Conditions=[{"Field": "path-pattern", "Values": [f"/{service}/*"]}],
        Actions=[
            {
                "Type": "forward",
                "ForwardConfig": {
                    "TargetGroups": [{"TargetGroupArn": blue, "Weight": 100}, {"TargetGroupArn": green, "Weight": 0}]
                },
            }
        ],
    )["Rules"][0]["RuleArn"]
    rules.append(f"{rule} {blue} {green} {service}")
    entries.append(f"  {service}: {{ecs_alb: {{cluster: shop, sides: [{service}-blue, {service}-green], rule: \"{rule}\"}}}}")

(folder / "rules").write_text("\n".join(rules) + "\n")
for name, count in (("one", 1), ("six", SERVICES)):
    services = "\n".join(entries[:count])
    checks = "checks: {healthy: {target: instances, fail: below 50%}}"
    journal = f"journal: {{file: {{path: {name}-journal}}}}"
    (folder / f"{name}.yml").write_text(f"name: {name}\n{journal}\nservices:\n{services}\nstages: [10%, 100%]\n{checks}\n")
