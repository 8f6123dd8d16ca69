//! A run that is killed at each of its calls, and the run after it.

use std::{sync::Arc, time::Duration};
use tidegate::port::{Change, Clock, Context, clock::SystemClock};

use super::world::{BUCKET, Live, SECOND, World, deployed, switched};
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

/// Without the files that stay for ever.
fn pages(mut live: Live) -> Live {
    live.retain(|key, _| !key.starts_with("assets/"));
    live
}

#[tokio::test]
async fn a_deploy_killed_at_any_call_leaves_the_site_and_is_done_by_the_next() {
    let world = World::double().await.with_first().await;
    let before = pages(world.live().await);
    let mut n = 1;
    loop {
        let mut more = false;
        for done in [false, true] {
            let at = format!("call {n}, done: {done}");
            let asset = format!("assets/app-{n:07x}{}.js", if done { "d" } else { "e" });
            let mut files = SECOND.to_vec();
            files.push((&asset, "new"));
            world.build(&files);
            let change = deployed("blue", &format!("v{n}-{done}"));
            more = killed_at(&world, &change, n, done).await;
            assert_eq!(pages(world.live().await), before, "{at}");
            assert_eq!(world.shares().await, [0, 100], "{at}");
            world.target().apply(&double::within(60), &change).await.unwrap();
            let seen = world.observe().await;
            assert_eq!(seen.sides[0].ready(), Ok(()), "{at}");
            assert_eq!(seen.sides[0].version, Some(format!("v{n}-{done}")), "{at}");
            assert_eq!(world.live().await[&asset].0, "new", "{at}");
            let kept =
                world.as_double().state().s3.object(BUCKET, ".tidegate/blue/index.html").unwrap().clone();
            assert_eq!(kept.body, SECOND[0].1.as_bytes(), "{at}");
        }
        if !more {
            break;
        }
        n += 1;
    }
    assert!(n > 15, "{n} calls were tried");
    world.switch("blue").await;
    world.switch("green").await;
    assert_eq!(pages(world.live().await), before);
}

#[tokio::test]
async fn a_switch_killed_at_any_call_is_gone_on_with_or_taken_back() {
    let world = World::double().await.with_first().await;
    world.build(&SECOND);
    world.deploy("blue", "v2").await.unwrap();
    let first = world.live().await;
    world.switch("blue").await;
    let second = world.live().await;
    let mut n = 1;
    loop {
        let mut more = false;
        for (done, onward) in [(false, true), (false, false), (true, true), (true, false)] {
            let at = format!("call {n}, done: {done}, onward: {onward}");
            world.switch("green").await;
            let made = || world.as_double().state().cloudfront.invalidations.len();
            let before = made();
            more = killed_at(&world, &switched("blue"), n, done).await;
            let left = world.live().await;
            let shares = world.shares().await;
            if shares == [0, 100] {
                assert_eq!(left, first, "{at}: what is called untouched is");
            }
            // as the engine does: nothing is written where the share is right already
            let side = if onward { "blue" } else { "green" };
            if shares != if onward { [100, 0] } else { [0, 100] } {
                world.switch(side).await;
            }
            assert_eq!(world.live().await, if onward { second.clone() } else { first.clone() }, "{at}");
            match onward {
                true => assert_eq!(made() - before, 1, "{at}: one switch is invalidated once"),
                false => {
                    let back = shares == [0, 100] || made() > before;
                    assert!(back, "{at}: the way back is invalidated, too");
                }
            }
        }
        if !more {
            break;
        }
        n += 1;
    }
    assert_eq!(n, 12, "each of its eleven calls was tried");
}

#[tokio::test]
async fn a_late_copy_of_a_run_that_was_overtaken_is_seen_and_put_right() {
    let world = World::double().await.with_first().await;
    world.switch("blue").await;
    let before = world.live().await;
    // what the run before was about to copy lands only now
    let late = world.client().copy_object().bucket(BUCKET).key("index.html");
    late.copy_source("shop-web/.tidegate/green/index.html").send().await.unwrap();
    assert_eq!(world.shares().await, [50, 50]);
    world.switch("blue").await;
    assert_eq!(world.live().await, before);
}
