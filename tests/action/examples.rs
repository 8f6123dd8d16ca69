//! Every file below `examples/ci`, run as its CI system runs it: a release goes out by its steps, and its step
//! for what went wrong takes back what was left half-way.

use std::{fs, path::Path, process::Command};
use tidegate::document::node;

use super::{
    capture::Captured,
    docker::image,
    other_ci::{CircleCi, Jenkins, gitlab},
    process::code,
    production::{HANGS, Production},
    runner::Job,
    world::GREEN_HAS_ALL,
};

const QUICK: &str =
    "stages: [10% for 1s, 100% for 1s]\nchecks:\n  healthy: {target: instances, fail: below 50%}\n";

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(name)).unwrap()
}

fn yaml(name: &str) -> serde_json::Value {
    node::parse(&example(name)).unwrap().to_json()
}

/// A workspace with a production that is to be released to. Its first write is never answered.
fn site() -> (Job, Production) {
    let job = Job::new();
    let production = Production::start(&job.workspace(), Some(HANGS));
    job.write("tidegate.yml", &production.config(QUICK));
    (job, production)
}

/// Lets `left` leave a release in the middle of a write, and `back` take it back.
fn half_way(left: impl FnOnce(), back: impl FnOnce() -> (i32, String)) {
    left();
    let (code, text) = back();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("rolled back"), "{text}");
}

/// How long a rollback waits for a late write of the one that was killed.
const IMPATIENT: (&str, &str) = ("TIDEGATE_CALL_SECONDS", "1");

/// A job that is killed in the middle of a write: the journal has the intent.
const KILLED: &str = "TIDEGATE_CALL_SECONDS=3600 tidegate rollout --release v1 & \
    until grep -qs '\"moves\"' journal/shop/production/*.json; do kill -0 $!; done; kill -KILL $!";

#[test]
fn gitlab_ci() {
    let file = yaml("gitlab-ci.yml");
    assert_eq!(file[".tidegate"]["image"]["entrypoint"], serde_json::json!([""]));
    let script = |job: &str| -> Vec<String> {
        let lines = file[job]["script"].as_array().unwrap().iter();
        lines.map(|line| line.as_str().unwrap().to_string()).collect()
    };
    let (job, production) = site();
    let variables = [
        ("CI", "true"),
        ("GITLAB_CI", "true"),
        ("CI_PIPELINE_ID", "7"),
        ("CI_COMMIT_SHA", "6dcb09b5"),
        IMPATIENT,
    ];
    let run = |script: &[String]| gitlab(&job.workspace(), script, &variables);
    half_way(|| drop(run(&[KILLED.into()])), || run(&script("back")));
    let (code, text) = run(&script("deploy"));
    assert_eq!(code, 0, "{text}");
    assert_eq!(production.world.weights(), GREEN_HAS_ALL);
    assert!(text.contains("6dcb09b5"), "the release is the commit: {text}");
    let report = file["deploy"]["artifacts"]["reports"]["dotenv"].as_str().unwrap();
    let told = fs::read_to_string(job.workspace().join(report)).unwrap();
    assert!(told.contains("TIDEGATE_RESULT_STATE=finished\n"), "{told}");
    let (code, text) = run(&script("back"));
    assert_eq!(code, 0, "{text}");
    assert_eq!(production.world.weights(), GREEN_HAS_ALL, "nothing was left half-way");
    assert_eq!(job.litter(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn jenkins() {
    let file = example("Jenkinsfile");
    let args = file.lines().find_map(|line| line.trim().strip_prefix("args ")).unwrap().trim_matches('"');
    let steps = |text: &str| -> Vec<String> {
        let steps = text.lines().filter_map(|line| line.trim().strip_prefix("sh '")?.strip_suffix('\''));
        steps.map(str::to_string).collect()
    };
    let (stages, post) = file.split_once("post {").unwrap();
    let (job, production) = site();
    let variables = [("BUILD_TAG", "jenkins-shop-7"), ("GIT_COMMIT", "6dcb09b5"), IMPATIENT];
    let folder = job.workspace();
    // Jenkins has a user of its own; the test's socket must be that user's to use.
    let user =
        fs::metadata(folder.join("tidegate.yml")).map(|m| std::os::unix::fs::MetadataExt::uid(&m)).unwrap();
    job.give(&folder);
    let jenkins = Jenkins::start(&folder, args, user, &variables);
    half_way(|| drop(jenkins.sh(KILLED)), || jenkins.sh(&steps(post)[0]));
    for step in steps(stages) {
        let (code, text) = jenkins.sh(&step);
        assert_eq!(code, 0, "{step}: {text}");
    }
    assert_eq!(production.world.weights(), GREEN_HAS_ALL);
}

#[test]
fn circleci() {
    let file = yaml("circleci.yml");
    let steps = file["jobs"]["deploy"]["steps"].as_array().unwrap();
    let commands = |when: Option<&str>| -> Vec<String> {
        let runs = steps.iter().filter_map(|step| step.get("run"));
        let runs = runs.filter(|run| run.get("when").and_then(|w| w.as_str()) == when);
        runs.map(|run| run["command"].as_str().unwrap().to_string()).collect()
    };
    let (job, production) = site();
    let variables = [
        ("CI", "true"),
        ("CIRCLECI", "true"),
        ("CIRCLE_WORKFLOW_ID", "w7"),
        ("CIRCLE_SHA1", "6dcb09b5"),
        IMPATIENT,
    ];
    let circle = CircleCi::start(&job.workspace(), &variables);
    half_way(|| drop(circle.run(KILLED)), || circle.run(&commands(Some("on_fail"))[0]));
    for command in commands(None) {
        let (code, text) = circle.run(&command);
        assert_eq!(code, 0, "{command}: {text}");
    }
    assert_eq!(production.world.weights(), GREEN_HAS_ALL);
}

/// The script, with the image under test and the machine's network.
fn plain(job: &Job, arguments: &str) -> Command {
    let script = example("docker.sh")
        .replace("registry.example.com/tidegate:1", &image())
        .replace("docker run --rm", "docker run --rm --network host");
    job.write("docker.sh", &script);
    let mut command = Command::new("sh");
    command.arg("docker.sh").args(arguments.split(' ')).current_dir(job.workspace());
    command
        .env("TIDEGATE_RUN", "me")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command
}

#[test]
fn plain_docker() {
    let (job, production) = site();
    let interrupted = || {
        let rollout = Captured::spawn(&mut plain(&job, "rollout --release v1"));
        production.hung();
        rollout.signal(rustix::process::Signal::INT);
        let (code, said) = rollout.ended();
        assert_eq!(code, 130, "{}", said.text());
    };
    half_way(interrupted, || code(&mut plain(&job, "rollback --if-needed")));
    let (code, text) = code(&mut plain(&job, "rollout --release v2"));
    assert_eq!(code, 0, "{text}");
    assert_eq!(production.world.weights(), GREEN_HAS_ALL);
    assert_eq!(job.litter(), [] as [std::path::PathBuf; 0]);
}
