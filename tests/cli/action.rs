//! The commands as steps of a workflow: inputs in, outputs, annotations and the job's page out.

use crate::{
    runner_files,
    stage::{Ran, Stage},
};

const CHECKED: &str =
    "stages: [10% for 1s, 100% for 1s]\nchecks: {healthy: {target: instances, fail: below 50%}}\n";

/// A job on GitHub: its files, and its variables.
struct Job {
    stage: Stage,
}

impl Job {
    async fn of(extra: &str) -> Job {
        // Unasked, the journal of a job on GitHub is a branch of the repository.
        Job { stage: Stage::set(&format!("journal: {{file: {{path: records}}}}\n{extra}")).await }
    }

    /// One step, with files of its own as every step has.
    async fn step(&self, arguments: &str, inputs: &[(&str, &str)]) -> (Ran, Step) {
        self.step_with(arguments, inputs, &[]).await
    }

    /// The same with more in the environment.
    async fn step_with(
        &self,
        arguments: &str,
        inputs: &[(&str, &str)],
        more: &[(String, String)],
    ) -> (Ran, Step) {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let mut variables: Vec<(String, String)> = [
            ("GITHUB_ACTIONS", "true".to_string()),
            ("CI", "true".to_string()),
            ("GITHUB_OUTPUT", file("output")),
            ("GITHUB_STEP_SUMMARY", file("summary")),
            ("GITHUB_SERVER_URL", "https://github.com".into()),
            ("GITHUB_REPOSITORY", "acme/shop".into()),
            ("GITHUB_RUN_ID", "77".into()),
            ("GITHUB_ACTOR", "octocat".into()),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into();
        variables.extend(inputs.iter().map(|(name, text)| (format!("INPUT_{name}"), (*text).to_string())));
        variables.extend(more.iter().cloned());
        let ran = self.stage.run_with("77.1", arguments, &variables).await;
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let step = Step { outputs: read("output"), summary: read("summary") };
        (ran, step)
    }
}

struct Step {
    outputs: String,
    summary: String,
}

impl Step {
    /// Its part of the job's page is one line, which begins so.
    fn is_a_line_about(&self, command: &str) -> bool {
        let mut lines = self.summary.lines().filter(|line| !line.is_empty());
        let line = lines.next().unwrap_or_default();
        lines.next().is_none() && line.starts_with(&format!("✅ **tidegate {command}"))
    }

