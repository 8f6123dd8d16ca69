//! Every trouble with every call of a piece of work, whichever calls these are.

use futures_util::{StreamExt as _, future::join, stream};
use std::collections::BTreeMap;
use tidegate::port::{Context, Database, Fault, Journal, Metric, Target, Treat};

use crate::{
    double::{hurried, within},
    proxy::{Passed, Proxy, Trouble, When},
};

/// Cases at the same time, of those that hang and of those that work.
const WAITING: usize = 16;
const WORKING: usize = 4;
/// Seconds on the hurried clock, after which a write that hangs is given up.
const LIMIT: u64 = 50;

/// What does work.
pub trait Subject {
    /// Looks, as a run does before it asks again for what ended without an answer.
    async fn look(&self, cx: &Context) -> Result<(), Fault>;
}

impl Subject for dyn Target {
    async fn look(&self, cx: &Context) -> Result<(), Fault> {
        self.observe(cx).await.map(|_| ())
    }
}

impl Subject for dyn Database {
    async fn look(&self, cx: &Context) -> Result<(), Fault> {
        self.list(cx).await.map(|_| ())
    }
}

impl Subject for dyn Journal {
    async fn look(&self, cx: &Context) -> Result<(), Fault> {
        self.head(cx).await.map(|_| ())
    }
}

/// It only looks, and never ends without an answer.
impl Subject for dyn Metric {
    async fn look(&self, _: &Context) -> Result<(), Fault> {
        Ok(())
    }
}

/// What work is done in.
pub trait World {
    type Subject: Subject + ?Sized;
    /// Another one that is as this one is.
    fn copy(&self) -> Self;
    fn url(&self) -> &str;
    /// As a process of its own sees it at this address.
    fn subject(&self, url: &str) -> Box<Self::Subject>;
    /// Where each of the things that may move is: the traffic, a file, a database that is there or not.
    fn places(&self) -> Vec<String>;
    /// How many there are of what must not be there twice.
    fn made(&self) -> usize;
    /// Whether a request of this operation that arrives twice cannot but make two.
    fn makes_two(&self, _operation: &str) -> bool {
        false
    }
    /// Everything that must be right once what was begun has come to its end.
    async fn state(&self) -> String;
    /// For work without trouble.
    fn calm(&self) -> Context {
        within(20)
    }
    /// For work in trouble, on a clock on which what hangs does not hang long.
    fn pressed(&self) -> Context {
        hurried(LIMIT)
    }
}

/// Does `act` once without trouble, and then in a copy of the world for each trouble with each of its calls. It
/// ends as it does without trouble. Only a write may need a second try, by the same process or by another one;
/// before that each thing is where it was or where it was to go.
pub async fn each<W: World>(made: W, act: impl AsyncFn(&W::Subject, &Context) -> Result<String, Fault>) {
    let calm = made.copy();
    let proxy = Proxy::start(calm.url());
    let before = calm.places();
    let told = act(&calm.subject(&proxy.url), &calm.calm()).await.unwrap();
    let calls = numbered(proxy.calls());
    assert!(!calls.is_empty());
    let (after, count, wanted) = (calm.places(), calm.made(), calm.state().await);
    let cases = Trouble::ALL.into_iter().flat_map(|trouble| calls.iter().map(move |call| (trouble, call)));
    let case = async |(at, (trouble, (call, nth))): (usize, (Trouble, &(Passed, usize)))| {
        let what = format!("{trouble:?} of {} no. {nth}", call.operation);
        let world = made.copy();
        let proxy = Proxy::start(world.url());
        proxy.plan(When::nth(&call.service, &call.operation, *nth), trouble);
        let subject = world.subject(&proxy.url);
        let answer = act(&subject, &world.pressed()).await;
        assert_eq!(proxy.troubles(), [trouble], "{what}");
        for ((was, goes), is) in before.iter().zip(&after).zip(world.places()) {
            assert!(is == *was || is == *goes, "{what}: {is}");
        }
        match answer {
            Ok(said) => assert_eq!(said, told, "{what}"),
            Err(fault) => {
                right_words(&what, trouble, call, &fault);
                let subject = if at % 2 == 0 { subject } else { world.subject(&proxy.url) };
                subject.look(&world.calm()).await.unwrap();
                let said = act(&subject, &world.calm()).await;
                assert_eq!(said.as_ref(), Ok(&told), "{what}: again");
            }
        }
        let twice = trouble == Trouble::SentTwice && world.makes_two(&call.operation);
        assert_eq!(world.made(), count + usize::from(twice), "{what}");
        assert_eq!(world.state().await, wanted, "{what}");
    };
    let (waiting, working): (Vec<_>, Vec<_>) = cases
        .enumerate()
        .partition(|(_, (trouble, _))| matches!(trouble, Trouble::Hang | Trouble::HangAfter));
    let waiting = stream::iter(waiting).for_each_concurrent(WAITING, &case);
    join(waiting, stream::iter(working).for_each_concurrent(WORKING, &case)).await;
}

/// Each call, and the how manieth of its operation it is.
fn numbered(calls: Vec<Passed>) -> Vec<(Passed, usize)> {
    let mut seen = BTreeMap::new();
    let number = |call: Passed| {
        let nth = seen.entry((call.service.clone(), call.operation.clone())).or_insert(0);
        *nth += 1;
        let nth = *nth;
        (call, nth)
    };
    calls.into_iter().map(number).collect()
}

/// A read never fails for a single trouble. A write does where it may have been done, and says so and which it was.
fn right_words(what: &str, trouble: Trouble, call: &Passed, fault: &Fault) {
    use Trouble::{Expired, SentTwice, Throttled400, Throttled429, Twice};
    let reads = ["Describe", "List", "Get", "Head"].iter().any(|read| call.operation.starts_with(read));
    let safe = matches!(trouble, Throttled400 | Throttled429 | Expired | Twice | SentTwice);
    assert!(!reads && !safe, "{what}: {fault}");
    assert_eq!(fault.treat, Treat::OutcomeUnknown, "{what}: {fault}");
    let named = format!("{}:{}", call.service, call.operation);
    // one write of several tells which it was
    let one = fault.operation == named || fault.detail.contains(&format!("{named} on "));
    assert!(one, "{what}: {fault}");
}
