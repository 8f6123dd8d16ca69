use super::*;
use proptest::prelude::*;

const BLUE: usize = 0;
const GREEN: usize = 1;

fn percent(text: &str) -> Share {
    text.parse().unwrap()
}

fn standing(primary: &str, additional: Option<(&str, &str)>, marked: [Option<usize>; 2]) -> Standing {
    let additional = additional.map(|(version, share)| (Version(version.into()), percent(share)));
    let routing = Routing { primary: Version(primary.into()), additional };
    let at = |version: &str| format!("2026-01-{version:0>2}T00:00:00.000+0000");
    let beside = routing.additional.as_ref().map_or("1", |(version, _)| version.0.as_str());
    let published = [at(primary), at(beside)];
    let released = ["v1", "v2"].map(|release| Some(release.into()));
    Standing { routing, marked, released, published, newest: true }
}

/// The version on each side, and what the second side has.
fn seen(placed: &Placed) -> ([&str; 2], Share) {
    (placed.versions.each_ref().map(|v| v.as_ref().map_or("-", |v| v.0.as_str())), placed.shares[GREEN])
}

#[test]
fn a_version_is_on_the_side_that_its_description_says_wherever_it_stands_in_the_alias() {
    let in_flight = place(&[standing("7", Some(("8", "10%")), [Some(BLUE), Some(GREEN)])]);
    assert_eq!(seen(&in_flight[0]), (["7", "8"], percent("10%")));
    let retired = place(&[standing("8", None, [Some(GREEN), None])]);
    assert_eq!(seen(&retired[0]), (["-", "8"], Share::ALL));
    let next = place(&[standing("8", Some(("9", "10%")), [Some(GREEN), Some(BLUE)])]);
    assert_eq!(seen(&next[0]), (["9", "8"], percent("90%")));
}

#[test]
fn a_version_that_something_else_published_is_on_the_side_that_is_left() {
    assert_eq!(seen(&place(&[standing("7", None, [None, None])])[0]), (["7", "-"], Share::NONE));
    let both = place(&[standing("7", Some(("8", "10%")), [None, None])]);
    assert_eq!(seen(&both[0]), (["7", "8"], percent("10%")));
    let one = place(&[standing("7", Some(("8", "10%")), [None, Some(BLUE)])]);
    assert_eq!(seen(&one[0]), (["8", "7"], percent("90%")));
    // the newer of two that say the same was published into what was free then
    let same = place(&[standing("7", Some(("8", "10%")), [Some(BLUE), Some(BLUE)])]);
    assert_eq!(seen(&same[0]), (["8", "7"], percent("90%")));
}

#[test]
fn functions_that_say_nothing_follow_those_that_do() {
    let placed = place(&[standing("7", None, [None, None]), standing("3", None, [Some(GREEN), None])]);
    assert_eq!((seen(&placed[0]).0, seen(&placed[1]).0), (["-", "7"], ["-", "3"]));
}

#[test]
fn a_function_without_anything_new_does_not_count_and_one_that_was_taken_out_does() {
    let split = standing("7", Some(("8", "10%")), [Some(GREEN), Some(BLUE)]);
    let mut other = standing("3", None, [Some(BLUE), None]);
    let placed = place(&[split.clone(), other.clone()]);
    assert_eq!((placed[1].counts, seen(&placed[1]).0), (false, ["-", "3"]));
    other.newest = false;
    let placed = place(&[split, other]);
    assert_eq!((placed[1].counts, seen(&placed[1])), (true, (["-", "3"], Share::ALL)));
}

#[test]
fn a_function_that_is_through_before_the_others_counts_and_has_no_way_back() {
    let split = standing("7", Some(("8", "100%")), [Some(GREEN), Some(BLUE)]);
    // published a moment before the other one's candidate, for the same release
    let mut through = standing("4", None, [Some(BLUE), None]);
    through.released[0] = Some("v2".into());
    through.published[0] = "2026-01-07T23:59:58.123+0000".into();
    let placed = place(&[split.clone(), through.clone()]);
    assert_eq!((placed[1].counts, seen(&placed[1])), (true, (["4", "-"], Share::NONE)));
    let shares: Vec<Share> = placed.iter().map(|p| p.shares[BLUE]).collect();
    assert_eq!(mean(&shares), Share::ALL);
    // before the others have all of it, it is not where they are
    let early = standing("7", Some(("8", "10%")), [Some(GREEN), Some(BLUE)]);
    let placed = place(&[early, through.clone()]);
    let shares: Vec<Share> = placed.iter().map(|p| p.shares[BLUE]).collect();
    assert!(![percent("10%"), Share::ALL, Share::NONE].contains(&mean(&shares)));
    // a name that is always the same does not make an earlier release this one
    let mut earlier = through.clone();
    earlier.published[0] = "2026-01-03T00:00:00.000+0000".into();
    assert!(!place(&[split.clone(), earlier])[1].counts);
    // what cannot be told apart refuses
    through.published[0] = String::new();
    assert!(place(&[split, through])[1].counts);
}

