//! What every adapter's preflight says of a look that AWS keeps back.

use futures_util::future::join_all;
use std::collections::BTreeSet;
use tidegate::{
    document::node::parse,
    port::{Context, Finding, Grade},
    registry::{DATABASES, TARGETS},
};

use crate::{
    double::{hurried, setting, within, worlds::plain},
    production::Production,
    proxy::{Proxy, Trouble, When},
    worlds,
};

/// Each of them, with its options in this world.
fn adapters(stage: &Production) -> Vec<(&'static str, String)> {
    let rule = stage.double.state().elb.rules.keys().next().unwrap().clone();
    vec![
        ("ecs_alb", format!("cluster: shop, sides: [api-blue, api-green], rule: '{rule}'")),
        ("ecs_rolling", "cluster: shop, service: jobs".into()),
        ("lambda", "functions: [thumbs, mail], alias: production, zip: thumbs.zip".into()),
        ("s3_cloudfront", "bucket: shop-web, distribution: E123, upload: dist".into()),
        ("rds", "instance: shop".into()),
    ]
}

async fn preflight(stage: &Production, cx: &Context, kind: &str, options: &str, url: &str) -> Vec<Finding> {
    let text = format!("{{{options}, aws: {{region: eu-west-1, endpoint: '{url}'}}}}");
    let node = parse(&text).unwrap_or_else(|e| panic!("{}", e.message));
    let setting = setting(stage.folder());
    let said = |bad: tidegate::document::node::Located| -> String { bad.message };
    if let Some(target) = TARGETS.iter().find(|target| target.common.name == kind) {
        return (target.connect)(&node, kind, &setting).map_err(said).unwrap().preflight(cx).await;
    }
    let database = DATABASES.iter().find(|database| database.common.name == kind).unwrap();
    let connected = (database.connect)(&"main".parse().unwrap(), &node, kind, &setting);
    connected.map_err(said).unwrap().preflight(cx).await
}

/// Throttled for as long as there is time, a look says nothing against a release.
#[tokio::test]
async fn a_look_that_is_throttled_to_the_deadline_is_unknown_and_refuses_nothing() {
    let stage = worlds::everything();
    plain(&stage.double);
    let case = async |kind: &'static str, options: String| {
        let calm = Proxy::start(&stage.double.url);
        let found = preflight(&stage, &within(30), kind, &options, &calm.url).await;
        assert!(found.iter().all(|f| f.grade < Grade::Refuse), "{kind}: {found:?}");
        let looks: BTreeSet<(String, String)> =
            calm.calls().into_iter().map(|call| (call.service, call.operation)).collect();
        assert!(looks.len() >= 3, "{kind}: {looks:?}");
        join_all(looks.iter().map(async |(service, operation)| {
            let proxy = Proxy::start(&stage.double.url);
            proxy.plan(When::all(service, operation), Trouble::Throttled400);
            let found = preflight(&stage, &hurried(20), kind, &options, &proxy.url).await;
            assert!(proxy.troubles().len() > 1, "{kind}, {operation}: {:?}", proxy.troubles());
            let what = format!("{kind}, {operation}: {found:#?}");
            assert!(found.iter().all(|f| f.grade < Grade::Refuse), "{what}");
            let named = |f: &&Finding| f.grade == Grade::Unknown && f.message.contains(operation.as_str());
            assert!(found.iter().any(|f| named(&f)), "{what}");
        }))
        .await;
    };
    join_all(adapters(&stage).into_iter().map(|(kind, options)| case(kind, options))).await;
}
