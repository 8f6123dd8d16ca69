//! `tidegate demo` ends well, and however it ends it leaves no process behind.

use rustix::process::Signal;

use super::{
    process::{Heard, code, nobody_left_in},
    world::Site,
};

const TO_THE_END: &str = "v3 fails 5 %";

fn to_its_end(arguments: &str) {
    let site = Site::new("");
    let mut command = site.tidegate(arguments);
    let (code, text) = code(command.env_remove("TIDEGATE_CALL_SECONDS"));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(TO_THE_END), "{text}");
    nobody_left_in(site.path());
}

#[test]
fn it_ends_well() {
    to_its_end("demo");
}

#[test]
fn it_ends_well_with_a_real_haproxy() {
    to_its_end("demo --haproxy");
}

#[test]
fn interrupted_it_leaves_nothing_behind() {
    // While v1 is all there is, in the middle of a deploy step, and while v2 has traffic.
    for moment in ["$ tidegate preflight", "$ tidegate deploy", "opened v2", "$ tidegate verify-metrics"] {
        for (signal, expected) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            for arguments in ["demo", "demo --haproxy"] {
                let site = Site::new("");
                let mut process = Heard::spawn(&mut site.tidegate(arguments));
                process.until(moment);
                process.signal(signal);
                let (code, text) = process.code();
                assert_eq!(code, expected, "{arguments} at {moment:?}:\n{text}");
                nobody_left_in(site.path());
            }
        }
    }
}

#[test]
fn killed_it_leaves_no_service_behind() {
    let site = Site::new("");
    let mut process = Heard::spawn(&mut site.tidegate("demo"));
    process.until("$ tidegate snapshot-db");
    process.signal(Signal::KILL);
    process.ended();
    nobody_left_in(site.path());
}
