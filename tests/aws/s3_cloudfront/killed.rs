//! A run that is killed at each of its calls, and the run after it.

use std::{sync::Arc, time::Duration};
use tidegate::{
    domain::share::Share,
    port::{Change, Clock, Context, clock::SystemClock},
};

use super::world::{FIRST, Live, SECOND, World, deployed, name, switched};
use crate::{
    double,
    proxy::{Proxy, Trouble, When},
};

/// More calls than any change here makes.
const CALLS_MAX: usize = 80;

/// A clock on which every deadline has passed once trouble was made: a run dies of its first.
struct Mortal {
    proxy: Arc<Proxy>,
    real: SystemClock,
}

#[async_trait::async_trait]
impl Clock for Mortal {
    fn now(&self) -> jiff::Timestamp {
        self.real.now()
    }
    fn elapsed(&self) -> Duration {
        let dead = !self.proxy.troubles().is_empty();
        self.real.elapsed() + if dead { Duration::from_secs(3600) } else { Duration::ZERO }
    }
    async fn sleep(&self, duration: Duration) {
        self.real.sleep(duration).await;
    }
}

/// Runs `change` and kills it at its `n`th call: that one is done or not, and nothing after it arrives.
/// `false`: it has fewer calls.
async fn killed_at(world: &World, change: &Change, n: usize, done: bool) -> bool {
    let proxy = Arc::new(Proxy::start(world.url()));
    proxy.plan(When::nth("*", "*", n), if done { Trouble::ResetAfter } else { Trouble::ResetBefore });
    for later in n + 1..n + 1 + CALLS_MAX {
        proxy.plan(When::nth("*", "*", later), Trouble::ResetBefore);
    }
    let before = world.as_double().calls().len();
    let clock = Mortal { proxy: proxy.clone(), real: SystemClock::default() };
    let answer =
        world.through(&proxy).apply(&Context::new(Arc::new(clock), Duration::from_secs(60)), change).await;
    if proxy.troubles().is_empty() {
        assert_eq!(answer, Ok(()));
        return false;
    }
    assert!(answer.is_err(), "call {n}: nothing that is not known to be done is called done");
    // those that were under way at the same time arrive
    while world.as_double().calls().len() - before < n - 1 + usize::from(done) {
        std::thread::yield_now();
    }
    true
}

fn without(mut live: Live, asset: &str) -> Live {
    live.remove(asset);
    live
}

#[tokio::test]
async fn a_deploy_killed_at_any_call_leaves_the_site_and_is_done_by_the_next() {
    let mut n = 1;
    loop {
        let mut more = false;
        for done in [false, true] {
            let world = World::double().await.with_first().await;
            let before = world.live().await;
            world.build(&SECOND);
            more = killed_at(&world, &deployed("blue", "v2"), n, done).await;
            let left = without(world.live().await, "assets/app-2a1b2c3d.js");
            assert_eq!(left, before, "call {n}, done: {done}");
            assert_eq!(world.shares().await, [0, 100]);
            world.deploy("blue", "v2").await.unwrap();
            assert_eq!(world.observe().await.sides[0].ready(), Ok(()));
            world.switch("blue").await;
            assert_eq!(world.live().await["index.html"].0, SECOND[0].1);
            world.switch("green").await;
            let back = without(world.live().await, "assets/app-2a1b2c3d.js");
            assert_eq!(back, before, "call {n}, done: {done}");
        }
        if !more {
            break;
        }
        n += 1;
    }
    assert!(n > 15, "{n} calls were tried");
}

#[tokio::test]
async fn a_switch_killed_at_any_call_is_gone_on_with_or_taken_back() {
    let untouched = World::double().await;
    let before = untouched.live().await;
    let mut n = 1;
    loop {
        let mut more = false;
        for (done, onward) in [(false, true), (false, false), (true, true), (true, false)] {
            let at = format!("call {n}, done: {done}, onward: {onward}");
            let world = World::double().await;
            world.build(&FIRST);
            world.deploy("green", "v1").await.unwrap();
            more = killed_at(&world, &switched("green"), n, done).await;
            let live = without(world.live().await, "assets/app-1a1b2c3d.js");
            let shares = world.shares().await;
            if shares == [100, 0] {
                assert_eq!(live, before, "{at}: what is called untouched is");
            }
            // as the engine does: nothing is written where the share is right already
            let side = if onward { "green" } else { "blue" };
            let split = world.target().split(&double::within(30)).await.unwrap();
            if split[&name(side)] != Share::ALL {
                world.switch(side).await;
            }
            let after = world.live().await;
            let made = world.as_double().state().cloudfront.invalidations.clone();
            if onward {
                assert_eq!(after["index.html"].0, FIRST[0].1, "{at}");
                assert!(FIRST.iter().all(|(key, body)| after[*key].0 == *body), "{at}");
                assert_eq!(made.len(), 1, "{at}: one switch is invalidated once");
            } else {
                assert_eq!(without(after, "assets/app-1a1b2c3d.js"), before, "{at}");
                let back = shares == [100, 0] || made.last().is_some_and(|i| i.paths.contains(&"/".into()));
                assert!(back, "{at}: the way back is invalidated, too");
            }
        }
        if !more {
            break;
        }
        n += 1;
    }
    assert!(n > 8, "{n} calls were tried");
}

#[tokio::test]
async fn a_late_copy_of_a_run_that_was_overtaken_is_seen_and_put_right() {
    let world = World::double().await.with_first().await;
    world.switch("blue").await;
    let before = world.live().await;
    // what the run before was about to copy lands only now
    let late = world.client().copy_object().bucket("shop-web").key("index.html");
    late.copy_source("shop-web/.tidegate/green/index.html").send().await.unwrap();
    assert_eq!(world.shares().await, [50, 50]);
    world.switch("blue").await;
    assert_eq!(world.live().await, before);
}
