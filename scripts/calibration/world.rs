//! Simulated traffic: what both sides show in one poll.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution, Geometric, StandardNormal};
use tidegate::domain::sample::{Histogram, Sample};

/// Requests of both sides in one poll.
pub const REQUESTS: u64 = 1000;
/// The bounds that Prometheus's client libraries begin with, in seconds.
pub const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// The spread of simulated latencies: σ of their logarithm.
pub const SIGMA: f64 = 0.5;

/// The generator of one run of one cell; the same whatever else runs.
pub fn rng(seed: u64, cell: &str, run: u64) -> ChaCha8Rng {
    // FNV-1a, so that every cell has numbers of its own
    let hash = cell
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ hash);
    rng.set_stream(run);
    rng
}

/// How errors come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Errors {
    Independent,
    /// In bursts of a geometric number with this mean, each on one side.
    Bursts(f64),
    /// The rate wanders, for both sides together: its logarithm is an AR(1) of 0.9 with a spread of 0.5.
    Wandering,
}

/// A ratio's world.
#[derive(Clone, Copy, Debug)]
pub struct Ratios {
    pub share: f64,
    /// The baseline's part of bad requests.
    pub rate: f64,
    /// The candidate's is so many times that …
    pub factor: f64,
    /// … from this poll on (the first is 0).
    pub from: usize,
    /// Both sides have four times as many for polls 20 to 29.
    pub incident: bool,
    pub errors: Errors,
}

impl Ratios {
    pub fn new(share: f64, rate: f64, factor: f64) -> Self {
        Ratios { share, rate, factor, from: 0, incident: false, errors: Errors::Independent }
    }

    /// The polls of one watch: (bad, all) of the candidate, then of the baseline.
    pub fn polls(self, mut rng: ChaCha8Rng) -> impl Iterator<Item = [(u64, u64); 2]> {
        let mine = (REQUESTS as f64 * self.share).round() as u64;
        let mut wander: f64 = rng.sample(StandardNormal);
        (0..).map(move |poll| {
            let mut rate = self.rate;
            if self.incident && (20..30).contains(&poll) {
                rate *= 4.0;
            }
            if self.errors == Errors::Wandering {
                rate *= (0.5 * wander - 0.125).exp();
                let fresh: f64 = rng.sample(StandardNormal);
                wander = 0.9 * wander + (1.0f64 - 0.81).sqrt() * fresh;
            }
            let harm = if poll >= self.from { self.factor } else { 1.0 };
            [(mine, rate * harm), (REQUESTS - mine, rate)]
                .map(|(all, rate)| (self.bad(&mut rng, all, rate.min(1.0)), all))
        })
    }

    fn bad(self, rng: &mut ChaCha8Rng, all: u64, rate: f64) -> u64 {
        match self.errors {
            Errors::Bursts(mean) => {
                let bursts = binomial(rng, all, rate / mean);
                let Ok(size) = Geometric::new(1.0 / mean) else { return 0 };
                (0..bursts).map(|_| 1 + size.sample(rng)).sum::<u64>().min(all)
            }
            _ => binomial(rng, all, rate),
        }
    }
}

pub fn counts((bad, total): (u64, u64)) -> Sample {
    Sample::Counts { bad, total }
}

fn binomial(rng: &mut impl Rng, n: u64, p: f64) -> u64 {
    Binomial::new(n, p.clamp(0.0, 1.0)).map_or(0, |b| b.sample(rng))
}

/// A latency that is lognormal, `median` in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    pub median: f64,
}

impl Latency {
    pub fn values(self, rng: &mut ChaCha8Rng, n: u64) -> Vec<f64> {
        (0..n).map(|_| self.median * (SIGMA * rng.sample::<f64, _>(StandardNormal)).exp()).collect()
    }

    /// The same in buckets, drawn bucket by bucket.
    pub fn buckets(self, rng: &mut ChaCha8Rng, n: u64) -> Sample {
        let below = |bound: f64| 1.0 - normal_above((bound / self.median).ln() / SIGMA);
        let (mut left, mut before, mut counts) = (n, 0.0, Vec::with_capacity(BOUNDS.len() + 1));
        for bound in BOUNDS {
            let upto = below(bound);
            let rest: f64 = 1.0 - before;
            let part = if rest > 1e-15 { (upto - before) / rest } else { 0.0 };
            let count = binomial(rng, left, part);
            counts.push(count);
            left -= count;
            before = upto;
        }
        counts.push(left);
        Sample::Histogram(Histogram { bounds: BOUNDS.to_vec(), counts })
    }
}

pub fn normal_above(z: f64) -> f64 {
    tidegate::domain::judge::numbers::normal_above(z)
}

/// A gauge's values: an AR(1) with this correlation from one poll to the next.
pub fn gauge(rng: &mut ChaCha8Rng, correlation: f64) -> impl Iterator<Item = f64> {
    let mut value: f64 = rng.sample(StandardNormal);
    std::iter::repeat_with(move || {
        let now = value;
        let fresh: f64 = rng.sample(StandardNormal);
        value = correlation * value + (1.0 - correlation * correlation).sqrt() * fresh;
        now
    })
}
