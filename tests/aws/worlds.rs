//! A unit with every adapter there is, in front of the double.

use std::fmt::Write as _;

use crate::{
    double::{Double, rds::Instance, worlds as parts},
    production::Production,
};

/// Services by ECS, Lambda and S3, a database, CloudWatch and the journal in a bucket. Stages are short, and
/// the alarm is silent.
const CONFIG: &str = "\
name: shop
journal: {s3: {bucket: shop-releases}}
services:
  api:
    ecs_alb: {cluster: shop, sides: [api-blue, api-green], rule: '{{env.RULE}}'}
    image: 'shop/api:{{release}}'
  jobs: {lambda: {functions: [thumbs, mail], alias: production, zip: {thumbs: thumbs.zip, mail: mail.zip}}}
  web: {s3_cloudfront: {bucket: shop-web, distribution: E123, upload: dist}}
databases:
  main: {rds: {instance: shop}, keep: 14d}
stages: [10% for 1s, 50% for 1s, 100% for 1s]
checks:
  healthy: {target: instances, fail: below 50%}
  rings: {cloudwatch: {alarm: shop-errors}, fail: above 0}
  errors: {cloudwatch: alb_errors, warn: above baseline + 0.5pp}
finish: {keep_old: 0s}
";

pub fn everything() -> Production {
    everything_and("")
}

/// The same with more sections in its file.
pub fn everything_and(sections: &str) -> Production {
    filled(Production::new(&format!("{CONFIG}{sections}")))
}

/// The same with short deadlines, for runs that have to wait out the lease of one that was killed.
pub fn brisk() -> Production {
    let config = CONFIG.replace("{bucket: shop-releases}", "{bucket: shop-releases, lease: 24s}");
    filled(Production::new(&config)).with("TIDEGATE_CALL_SECONDS", "8")
}

/// One service behind a load balancer and the journal in a bucket.
pub fn balanced() -> Production {
    behind(&["api"])
}

/// Ten services, each behind a rule of its own.
pub fn ten() -> Production {
    behind(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"])
}

/// One service that is deployed in place.
pub fn rolling() -> Production {
    let double = Double::start();
    double.state().s3.bucket("shop-releases");
    parts::plain(&double);
    let config = "name: shop\njournal: {s3: {bucket: shop-releases}}\nservices:\n  jobs: {ecs_rolling: {cluster: shop, service: jobs}, \
                  image: 'shop/jobs:{{release}}'}\nstages: 100% for 1s\nchecks: {healthy: {target: instances, fail: below 50%}}\n";
    Production::before(double, config)
}

fn behind(names: &[&str]) -> Production {
    let double = Double::start();
    double.state().s3.bucket("shop-releases");
    let mut config = String::from("name: shop\njournal: {s3: {bucket: shop-releases}}\nservices:\n");
    for name in names {
        let (rule, ..) = parts::service(&double, name);
        let _ = writeln!(
            config,
            "  {name}: {{ecs_alb: {{cluster: shop, sides: [{name}-blue, {name}-green], rule: '{rule}'}}, image: 'shop/{name}:{{{{release}}}}'}}"
        );
    }
    config.push_str("stages: [10% for 1s, 50% for 1s, 100% for 1s]\nchecks: {healthy: {target: instances, fail: below 50%}}\nfinish: {keep_old: 0s}\n");
    Production::before(double, &config)
}

fn filled(stage: Production) -> Production {
    let (rule, ..) = parts::service(&stage.double, "api");
    {
        let mut state = stage.double.state();
        for function in ["thumbs", "mail"] {
            state.lambda.function(function, "v1", "production");
        }
        state.s3.bucket("shop-releases");
        state.s3.bucket("shop-web");
        state.s3.put("shop-web", "index.html", "<script src=app.0001.js></script>");
        state.s3.put("shop-web", "app.0001.js", "1");
        state.cloudfront.before("E123", "shop-web", "");
        state.cloudwatch.alarm("shop-errors", "OK", 0);
        state.rds.add(Instance::new("shop"));
        state.rds.looks = 1;
    }
    stage.write("thumbs.zip", "v2 of thumbs");
    stage.write("mail.zip", "v2 of mail");
    stage.write("dist/index.html", "<script src=app.0002.js></script>");
    stage.write("dist/app.0002.js", "2");
    stage.with("RULE", rule)
}
