//! Virtual time and the executor that moves it.
//!
//! One thread, no waking: every live run is polled, and when all of them are asleep the clock jumps to
//! the next thing that happens. The order is a function of the seed alone.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tidegate::port::Clock;

use crate::{
    invariants,
    runs::{self, Ending, What},
    world::{Shared, lock},
};

/// The clock of one process: its own zero, and a wall that may be wrong.
pub struct SimClock {
    world: Shared,
    began: Duration,
    skew: i64,
}

impl SimClock {
    pub fn new(world: Shared, skew: i64) -> Self {
        let began = lock(&world).now;
        SimClock { world, began, skew }
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        wall(lock(&self.world).now, self.skew)
    }

    fn elapsed(&self) -> Duration {
        lock(&self.world).now - self.began
    }

    async fn sleep(&self, duration: Duration) {
        sleep(&self.world, duration).await;
    }
}

/// What a wall clock that is `skew` seconds off shows.
pub fn wall(now: Duration, skew: i64) -> Timestamp {
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    start + SignedDuration::try_from(now).unwrap() + SignedDuration::from_secs(skew)
}

/// Ready when virtual time has come that far.
pub fn sleep(world: &Shared, duration: Duration) -> Sleep {
    let mut inner = lock(world);
    let until = inner.now.saturating_add(duration);
    let id = inner.id();
    inner.timers.insert((until, id));
    drop(inner);
    Sleep { world: world.clone(), until, id }
}

pub struct Sleep {
    world: Shared,
    until: Duration,
    id: u64,
}

impl Future for Sleep {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if lock(&self.world).now >= self.until { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        lock(&self.world).timers.remove(&(self.until, self.id));
    }
}

/// One live run.
struct Task {
    run: usize,
    what: What,
    future: Pin<Box<dyn Future<Output = Ending>>>,
}

/// A world and the runs in it.
pub struct Sim {
    pub world: Shared,
    tasks: Vec<Task>,
    pub endings: Vec<Ending>,
}

/// A run that goes on for longer than this hangs.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// More steps than any schedule needs.
const STEPS_MAX: usize = 200_000;

impl Sim {
    pub fn new(world: Shared) -> Self {
        Sim { world, tasks: Vec::new(), endings: Vec::new() }
    }

    /// Starts a process; it acts when the simulation is driven.
    pub fn start(&mut self, what: What, skew: i64) -> usize {
        let run = lock(&self.world).begin(&what, skew);
        let future = Box::pin(runs::process(self.world.clone(), run, what.clone(), skew));
        self.tasks.push(Task { run, what, future });
        run
    }

    /// Until every run has ended or was killed, and nothing more is to start.
    pub fn drive(&mut self) {
        let until = lock(&self.world).now + LONGEST;
        for _ in 0..STEPS_MAX {
            self.poll_all();
            let now = lock(&self.world).now;
            let due = lock(&self.world).due();
            for (what, skew) in due {
                self.start(what, skew);
            }
            if self.tasks.iter().any(|t| lock(&self.world).runs[&t.run].fresh) {
                continue;
            }
            let waits = !lock(&self.world).starts.is_empty();
            if self.tasks.is_empty() && !waits {
                return;
            }
            if now > until {
                break;
            }
            if !lock(&self.world).advance() {
                let mut world = lock(&self.world);
                world.violation("every run waits for something that never comes".into());
                return;
            }
        }
        let mut world = lock(&self.world);
        world.violation("a run does not end".into());
        drop(world);
        self.tasks.clear();
    }

    /// Time passes while nothing runs.
    pub fn pass(&mut self, time: Duration) {
        let mut world = lock(&self.world);
        let until = world.now + time;
        world.advance_to(until);
    }

    /// Lets everything land that is still on its way.
    pub fn settle(&mut self) {
        let mut world = lock(&self.world);
        let last = world.effects.keys().next_back().map_or(world.now, |(at, _)| *at);
        let until = last.max(world.now) + Duration::from_secs(5);
        world.advance_to(until);
    }

    fn poll_all(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let turn = lock(&self.world).random(7) as usize;
        let count = self.tasks.len();
        let mut ended = Vec::new();
        for i in 0..count {
            let i = (i + turn) % count;
            let task = &mut self.tasks[i];
            if lock(&self.world).killed.contains(&task.run) {
                ended.push(task.run);
                continue;
            }
            if let Some(state) = lock(&self.world).runs.get_mut(&task.run) {
                state.fresh = false;
            }
            if let Poll::Ready(ending) = task.future.as_mut().poll(&mut cx) {
                let mut world = lock(&self.world);
                world.note(format!(
                    "run {} {:?} ENDS {}: {}",
                    task.run, task.what, ending.code, ending.sentence
                ));
                invariants::ended(&mut world, &ending);
                drop(world);
                self.endings.push(ending);
                ended.push(task.run);
            } else if lock(&self.world).killed.contains(&task.run) {
                ended.push(task.run);
            }
        }
        // Dropping a run drops its timers and whatever it had begun.
        self.tasks.retain(|t| !ended.contains(&t.run));
    }
}
