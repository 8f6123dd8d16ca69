//! What is in the image, and how it behaves as process 1.

use super::{
    capture::Captured,
    docker::{Container, docker, image, run, shell},
    process::good,
    production::Production,
    runner::Job,
};

#[test]
fn it_has_the_programs_that_ci_systems_ask_for() {
    let text =
        shell("for program in sh env tail tar cat psql pg_dump pg_restore; do command -v $program; done");
    assert_eq!(text.lines().count(), 8, "{text}");
}

#[test]
fn it_has_certificates_and_time_zones() {
    let text = shell(
        "test -s /etc/ssl/certs/ca-certificates.crt; test $(ls /etc/ssl/certs/*.pem | wc -l) -gt 100; \
         TZ=America/New_York date -d @1700000000 +%H:%M; TZ=Asia/Kolkata date -d @1700000000 +%H:%M",
    );
    assert_eq!(text, "17:13\n03:43\n");
}

#[test]
fn it_says_what_it_is_and_starts_tidegate() {
    let format = "{{json .Config.Entrypoint}} {{json .Config.User}} {{index .Config.Labels \"org.opencontainers.image.title\"}}";
    let text = good(docker().args(["image", "inspect", "--format", format, &image()]));
    assert_eq!(text.trim(), r#"["/usr/local/bin/tidegate"] "" tidegate"#);
    let (code, text) = run(&[], &["--version"]);
    assert_eq!((code, text.trim()), (0, concat!("tidegate ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn nothing_of_the_build_is_left_in_it() {
    let text = shell(
        "ls /tmp /var/lib/apt/lists /work; ls -d /source /usr/local/cargo /usr/local/rust 2>/dev/null || true",
    );
    assert_eq!(text.lines().filter(|line| !line.is_empty() && !line.ends_with(':')).count(), 0, "{text}");
}

#[test]
fn every_version_of_pg_dump_starts_and_has_a_pg_restore() {
    let text = shell(
        "for folder in /usr/lib/postgresql/*; do \
           test \"$($folder/bin/pg_dump --version | grep -o '[0-9]*' | head -1)\" = \"${folder##*/}\"; \
           $folder/bin/pg_restore --version; $folder/bin/psql --version; \
         done",
    );
    assert!(text.contains("pg_restore (PostgreSQL)"), "{text}");
}

/// A folder that a container is started on, without any CI.
fn site(extra: &str) -> (Job, Production) {
    let job = Job::new();
    let production = Production::start(&job.workspace(), None);
    job.write("tidegate.yml", &production.config(extra));
    (job, production)
}

fn mount(job: &Job) -> String {
    format!("{}:/work", job.workspace().display())
}

#[test]
fn as_process_1_it_reaps_the_orphans_of_a_step() {
    // An orphan that has ended is there, as a zombie, until process 1 has taken note of its end.
    let step = "deploy:\n      limit: 60s\n      run: |\n        (setsid sh -c 'echo $$ >orphan' &)\n        \
                until test -s orphan; do :; done\n        while test -d /proc/$(cat orphan); do :; done\n";
    let job = Job::new();
    let production = Production::start(&job.workspace(), None);
    let config = production.config("").replacen("    url:", &format!("    {step}    url:"), 1);
    job.write("tidegate.yml", &config);
    let (code, text) = run(&["-v", &mount(&job)], &["deploy", "--release", "v2"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn as_process_1_it_hears_docker_stop_and_tells_how_it_ended() {
    let (job, production) = site("stages: [10% for 1h, 100% for 1h]\n");
    let container = Container::start(&["-v", &mount(&job)], &["rollout", "--release", "v2"]);
    let log = Captured::spawn(docker().args(["logs", "--follow", &container.0]));
    log.until("watched");
    good(docker().args(["stop", "--time", "60", &container.0]));
    assert_eq!(exit_code(&container), "143", "{}", log.ended().1.text());
    assert_eq!(production.world.weights(), super::world::GREEN_HAS_A_TENTH);
    assert!(job.litter().is_empty(), "{:?}", job.litter());
}

#[test]
fn the_exit_code_of_the_work_is_that_of_process_1() {
    let (code, text) = run(&[], &["no-such-command"]);
    assert_eq!(code, 2, "{text}");
}

#[test]
fn it_works_as_a_user_without_a_name_or_a_home() {
    let (job, _production) = site("");
    let options = ["--user", "4242:4242", "-v", &mount(&job), "-e", "HOME=/nowhere"];
    let (code, text) = run(&options, &["plan", "--release", "v2"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn the_demo_starts_in_it_and_leaves_nothing_of_roots() {
    let job = Job::new();
    let container = Container::start(&["-v", &mount(&job)], &["demo"]);
    let log = Captured::spawn(docker().args(["logs", "--follow", &container.0]));
    log.until("$ tidegate preflight");
    good(docker().args(["stop", "--time", "60", &container.0]));
    assert_eq!(exit_code(&container), "143", "{}", log.ended().1.text());
    assert!(job.workspace().join("tidegate-demo/tidegate.yml").exists());
    assert_eq!(job.litter(), [] as [std::path::PathBuf; 0]);
}

fn exit_code(container: &Container) -> String {
    good(docker().args(["inspect", "--format", "{{.State.ExitCode}}", &container.0])).trim().to_string()
}
