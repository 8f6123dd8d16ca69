//! Every trouble with every call of a change or a look, whichever calls these are.

use futures_util::{StreamExt as _, stream};
use std::collections::BTreeMap;
use tidegate::port::{Context, Fault, Target, Treat};

use crate::{
    double::{hurried, within},
    proxy::{Passed, Proxy, Trouble, When},
};

/// Cases at the same time: those that hang only wait.
const AT_ONCE: usize = 8;
/// Seconds on the hurried clock, after which a write that hangs is given up.
const LIMIT: u64 = 50;

/// What a change is made in.
pub trait World {
    /// Another one that is as this one is.
    fn copy(&self) -> Self;
    fn url(&self) -> &str;
    /// As a process of its own sees it at this address.
    fn target(&self, url: &str) -> Box<dyn Target>;
    /// Which side has the traffic.
    fn traffic(&self) -> String;
    /// Task definitions that were registered.
    fn registered(&self) -> usize;
    /// Everything that must be right once what was begun has come to its end.
    async fn state(&self) -> String;
}

/// Does it as the engine does: what ends without an answer is looked at before it is asked for again.
pub async fn until_done(target: &dyn Target, what: &str, act: impl AsyncFn() -> Result<(), Fault>) {
    for _ in 0..4 {
        match act().await {
            Ok(()) => return,
            Err(fault) if fault.treat == Treat::Permanent => panic!("{what}: {fault}"),
            Err(_) => {
                target.observe(&hurried(LIMIT)).await.unwrap();
            }
        }
    }
    panic!("{what} was not done after four tries");
}

/// Does `act` once without trouble, and then in a copy of the world for each trouble with each of its calls. It
/// ends as it does without trouble. Only a write may need a second try, by the same process or by another one;
/// before that the traffic is where it was or where it was to go.
pub async fn each<W: World>(made: W, act: impl AsyncFn(&dyn Target, &Context) -> Result<String, Fault>) {
    let calm = made.copy();
    let proxy = Proxy::start(calm.url());
    let before = calm.traffic();
    let told = act(calm.target(&proxy.url).as_ref(), &within(20)).await.unwrap();
    let calls = numbered(proxy.calls());
    assert!(!calls.is_empty());
    let (after, registered, wanted) = (calm.traffic(), calm.registered(), calm.state().await);
    let cases = Trouble::ALL.into_iter().flat_map(|trouble| calls.iter().map(move |call| (trouble, call)));
    let case = async |(at, (trouble, (call, nth))): (usize, (Trouble, &(Passed, usize)))| {
        let what = format!("{trouble:?} of {} no. {nth}", call.operation);
        let world = made.copy();
        let proxy = Proxy::start(world.url());
        proxy.plan(When::nth(&call.service, &call.operation, *nth), trouble);
        let target = world.target(&proxy.url);
        let answer = act(target.as_ref(), &hurried(LIMIT)).await;
        assert_eq!(proxy.troubles(), [trouble], "{what}");
        let traffic = world.traffic();
        assert!([&before, &after].contains(&&traffic), "{what}: {traffic}");
        match answer {
            Ok(said) => assert_eq!(said, told, "{what}"),
            Err(fault) => {
                right_words(&what, trouble, call, &fault);
                let target = if at % 2 == 0 { target } else { world.target(&proxy.url) };
                target.observe(&within(20)).await.unwrap();
                let said = act(target.as_ref(), &within(20)).await;
                assert_eq!(said.as_ref(), Ok(&told), "{what}: again");
            }
        }
        let twice = trouble == Trouble::SentTwice && call.operation == "RegisterTaskDefinition";
        assert_eq!(world.registered(), registered + usize::from(twice), "{what}");
        assert_eq!(world.state().await, wanted, "{what}");
    };
    stream::iter(cases.enumerate()).for_each_concurrent(AT_ONCE, case).await;
}

/// Each call, and the how manieth of its operation it is.
fn numbered(calls: Vec<Passed>) -> Vec<(Passed, usize)> {
    let mut seen = BTreeMap::new();
    let number = |call: Passed| {
        let nth = seen.entry(call.operation.clone()).or_insert(0);
        *nth += 1;
        let nth = *nth;
        (call, nth)
    };
    calls.into_iter().map(number).collect()
}

/// A read never fails for a single trouble. A write does where it may have been done, and says so.
fn right_words(what: &str, trouble: Trouble, call: &Passed, fault: &Fault) {
    use Trouble::{Expired, SentTwice, Throttled400, Throttled429, Twice};
    let reads = ["Describe", "List", "Get"].iter().any(|read| call.operation.starts_with(read));
    let safe = matches!(trouble, Throttled400 | Throttled429 | Expired | Twice | SentTwice);
    assert!(!reads && !safe, "{what}: {fault}");
    assert_eq!(fault.treat, Treat::OutcomeUnknown, "{what}: {fault}");
    assert_eq!(fault.operation, format!("{}:{}", call.service, call.operation), "{what}: {fault}");
}
