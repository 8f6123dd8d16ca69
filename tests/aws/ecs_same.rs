//! The state of everything after tidegate is the state after the runbook's own commands, field by field.

use tidegate::{
    domain::share::Share,
    port::{Change, Target},
};

use crate::{
    double::{within, worlds::options},
    ecs_alb, ecs_rolling,
    moto::Moto,
};

const ON_SERVICES: &str = "tidegate:version";
const ON_DEFINITIONS: [&str; 2] = ["tidegate:recipe", "tidegate:release"];

struct World {
    moto: Moto,
    rule: String,
}

impl World {
    fn new() -> World {
        let moto = Moto::start();
        let rules = moto.by_hand("compare_ecs.py", &["prepare"]);
        let rule = rules.lines().find(|arn| arn.contains("/by-tidegate/")).unwrap().to_string();
        World { moto, rule }
    }

    /// A step by hand, and then a comparison of everything but these tags of tidegate's own.
    fn same(&self, step: &[&str], own: &[&str]) {
        let said = self.moto.by_hand("compare_ecs.py", &[step, &["--"], own].concat());
        // every field of every object is in it
        let fields: usize = said.split(' ').next().unwrap().parse().unwrap();
        assert!(fields > 900, "{said}");
    }

    /// A new process for every command.
    async fn split(&self, change: Change) {
        let target = ecs_alb::target(&options("by-tidegate", &self.rule, &self.moto.url));
        target.apply(&within(20), &change).await.unwrap();
    }

    async fn rolling(&self, change: Change) {
        let target: Box<dyn Target> =
            ecs_rolling::connect("by-tidegate-jobs", "container: jobs, ", &self.moto.url);
        target.apply(&within(20), &change).await.unwrap();
    }
}

fn deploy(side: &str, release: &str, image: &str) -> Change {
    let (side, artifact) = (side.parse().unwrap(), Some(format!("shop/{image}:{release}")));
    Change::Deploy { side, release: release.parse().unwrap(), artifact }
}

fn green(percent: &str) -> Change {
    let share: Share = percent.parse().unwrap();
    let sides = [("by-tidegate-green", share), ("by-tidegate-blue", share.rest())];
    Change::Share(sides.map(|(side, share)| (side.parse().unwrap(), share)).into())
}

fn retire(side: &str) -> Change {
    Change::Retire { side: side.parse().unwrap() }
}

#[tokio::test]
async fn two_services_and_their_rule_are_after_every_step_as_after_the_runbooks_commands() {
    let world = World::new();
    world.same(&["compare"], &[]);
    let own = [&[ON_SERVICES], ON_DEFINITIONS.as_slice()].concat();

    world.split(deploy("by-tidegate-green", "v2", "api")).await;
    world.same(&["deploy", "shop/api:v2"], &own);
    for (percent, weights) in [("10%", ["90", "10"]), ("100%", ["0", "100"]), ("0%", ["100", "0"])] {
        world.split(green(percent)).await;
        world.same(&["shift", weights[0], weights[1]], &own);
    }
    world.split(retire("by-tidegate-green")).await;
    world.same(&["retire", "green"], &own);

    // the next one stays, and the old side goes
    world.split(deploy("by-tidegate-green", "v3", "api")).await;
    world.same(&["deploy", "shop/api:v3"], &own);
    world.split(green("100%")).await;
    world.same(&["shift", "0", "100"], &own);
    world.split(retire("by-tidegate-blue")).await;
    world.same(&["retire", "blue"], &own);
}

#[tokio::test]
async fn a_service_deployed_in_place_is_after_every_step_as_after_the_runbooks_commands() {
    let world = World::new();
    let [recipe, release] = ON_DEFINITIONS;
    let own = ["tidegate:blue", "tidegate:green", recipe, release];
    let to = |side: &str| {
        let other = if side == "blue" { "green" } else { "blue" };
        let sides = [(side, Share::ALL), (other, Share::NONE)];
        Change::Share(sides.map(|(side, share)| (side.parse().unwrap(), share)).into())
    };
    world.rolling(deploy("green", "v2", "jobs")).await;
    world.same(&["register", "shop/jobs:v2"], &own);
    for (revision, side) in [("2", "green"), ("1", "blue"), ("2", "green")] {
        world.rolling(to(side)).await;
        world.same(&["roll", revision], &own);
    }
    world.rolling(retire("blue")).await;
    world.same(&["compare"], &own[1..]);
}
