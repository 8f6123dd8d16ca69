//! Whole productions, for tests that need one.

use super::{Double, elb::forward};

/// The cluster of every world.
pub const CLUSTER: &str = "shop";

/// A shop: `api-blue` serves with three tasks of `shop/api:v1`, `api-green` has none and its group is not in
/// the rule yet.
pub struct Shop {
    pub double: Double,
    pub rule: String,
    pub blue: String,
    pub green: String,
}

pub fn shop() -> Shop {
    let double = Double::start();
    let (rule, blue, green) = service(&double, "api");
    Shop { double, rule, blue, green }
}

/// A further service in the same double: `NAME-blue` and `NAME-green` behind a rule of their own load
/// balancer. Returns the rule and the two groups.
pub fn service(double: &Double, name: &str) -> (String, String, String) {
    service_in(double, CLUSTER, name)
}

/// The same in another cluster.
pub fn service_in(double: &Double, cluster: &str, name: &str) -> (String, String, String) {
    let mut state = double.state();
    let state = &mut *state;
    let [blue, green] = ["blue", "green"].map(|side| state.elb.group(&format!("{name}-{side}")));
    let rule = state.elb.rule(name, vec![forward(&[(&blue, 100)])]);
    let definition = state.ecs.define(name, name, &format!("shop/{name}:v1"));
    for (side, group, count) in [("blue", &blue, 3), ("green", &green, 0)] {
        let service = format!("{name}-{side}");
        let behind = Some((group.as_str(), name, 8080));
        state.ecs.serve(&mut state.elb, cluster, &service, &definition, count, behind);
    }
    (rule, blue, green)
}

/// A plain service, `jobs`, that is deployed in place: two tasks of `shop/jobs:v1` behind no load balancer.
pub fn plain(double: &Double) {
    let mut state = double.state();
    let state = &mut *state;
    let definition = state.ecs.define("jobs", "jobs", "shop/jobs:v1");
    state.ecs.serve(&mut state.elb, CLUSTER, "jobs", &definition, 2, None);
}

impl Shop {
    /// The options of the target: `ecs_alb: …`.
    pub fn options(&self, url: &str) -> String {
        options("api", &self.rule, url)
    }
}

pub fn options(name: &str, rule: &str, url: &str) -> String {
    format!(
        "{{cluster: {CLUSTER}, sides: [{name}-blue, {name}-green], rule: '{rule}', aws: {{endpoint: '{url}', region: {}}}}}",
        super::REGION
    )
}
