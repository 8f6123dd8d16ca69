//! What an alias says, and which of its two versions is on which side. Pure.
//!
//! An alias has two places: its version, and one additional version with a weight. A release ends with the
//! candidate alone in the first place, so a place cannot be a side: a version would change sides in the middle
//! of `finish`. A version's description says which side it is on; places only help where it says nothing.

use jiff::{SignedDuration, civil::DateTime};
use std::fmt;

use crate::domain::share::Share;

/// The sides, in their order.
pub const SIDES: [&str; 2] = ["blue", "green"];
const MARK: &str = "tidegate ";

/// A published version's number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Version {
    fn number(&self) -> u64 {
        self.0.parse().unwrap_or(0)
    }
}

/// Where an alias sends its traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    pub primary: Version,
    /// The one additional version, and its share.
    pub additional: Option<(Version, Share)>,
}

impl Routing {
    /// The weight that AWS takes.
    pub fn weight(share: Share) -> f64 {
        share.fraction()
    }

    /// The share of a weight that AWS answers. What rounds to nothing or to the whole is neither.
    pub fn share(weight: f64) -> Share {
        let points = (weight.clamp(0.0, 1.0) * 10_000.0).round();
        let (least, most) = (u16::from(weight > 0.0), 10_000 - u16::from(weight < 1.0));
        // between 0 and 10 000: the cast keeps it
        Share::from_basis_points((points as u16).clamp(least, most)).unwrap_or_default()
    }

    pub fn alone(version: &Version) -> Self {
        Routing { primary: version.clone(), additional: None }
    }
}

impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.additional {
            None => write!(f, "version {} with all traffic", self.primary),
            Some((version, share)) => {
                write!(f, "version {} with {}, version {version} with {share}", self.primary, share.rest())
            }
        }
    }
}

/// What we wrote into a version's description when we published it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub release: String,
    /// 0 or 1.
    pub side: usize,
}

impl Mark {
    pub fn read(description: &str) -> Option<Self> {
        let (release, side) = description.strip_prefix(MARK)?.split_once(' ')?;
        let side = SIDES.iter().position(|known| *known == side)?;
        Some(Mark { release: release.to_string(), side })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}{} {}", self.release, SIDES.get(self.side).unwrap_or(&""))
    }
}

/// One function's alias, with what is known of its versions.
#[derive(Clone, Debug)]
pub struct Standing {
    pub routing: Routing,
    /// Which side the description of the primary, and of the additional version, says.
    pub marked: [Option<usize>; 2],
    /// The release that each of them was published for, as its description says.
    pub released: [Option<String>; 2],
    /// When each was published, as AWS writes it; empty where it is not known.
    pub published: [String; 2],
    /// Its code is what would be published now: where it stands alone, there is nothing to split.
    pub newest: bool,
}

/// One function's alias, by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub versions: [Option<Version>; 2],
    pub shares: [Share; 2],
    /// Whether it speaks for the service. A function that this release does not change does not.
    pub counts: bool,
    /// The side whose version is the alias' own.
    pub primary: usize,
}

impl Placed {
    fn two(routing: &Routing, primary: usize, counts: bool) -> Self {
        let mut placed =
            Placed { versions: [None, None], shares: [Share::NONE; 2], counts, primary: primary & 1 };
        let (mine, other) = (placed.primary, 1 - placed.primary);
        let (version, share) = routing.additional.clone().unzip();
        let share = share.unwrap_or_default();
        placed.versions[mine] = Some(routing.primary.clone());
        placed.versions[other] = version;
        placed.shares[mine] = share.rest();
        placed.shares[other] = share;
        placed
    }
}