#[test]
fn weights_are_exact_and_something_never_becomes_nothing() {
    for points in 0..=10_000 {
        let share = Share::from_basis_points(points).unwrap();
        assert_eq!(Routing::share(Routing::weight(share)), share);
    }
    assert_eq!(Routing::share(0.000_001), percent("0.01%"));
    assert_eq!(Routing::share(0.999_999), percent("99.99%"));
    assert_eq!(Routing::share(f64::NAN), Share::NONE);
}

#[test]
fn a_description_tells_release_and_side_or_nothing() {
    let mark = Mark { release: "v1.2.3".into(), side: GREEN };
    assert_eq!(mark.to_string(), "tidegate v1.2.3 green");
    assert_eq!(Mark::read("tidegate v1.2.3 green"), Some(mark));
    for other in ["", "tidegate", "tidegate v1", "tidegate v1 red", "thumbnails", "tidegate v1 green x"] {
        assert_eq!(Mark::read(other), None, "{other}");
    }
}

#[test]
fn what_may_be_seen_on_the_way_is_never_an_end_of_it() {
    for functions in [1, 2, 3, 16, 200, 1000] {
        for (from, to) in [("0%", "10%"), ("10%", "100%"), ("100%", "0%"), ("10%", "10.01%"), ("0%", "0.01%")]
        {
            let (from, to) = (percent(from), percent(to));
            let between = between(from, to, functions);
            assert!(!between.contains(&from) && !between.contains(&to), "{functions} {from} {to}");
            assert_eq!(between.is_empty(), functions < 2);
            assert!(between.len() < 2 * functions);
        }
    }
    assert_eq!(between(percent("0%"), percent("10%"), 2), [percent("5%")]);
}

proptest! {
    #[test]
    fn functions_on_their_way_show_a_share_that_was_announced(
        from in 0u16..=10_000, to in 0u16..=10_000, functions in 1usize..60, there in 0usize..60, second in any::<bool>(),
    ) {
        let [from, to] = [from, to].map(|points| Share::from_basis_points(points).unwrap());
        let there = there.min(functions);
        let mut shares = vec![to; there];
        shares.resize(functions, from);
        // the candidate may be either side; shares are reckoned on the first
        let found = match second {
            true => mean(&shares.iter().map(|share| share.rest()).collect::<Vec<_>>()).rest(),
            false => mean(&shares),
        };
        let known = if there == 0 { from } else { to };
        let all = there == 0 || there == functions || from == to;
        prop_assert_eq!(found == known, all);
        prop_assert!(all || between(from, to, functions).contains(&found));
    }

    /// A whole life: releases published, moved, taken back or finished, function by function, some of which
    /// get nothing new. Whoever looks in between sees the candidate's side with what it was given, and no more.
    #[test]
    fn a_version_never_changes_its_side(
        functions in 1usize..4,
        releases in prop::collection::vec((any::<bool>(), 1u8..8), 1..6),
        constant in any::<bool>(),
    ) {
        let mut world: Vec<Standing> = (0..functions).map(|_| standing("1", None, [None, None])).collect();
        let (mut serving, mut number) = (BLUE, 1);
        let day = |number: u32| format!("2026-01-{number:0>2}T00:00:00.000+0000");
        // some people's releases all have one name
        let name = |number: u32| if constant { "main".to_string() } else { format!("v{number}") };
        for (finished, changed) in releases {
            let free = 1 - serving;
            number += 1;
            let new = Version(number.to_string());
            let all: Vec<usize> = (0..functions).filter(|function| changed & (1 << function) != 0).collect();
            if all.is_empty() { continue }
            let looked = |world: &[Standing], allowed: [Share; 2]| -> Result<(), TestCaseError> {
                for placed in place(world).iter().filter(|placed| placed.counts) {
                    prop_assert!(allowed.contains(&placed.shares[free]), "{:?} of {:?}", placed, world);
                }
                Ok(())
            };
            for function in 0..functions {
                let old = place(&world)[function].versions[serving].clone().unwrap();
                let primary = world[function].routing.primary == old;
                let at = usize::from(!primary);
                let kept = world[function].marked[at];
                let (since, of) = (world[function].published[at].clone(), world[function].released[at].clone());
                // what gets nothing new loses an older candidate
                let additional = all.contains(&function).then(|| (new.clone(), Share::NONE));
                let marked = [kept, additional.as_ref().map(|_| free)];
                world[function] = Standing {
                    routing: Routing { primary: old, additional },
                    marked,
                    released: [of, Some(name(number))],
                    published: [since, day(number)],
                    newest: true,
                };
                looked(&world, [Share::NONE; 2])?;
            }
            let mut before = Share::NONE;
            for share in [percent("10%"), if finished { Share::ALL } else { Share::NONE }] {
                for function in &all {
                    world[*function].routing.additional = Some((new.clone(), share));
                    looked(&world, [before, share])?;
                }
                before = share;
            }
            for function in all.iter().filter(|_| finished) {
                world[*function] = Standing {
                    routing: Routing::alone(&new),
                    marked: [Some(free), None],
                    released: [Some(name(number)), None],
                    published: [day(number), String::new()],
                    newest: true,
                };
                looked(&world, [Share::ALL; 2])?;
            }
            serving = if finished { free } else { serving };
        }
    }
}
