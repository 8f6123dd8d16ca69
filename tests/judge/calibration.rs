//! What `scripts/calibrate --check` asks, with few watches.

#[allow(dead_code, reason = "the tables need more of it")]
#[path = "../../scripts/calibration/nulls.rs"]
mod nulls;
#[path = "../../scripts/calibration/promises.rs"]
mod promises;
#[allow(dead_code, reason = "the tables need more of it")]
#[path = "../../scripts/calibration/watch.rs"]
mod watch;
#[allow(dead_code, reason = "the tables need more of it")]
#[path = "../../scripts/calibration/world.rs"]
mod world;

#[test]
fn false_alarms_are_as_rare_and_harm_is_found_as_early_as_promised() {
    let promises = promises::all(300, 1);
    assert!(promises.len() > 10);
    let broken: Vec<_> = promises.into_iter().filter(|p| !p.kept).map(|p| p.words).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
