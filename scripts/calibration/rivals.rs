//! What others do, at α 5 %, one-sided, with a look at every poll.

use rand::RngExt;
use tidegate::domain::judge::{
    null::{Edge, Pair, Refute},
    numbers::{ln, normal_bound},
    rank::Ranks,
    split::Split,
    two_sample,
};

use super::{
    watch,
    world::{Ratios, rng},
};

pub const NAMES: [&str; 7] = [
    "fixed threshold, calibrated to 5 %",
    "z at every poll",
    "z at every poll, Bonferroni",
    "a1: configured share, k = 10",
    "a2: two-sample test alone",
    "mixture (tidegate)",
    "Mann-Whitney at every poll",
];
const ALPHA: f64 = 0.05;
const SAME: Edge = Edge { times: 1.0, plus: 0.0 };

/// When each of them alarms first, in the order of [`NAMES`]; every method sees the same polls.
pub fn first_alarms(
    world: Ratios,
    polls: usize,
    seed: u64,
    cell: &str,
    run: u64,
) -> Option<[Option<usize>; 7]> {
    let seen: Vec<[(u64, u64); 2]> = world.polls(rng(seed, cell, run)).take(polls).collect();
    let mut chance = rng(seed, &format!("{cell} threshold"), run);
    let threshold = Threshold::new(world, polls);
    let (single, each) = (normal_bound(ALPHA), normal_bound(ALPHA / polls as f64));
    let split = Split::new(world.share, 10.0);
    let (mut past, mut a2) = (Pair::default(), 0.0);
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    let mut first = [None; 7];
    for (index, [(bad_c, all_c), (bad_b, all_b)]) in seen.iter().copied().enumerate() {
        let batch = Pair {
            candidate_bad: bad_c as f64,
            candidate: all_c as f64,
            baseline_bad: bad_b as f64,
            baseline: all_b as f64,
        };
        a2 += two_sample::ln_factor(past, batch, SAME, Refute::AtMost);
        past.add(batch);
        mine.push(batch.candidate_bad / batch.candidate);
        theirs.push(batch.baseline_bad / batch.baseline);
        let z = z(past);
        let ranks = first[6].is_none() && index >= 4 && Ranks::new(&mine, &theirs).p_greater() <= ALPHA;
        let alarms = [
            threshold.alarms(bad_c, chance.random()),
            z >= single,
            z >= each,
            first[3].is_none() && split.ln_e_above(past.candidate_bad, past.baseline_bad) >= ln(1.0 / ALPHA),
            a2 >= ln(1.0 / ALPHA),
            false,
            ranks,
        ];
        for (first, alarm) in first.iter_mut().zip(alarms) {
            if alarm && first.is_none() {
                *first = Some(index + 1);
            }
        }
    }
    let check = watch::worse(tidegate::domain::sample::Measure::Ratio, 1.0, ALPHA)?;
    let samples = seen.iter().map(|[c, b]| (super::world::counts(*c), super::world::counts(*b)));
    first[5] = watch::watch(&[check], polls, samples).first()?.failed;
    Some(first)
}

/// Two rates over the whole time so far, pooled variance.
fn z(all: Pair) -> f64 {
    let pooled = (all.candidate_bad + all.baseline_bad) / (all.candidate + all.baseline);
    let variance = pooled * (1.0 - pooled) * (1.0 / all.candidate + 1.0 / all.baseline);
    let difference = all.candidate_bad / all.candidate - all.baseline_bad / all.baseline;
    if variance > 0.0 { difference / variance.sqrt() } else { 0.0 }
}

/// So many bad requests in one poll alarm; the next smaller number with a chance, so that all polls together alarm
/// falsely in exactly 5 % of the watches.
struct Threshold {
    number: u64,
    chance_below: f64,
}

impl Threshold {
    fn new(world: Ratios, polls: usize) -> Self {
        let per_poll = 1.0 - (1.0 - ALPHA).powf(1.0 / polls as f64);
        let n = (super::world::REQUESTS as f64 * world.share).round();
        let mut term = (n * (-world.rate).ln_1p()).exp();
        let (mut number, mut above) = (0u64, 1.0);
        // `above`: the chance of `number` bad requests or more
        while above > per_poll {
            above -= term;
            number += 1;
            term *= (n - number as f64 + 1.0) / number as f64 * world.rate / (1.0 - world.rate);
        }
        let k = number as f64;
        let below = term * k / (n - k + 1.0) * (1.0 - world.rate) / world.rate;
        Threshold { number, chance_below: (per_poll - above) / below }
    }

    fn alarms(&self, bad: u64, chance: f64) -> bool {
        bad >= self.number || (bad + 1 == self.number && chance < self.chance_below)
    }
}
