//! Units with other parts than the one of the page, and a release and a way back in each.

use crate::{
    double::{
        Double,
        ecs::Ending,
        elb::forward,
        rds::{Cluster, Instance},
        worlds::{CLUSTER, plain, service},
    },
    production::Production,
};

/// A unit that needs something else.
pub struct Unit {
    /// What it has, for a heading.
    pub with: &'static str,
    /// The adapters in it.
    pub adapters: &'static [&'static str],
    /// How the actions begin that are its own.
    pub own: &'static [&'static str],
    pub stage: fn() -> Production,
    pub steps: &'static [Step],
    /// The subcommands whose policy is on the page.
    pub policies: &'static [&'static str],
}

/// What happens in a unit, one after the other.
#[derive(Clone, Copy)]
pub enum Step {
    /// A subcommand, its exit code, all of its arguments.
    Run(&'static str, i32, &'static str),
    /// From here on tasks of this image do not start.
    Breaks(&'static str),
    /// And from here on they do.
    Mended(&'static str),
}
use Step::{Breaks, Mended, Run};

impl Unit {
    /// Its steps in `stage`: `run` does what is a subcommand's.
    pub fn walk(&self, stage: &Production, mut run: impl FnMut(&'static str, i32, &'static str)) {
        for step in self.steps {
            match step {
                Run(command, code, arguments) => run(command, *code, arguments),
                Breaks(image) => {
                    let ending =
                        Ending { stopped_reason: "CannotPullContainerError".into(), ..Ending::default() };
                    stage.double.state().ecs.broken.insert((*image).into(), ending);
                }
                Mended(image) => drop(stage.double.state().ecs.broken.remove(*image)),
            }
        }
    }
}

const SPLIT: [Step; 14] = [
    Run("preflight", 0, "preflight --release v2"),
    Run("deploy", 0, "deploy --release v2"),
    Run("shift-traffic", 0, "shift-traffic --to 10 --release v2"),
    Run("status", 0, "status"),
    Run("verify-metrics", 0, "verify-metrics --release v2"),
    Run("shift-traffic", 0, "shift-traffic --to 100 --release v2"),
    Run("rollback", 0, "rollback --release v2"),
    Run("deploy", 0, "deploy --release v3"),
    Run("shift-traffic", 0, "shift-traffic --to 10 --release v3"),
    Run("verify-metrics", 0, "verify-metrics --release v3"),
    Run("shift-traffic", 0, "shift-traffic --to 100 --release v3"),
    Run("verify-metrics", 0, "verify-metrics --release v3"),
    Run("finish", 0, "finish --release v3"),
    Run("status", 0, "status"),
];

const AT_ONCE: [Step; 9] = [
    Run("preflight", 0, "preflight --release v2"),
    Run("deploy", 0, "deploy --release v2"),
    Run("shift-traffic", 0, "shift-traffic --to 100 --release v2"),
    Run("verify-metrics", 0, "verify-metrics --release v2"),
    Run("rollback", 0, "rollback --release v2"),
    Run("deploy", 0, "deploy --release v3"),
    Run("shift-traffic", 0, "shift-traffic --to 100 --release v3"),
    Run("verify-metrics", 0, "verify-metrics --release v3"),
    Run("finish", 0, "finish --release v3"),
];

/// Looking into why a deployment fails is part of the shift, and of the way back.
const IN_PLACE: [Step; 16] = [
    Run("preflight", 0, "preflight --release v2"),
    Run("deploy", 0, "deploy --release v2"),
    Run("shift-traffic", 0, "shift-traffic --to 100 --release v2"),
    Run("status", 0, "status"),
    Breaks("shop/jobs:v1"),
    Run("rollback", 20, "rollback --release v2"),
    Mended("shop/jobs:v1"),
    Run("rollback", 0, "rollback --release v2"),
    Breaks("shop/jobs:v3"),
    Run("deploy", 0, "deploy --release v3"),
    Run("shift-traffic", 16, "shift-traffic --to 100 --release v3"),
    Mended("shop/jobs:v3"),
    Run("shift-traffic", 0, "shift-traffic --to 100 --release v3"),
    Run("verify-metrics", 0, "verify-metrics --release v3"),
    Run("finish", 0, "finish --release v3"),
    Run("status", 0, "status"),
];

/// The second release deletes the first one's snapshot, which is older than it is to be kept.
const KEPT: [Step; 14] = [
    Run("preflight", 0, "preflight --release v2"),
    Run("snapshot-db", 0, "snapshot-db --release v2"),
    Run("deploy", 0, "deploy --release v2"),
    Run("rollback", 0, "rollback --release v2"),
    Run("snapshot-db", 0, "snapshot-db --release v3"),
    Run("restore-db", 0, "restore-db --database main --into shop-restored"),
    Run("deploy", 0, "deploy --release v3"),
    Run("shift-traffic", 0, "shift-traffic --to 10 --release v3"),
    Run("verify-metrics", 0, "verify-metrics --release v3"),
    Run("shift-traffic", 0, "shift-traffic --to 100 --release v3"),
    Run("status", 0, "status"),
    Run("verify-metrics", 0, "verify-metrics --release v3"),
    Run("finish", 0, "finish --release v3"),
    Run("status", 0, "status"),
];

pub const UNITS: [Unit; 4] = [
    Unit {
        with: "`ecs_alb` on a listener's default action",
        adapters: &["ecs_alb"],
        own: &["elasticloadbalancing:"],
        stage: on_a_listener,
        steps: &SPLIT,
        policies: &["deploy", "finish", "rollback", "shift-traffic"],
    },
    Unit {
        with: "`ecs_rolling`, where the deployment is the shift",
        adapters: &["ecs_rolling"],
        own: &["ecs:", "iam:"],
        stage: in_place,
        steps: &IN_PLACE,
        policies: &["deploy", "finish", "rollback", "shift-traffic"],
    },
    Unit {
        with: "`rds` with a cluster, or `documentdb`",
        adapters: &["ecs_alb", "rds"],
        own: &["rds:"],
        stage: with_a_cluster,
        steps: &KEPT,
        policies: &["finish", "restore-db", "snapshot-db"],
    },
    Unit {
        with: "`s3_cloudfront` with an `acl`",
        adapters: &["s3_cloudfront"],
        own: &["s3:PutObjectAcl"],
        stage: with_an_acl,
        steps: &AT_ONCE,
        policies: &["deploy", "rollback", "shift-traffic"],
    },
];

fn unit(services: &str, more: &str, stages: &str) -> String {
    format!(
        "name: shop\njournal: {{s3: {{bucket: shop-releases}}}}\nservices:\n  {services}\n{more}stages: \
         [{stages}]\nchecks: {{healthy: {{target: instances, fail: below 50%}}}}\nfinish: {{keep_old: 0s}}\n"
    )
}

const STAGES: &str = "10% for 1s, 100% for 1s";

fn api(place: &str) -> String {
    format!(
        "api: {{ecs_alb: {{cluster: shop, sides: [api-blue, api-green], {place}}}, image: 'shop/api:{{{{release}}}}'}}"
    )
}

fn double() -> Double {
    let double = Double::start();
    double.state().s3.bucket("shop-releases");
    double
}

fn on_a_listener() -> Production {
    let double = double();
    let (_, blue, _) = service(&double, "api");
    let listener = {
        let mut state = double.state();
        state.elb.rules.clear();
        state.elb.listener("api", vec![forward(&[(&blue, 100)])])
    };
    Production::before(double, &unit(&api(&format!("listener: '{listener}'")), "", STAGES))
}

fn in_place() -> Production {
    let double = double();
    plain(&double);
    double.state().ecs.service(CLUSTER, "jobs").breaker = Some(false);
    let jobs = "jobs: {ecs_rolling: {cluster: shop, service: jobs}, image: 'shop/jobs:{{release}}'}";
    Production::before(double, &unit(jobs, "", "100% for 1s"))
}

fn with_a_cluster() -> Production {
    let double = double();
    let (rule, ..) = service(&double, "api");
    {
        let mut state = double.state();
        let cluster = Cluster { writer: "shop-a".into(), ..Cluster::new("shop", "aurora-postgresql") };
        state.rds.add(Instance::member("shop-a", &cluster, "db.r6g.large", true));
        state.rds.add_cluster(cluster);
        state.rds.looks = 1;
    }
    let databases = "databases: {main: {rds: {cluster: shop}, keep: 14d}}\n";
    Production::before(double, &unit(&api(&format!("rule: '{rule}'")), databases, STAGES))
}

fn with_an_acl() -> Production {
    let double = double();
    {
        let mut state = double.state();
        state.s3.bucket("shop-web");
        state.s3.put("shop-web", "index.html", "<script src=app.0001.js></script>");
        state.s3.put("shop-web", "app.0001.js", "1");
        state.s3.put("shop-web", "old.html", "of the old release alone");
        state.s3.set_acl("shop-web", "public-read");
        state.cloudfront.before("E123", "shop-web", "");
    }
    let web = "web: {s3_cloudfront: {bucket: shop-web, distribution: E123, upload: dist, acl: public-read}}";
    let stage = Production::before(double, &unit(web, "", "100% for 1s"));
    stage.write("dist/index.html", "<script src=app-1a2b3c4d.js></script>");
    stage.write("dist/assets/app-1a2b3c4d.js", "2");
    stage
}
