//! Every trouble with every call of a look at series in pages and at alarms.

use tidegate::{
    domain::names::Role,
    port::{Metric, Window},
};

use super::{LAG, NOON, START, ask, both, connect, request};
use crate::{
    double::{self, Double},
    troubled::{World, each},
};

const CHECKS: [(&str, &str); 4] = [
    ("errors", "preset: alb_errors"),
    ("p95", "preset: alb_p95"),
    ("slow", "preset: alb_p99, period: 5m"),
    ("ring", "alarm: ring"),
];

struct Account(Double);

impl World for Account {
    type Subject = dyn Metric;

    fn copy(&self) -> Self {
        Account(self.0.copy())
    }

    fn url(&self) -> &str {
        &self.0.url
    }

    fn subject(&self, url: &str) -> Box<dyn Metric> {
        connect(url, &CHECKS)
    }

    fn places(&self) -> Vec<String> {
        Vec::new()
    }

    fn made(&self) -> usize {
        0
    }

    async fn state(&self) -> String {
        String::new()
    }
}

#[tokio::test]
async fn both_sides_are_measured_the_same_through_every_trouble() {
    let account = Account(Double::start());
    for minute in 0..6 {
        for (side, failed) in [("green", minute % 2 == 0), ("blue", false)] {
            request(&account.0, side, NOON + minute * 60 + 1, failed, 0.1);
        }
    }
    {
        let mut state = account.0.state();
        state.cloudwatch.alarm("ring", "ALARM", START + 40);
        (state.cloudwatch.now, state.cloudwatch.page) = (Some(START), Some(12));
    }
    let asks: Vec<_> =
        both(&["errors", "p95", "slow"]).into_iter().chain([ask("ring", Role::Candidate)]).collect();
    let window = |from: i64, to: i64| {
        let [from, to] = [from, to].map(|at| jiff::Timestamp::new(at - LAG, 0).unwrap());
        Window::new(from, to)
    };
    let source = account.subject(account.url());
    let first = source.measure(&double::within(20), &asks, window(START - 30, START), None).await.unwrap();
    let now = NOON + 600;
    account.0.state().cloudwatch.now = Some(now);
    each(account, async |source, cx| {
        let measured = source.measure(cx, &asks, window(START, now), first.cursor.as_ref()).await?;
        assert!(measured.samples.iter().all(Result::is_ok), "{:?}", measured.samples);
        Ok(format!("{:?} {:?}", measured.samples, measured.cursor))
    })
    .await;
}