/// Says on which side each version of each alias is.
pub fn place(standings: &[Standing]) -> Vec<Placed> {
    let pairs: Vec<Option<usize>> = standings.iter().map(by_marks).collect();
    let two = |s: &Standing| s.routing.additional.is_some();
    let quiet = !standings.iter().any(two);
    // an alias whose versions say nothing is read as the first one that says something
    let primary = pairs.iter().flatten().next().copied().unwrap_or(0);
    let split: Vec<Placed> = standings
        .iter()
        .zip(&pairs)
        .filter(|(s, _)| two(s))
        .map(|(s, pair)| Placed::two(&s.routing, pair.unwrap_or(primary), true))
        .collect();
    let gained: u64 = split.iter().map(|p| u64::from(p.shares[1].basis_points())).sum();
    let busy = usize::from(gained > split.len() as u64 * 5000);
    let last = standings
        .iter()
        .filter_map(|s| Some((&s.published[0], s.marked[0]?)))
        .max_by(|a, b| a.0.cmp(b.0))
        .map_or(0, |(_, side)| side);
    let mut split = split.into_iter();
    standings
        .iter()
        .map(|standing| match two(standing).then(|| split.next()).flatten() {
            Some(placed) => placed,
            // nobody is split: all are on the side that was published last
            None if quiet => Placed::two(&standing.routing, last, true),
            // through with this release before the others are: alone on what they have beside their baseline
            None if standing.newest && arrived(standing, standings) => {
                Placed::two(&standing.routing, standing.marked[0].unwrap_or(busy), true)
            }
            // not changed by this release
            None if standing.newest => Placed::two(&standing.routing, busy, false),
            // not there yet, or taken out by somebody
            None => Placed::two(&standing.routing, primary, true),
        })
        .collect()
}

/// Functions of one release are published together: so long may lie between two of them.
const TOGETHER: SignedDuration = SignedDuration::from_hours(1);

/// Whether an alias that stands alone stands on a version of the release that others are split with: somebody
/// moved it there, or a `finish` was cut off. Such a function has no way back any more, and must not look as if
/// this release had nothing to do with it.
fn arrived(alone: &Standing, standings: &[Standing]) -> bool {
    let split = standings.iter().filter_map(|s| Some((s, s.routing.additional.as_ref()?)));
    split.into_iter().any(|(other, (additional, _))| {
        // a candidate is the later one of two
        let newer = usize::from(additional.number() > other.routing.primary.number());
        let same = alone.released[0].is_some() && alone.released[0] == other.released[newer];
        same && near(&alone.published[0], &other.published[newer])
    })
}

/// Times that cannot be read are taken to be near: that refuses, and never hides.
fn near(a: &str, b: &str) -> bool {
    let read = |text: &str| DateTime::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).ok();
    match (read(a), read(b)) {
        (Some(a), Some(b)) => a.duration_since(b).abs() <= TOGETHER,
        _ => true,
    }
}

/// The side of the primary, where the descriptions of a pair of versions tell it.
fn by_marks(standing: &Standing) -> Option<usize> {
    let (additional, _) = standing.routing.additional.as_ref()?;
    match standing.marked {
        [Some(primary), Some(other)] if primary == other => {
            // the newer one was published into a side that was free then
            let newer = additional.number() > standing.routing.primary.number();
            Some(if newer { 1 - other } else { primary })
        }
        [Some(primary), _] => Some(primary),
        [None, Some(other)] => Some(1 - other),
        [None, None] => None,
    }
}

/// The share of a side over all functions that count. Where they differ it is never a share that one of them
/// has: functions on their way must not look as if all had arrived.
pub fn mean(shares: &[Share]) -> Share {
    let Some(first) = shares.first() else { return Share::NONE };
    if shares.iter().all(|share| share == first) {
        return *first;
    }
    let sum: u64 = shares.iter().map(|share| u64::from(share.basis_points())).sum();
    let mean = Share::of(sum, shares.len() as u64 * 10_000).basis_points();
    let near = (0..=10_000u16).flat_map(|off| [mean.checked_add(off), mean.checked_sub(off)]);
    let free = near.flatten().filter_map(|points| Share::from_basis_points(points).ok());
    free.into_iter().find(|share| !shares.contains(share)).unwrap_or_default()
}

/// The means on the way of `functions` from one share to another, one after the other.
pub fn between(from: Share, to: Share, functions: usize) -> Vec<Share> {
    let mut seen = Vec::new();
    for there in 1..functions {
        let mut shares = vec![to; there];
        shares.resize(functions, from);
        let rest: Vec<Share> = shares.iter().map(|share| share.rest()).collect();
        for share in [mean(&shares), mean(&rest).rest()] {
            if !seen.contains(&share) {
                seen.push(share);
            }
        }
    }
    seen
}

#[cfg(test)]
#[path = "alias_tests.rs"]
mod tests;