    /// An output as the runner reads it.
    fn output(&self, wanted: &str) -> String {
        let all = runner_files::outputs(self.outputs.as_bytes()).unwrap();
        let found = all.into_iter().find(|(name, _)| name == wanted);
        found.unwrap_or_else(|| panic!("no output `{wanted}`: {}", self.outputs)).1
    }
}

#[tokio::test]
async fn a_release_goes_out_by_the_steps_of_a_workflow() {
    let job = Job::of(CHECKED).await;
    let release = ("RELEASE", "v2");
    job.step("action preflight", &[]).await.0.ends(0);
    let (ran, deployed) = job.step("action", &[("COMMAND", "deploy"), release]).await;
    ran.ends(0);
    assert_eq!((deployed.output("state"), deployed.output("split")), ("open".into(), "web=0".into()));
    assert_eq!(deployed.output("baseline-version"), "");
    assert!(deployed.is_a_line_about("deploy** v2&#35;"), "{}", deployed.summary);
    let (ran, shifted) = job.step("action shift-traffic", &[("TO", "10"), release]).await;
    ran.ends(0);
    assert_eq!(shifted.output("split"), "web=10");
    assert_eq!((shifted.output("changed"), shifted.output("candidate-version")), ("all".into(), "v2".into()));
    let result: serde_json::Value = serde_json::from_str(&shifted.output("result")).unwrap();
    assert_eq!(result["split_percent"]["web"], 10.0);
    let (ran, judged) = job.step("action verify-metrics", &[("FOR", "1s")]).await;
    ran.ends(0);
    assert_eq!((judged.output("verdict"), judged.output("exit-code")), ("pass".into(), "0".into()));
    assert!(judged.is_a_line_about("verify-metrics** v2"), "{}", judged.summary);
    let file = std::fs::read_to_string(judged.output("report-path")).unwrap();
    assert!(file.contains("| healthy | web | ✅ pass |"), "{file}");
    let (ran, refused) = job.step("action shift-traffic", &[("TO", "101")]).await;
    let text = ran.ends(2).text();
    assert!(
        text.contains("::error title=tidegate shift-traffic::invalid value '101' for input `to`"),
        "{text}"
    );
    assert_eq!(refused.output("exit-code"), "2");
    assert!(refused.summary.contains("tidegate shift-traffic"), "{}", refused.summary);
    let (ran, reasonless) = job.step("action rollout", &[("SKIP-CANARY", "true"), release]).await;
    ran.ends(2);
    let told = reasonless.output("sentence");
    assert!(told.ends_with("not provided:   input `hotfix-reason`"), "{told}");
    let (ran, stranger) = job.step("action shift-traffic", &[("TOO", "10"), release]).await;
    let text = ran.ends(2).text();
    assert!(text.contains("input `too`: `shift-traffic` has no such input; did you mean `to`?"), "{text}");
    assert_eq!(stranger.output("exit-code"), "2");
    // What an input holds is only text, also where it is refused.
    let evil = "x\n::error::pwned\n##[error]y\n::add-mask::z";
    let (ran, _) = job.step("action shift-traffic", &[("TO", evil), release]).await;
    for line in ran.ends(2).text().lines() {
        let ours = line.starts_with("::error title=tidegate shift-traffic::");
        assert!(ours || !line.trim_start().starts_with("::"), "{line}");
        assert!(!line.contains("##["), "{line}");
    }
    // Another step of the same run finds nothing to undo.
    let (ran, kept) = job.step("action rollback", &[("IF", "needed")]).await;
    ran.ends(0);
    assert_eq!(kept.output("changed"), "none");
    assert!(kept.is_a_line_about("rollback**"), "{}", kept.summary);
    let (ran, back) = job.step("action rollback", &[("REASON", "enough seen")]).await;
    ran.ends(0);
    assert_eq!((back.output("state"), back.output("split")), ("rolled_back".into(), "web=0".into()));
    assert!(back.summary.contains("rolled back"), "{}", back.summary);
}

#[tokio::test]
async fn of_the_steps_of_a_job_the_one_that_ends_the_release_writes_its_page() {
    let job = Job::of(CHECKED).await;
    let mut pages: Vec<(&str, Step)> = Vec::new();
    for (command, inputs) in [
        ("preflight", &[][..]),
        ("deploy", &[("RELEASE", "v2")]),
        ("shift-traffic", &[("TO", "10")]),
        ("verify-metrics", &[("FOR", "1s")]),
        ("shift-traffic", &[("TO", "100")]),
        ("verify-metrics", &[("FOR", "1s")]),
        ("finish", &[]),
        ("rollback", &[("IF", "needed")]),
    ] {
        let (ran, step) = job.step(&format!("action {command}"), inputs).await;
        ran.ends(0);
        pages.push((command, step));
    }
    for (command, step) in &pages {
        assert_eq!(step.is_a_line_about(command), *command != "finish", "{command}: {}", step.summary);
    }
    let page = &pages[6].1.summary;
    assert!(page.starts_with("## ✅ tidegate finish v2"), "{page}");
    assert!(page.contains("| healthy | web | ✅ pass |"), "{page}");
    assert!(page.contains("\nxychart-beta\n  x-axis [\"1: "), "{page}");
    assert!(page.contains("[log](https://github.com/acme/shop/actions/runs/77)"), "{page}");
    let (ran, asked) = job.step("action status", &[("SUMMARY", "always")]).await;
    ran.ends(0);
    assert!(asked.summary.starts_with("## "), "{}", asked.summary);
    let (ran, asked) = job.step("action status", &[("SUMMARY", "never")]).await;
    ran.ends(0);
    assert_eq!(asked.summary, "");
}

#[tokio::test]
async fn steps_of_ones_own_have_the_token_of_their_job_and_not_the_actions() {
    let job = Job::of("hooks: {before_deploy: {look: {run: 'env > seen.txt'}}}\n").await;
    let seen = || std::fs::read_to_string(job.stage.path("seen.txt")).unwrap();
    let inputs = [("GITHUB-TOKEN", "ghs_given_to_it"), ("JOB-TOKEN", "ghs_of_the_job")];
    job.step("action deploy", &[inputs[0], inputs[1], ("RELEASE", "v2")]).await.0.ends(0);
    assert!(seen().contains("INPUT_RELEASE=v2") && !seen().contains("ghs_"), "{}", seen());
    job.step("action rollback", &[]).await.0.ends(0);
    // as a composite action hands inputs on, and with a token in the job's own `env:`
    let mine = ("GITHUB_TOKEN".to_string(), "ghs_of_the_environment".to_string());
    let inputs = [("GITHUB_TOKEN", "ghs_given_to_it"), ("JOB_TOKEN", "ghs_of_the_job"), ("RELEASE", "v3")];
    job.step_with("action deploy", &inputs, &[mine]).await.0.ends(0);
    let tokens: Vec<String> =
        seen().lines().filter(|line| line.contains("ghs_")).map(str::to_string).collect();
    assert_eq!(tokens, ["GITHUB_TOKEN=ghs_of_the_environment"]);
}

#[tokio::test]
async fn a_verdict_fails_the_step_unless_the_workflow_says_otherwise() {
    let extra =
        "stages: [100% for 8s]\nchecks: {errors: {haproxy: errors, fail: above 99%, needs: 1 events}}\n";
    let job = Job::of(extra).await;
    job.step("action deploy", &[("RELEASE", "v2")]).await.0.ends(0);
    job.step("action shift-traffic", &[("TO", "100")]).await.0.ends(0);
    job.stage.ask("set server web/green addr 127.0.0.1 port 1").await;
    let verify = async |fail_on| job.step("action verify-metrics", &[("FAIL-ON", fail_on)]).await;
    let (ran, step) = verify("insufficient,error").await;
    let text = ran.ends(0).text();
    assert_eq!((step.output("verdict"), step.output("exit-code")), ("fail".into(), "10".into()));
    assert!(text.contains("::error title=check health of web%3A fail::"), "{text}");
    verify("").await.0.ends(10);
}

#[tokio::test]
async fn a_mistake_in_the_file_is_shown_at_its_line() {
    let job = Job::of("stagse: [100%]\n").await;
    let (ran, step) = job.step("action preflight", &[]).await;
    let text = ran.ends(2).text();
    assert!(
        text.contains("\n::error file=tidegate.yml,line=8,col=1,title=tidegate::unknown key `stagse`"),
        "{text}"
    );
    assert_eq!(step.output("exit-code"), "2");
    let (ran, _) = job.step("action", &[("COMMAND", "demo")]).await;
    assert!(ran.ends(2).text().contains("input `command`: there is no `demo`"));
}

#[tokio::test]
async fn other_ci_systems_find_the_result_where_they_look_for_it() {
    let stage = Stage::set(CHECKED).await;
    let folder = stage.folder().display().to_string();
    let run = async |variables: &[(&str, &str)]| {
        let variables: Vec<_> = variables.iter().map(|(n, v)| ((*n).to_string(), (*v).to_string())).collect();
        stage.run_with("1", "deploy --release v2", &variables).await.ends(0);
    };
    let read = |name: &str| std::fs::read_to_string(stage.folder().join(name)).unwrap();
    run(&[("GITLAB_CI", "true"), ("CI_PROJECT_DIR", &folder)]).await;
    let told = read("tidegate.env");
    assert!(told.contains("TIDEGATE_RESULT_STATE=open\n"), "{told}");
    assert!(!told.contains("RESULT_RESULT"), "{told}");
    std::fs::remove_file(stage.folder().join("tidegate.env")).unwrap();
    run(&[("JENKINS_URL", "https://ci.example"), ("WORKSPACE", &folder)]).await;
    assert_eq!(read("tidegate.env").lines().count(), told.lines().count());
    run(&[("CIRCLECI", "true"), ("BASH_ENV", &format!("{folder}/bash"))]).await;
    assert!(read("bash").contains("export TIDEGATE_RESULT_RELEASE='v2'\n"));
    run(&[("TIDEGATE_OUTPUTS", &format!("{folder}/own"))]).await;
    assert!(read("own").contains("TIDEGATE_RESULT_EXIT_CODE=0\n"));
}
