//! GitHub's runner, as far as an action sees it: actions/runner, ContainerActionHandler.cs,
//! DockerCommandManager.cs, ProcessInvoker.cs; composite.rs has the actions without a container.
//!
//! What differs: containers join the network of the machine instead of one made for the job, so that they
//! reach what a test has on loopback.

use rustix::process::{Signal, kill_process};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, chown},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};
use tempfile::TempDir;

use super::{
    capture::{Captured, Said},
    composite,
    docker::{Container, docker, image, socket, unique},
    double::{self, Double},
    manifest::{Action, Github, Runs, variable},
    runner_files, runner_log,
    words::{arguments_of, flattened},
};

/// How long the runner waits after SIGINT, and then after SIGTERM, before it kills.
const PATIENCE: [(Signal, Duration); 2] =
    [(Signal::INT, Duration::from_millis(7500)), (Signal::TERM, Duration::from_millis(2500))];

/// Who runs jobs on a hosted machine.
pub const RUNNER: u32 = 1001;

/// One job: its folders on the machine, what its steps hand to those after them, and GitHub.
pub struct Job {
    work: TempDir,
    pub environment: RefCell<BTreeMap<String, String>>,
    pub github: Rc<Double>,
    /// The workflow's run.
    run: u32,
}

/// A step that uses the action.
pub struct Step<'a> {
    pub job: &'a Job,
    pub action: Action,
    /// `with:`
    given: BTreeMap<String, String>,
    /// `env:`
    pub env: BTreeMap<String, String>,
}

/// The files through which one step tells the runner something.
pub struct Files<'a> {
    job: &'a Job,
    suffix: String,
}

pub struct Running<'a> {
    process: Captured,
    container: Container,
    files: Files<'a>,
}

/// What a step came to.
#[derive(Debug)]
pub struct Ended {
    /// The exit code of the Docker client; -1 where it was killed.
    pub code: i32,
    pub said: Said,
    pub outputs: Vec<(String, String)>,
    pub summary: Option<String>,
    /// What a cancelled step had to be told before it ended: nothing, SIGINT, SIGTERM, or it was killed.
    pub told: Vec<Signal>,
    /// Whether the container is still there.
    pub orphaned: bool,
}

impl Ended {
    #[track_caller]
    pub fn ends(self, code: i32) -> Ended {
        assert_eq!(self.code, code, "{}", self.said.text());
        self
    }

    /// The workflow commands that the runner carried out, of both streams.
    pub fn commands(&self) -> Vec<runner_log::Command> {
        [&self.said.out, &self.said.err].into_iter().flat_map(|s| runner_log::commands(s)).collect()
    }

    pub fn output(&self, name: &str) -> Option<&str> {
        self.outputs
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl Job {
    /// On a machine whose files belong to the runner's user.
    pub fn new() -> Job {
        Job::of(Rc::new(Double::start()), 4711)
    }

    /// A job of a later run of the same repository, on a machine of its own.
    pub fn later(&self) -> Job {
        Job::of(self.github.clone(), self.run + 1)
    }

    fn of(github: Rc<Double>, run: u32) -> Job {
        let work = tempfile::Builder::new().prefix("tidegate-job").tempdir().unwrap();
        let job = Job { work, environment: RefCell::default(), github, run };
        for folder in [
            job.workspace(),
            job.home(),
            job.temp().join("_github_home"),
            job.temp().join("_github_workflow"),
            job.temp().join("_runner_file_commands"),
        ] {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(job.temp().join("_github_workflow/event.json"), "{}").unwrap();
        job.give(job.work.path());
        job
    }

    pub fn workspace(&self) -> PathBuf {
        self.work.path().join("shop/shop")
    }

    pub fn temp(&self) -> PathBuf {
        self.work.path().join("_temp")
    }

    /// Of the user who runs jobs.
    pub fn home(&self) -> PathBuf {
        self.work.path().join("_home")
    }

    /// Where the runner puts the actions of a job.
    pub fn actions(&self) -> PathBuf {
        self.work.path().join("_actions")
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.workspace().join(name);
        fs::write(&path, text).unwrap();
        self.give(&path);
    }

    /// Gives files to the runner's user, as far as this test may.
    pub fn give(&self, path: &Path) {
        let user = if rustix::process::geteuid().is_root() { RUNNER } else { path.metadata().unwrap().uid() };
        let _ = chown(path, Some(user), Some(user));
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                self.give(&entry.unwrap().path());
            }
        }
    }

    /// What in the workspace does not belong to the owner of the workspace.
    pub fn litter(&self) -> Vec<PathBuf> {
        let owner = self.workspace().metadata().unwrap().uid();
        let (mut found, mut folders) = (Vec::new(), vec![self.workspace()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let about = entry.metadata().unwrap();
                // A socket is one of the production's.
                if about.uid() != owner && !about.file_type().is_socket() {
                    found.push(entry.path());
                }
                if about.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        found
    }

    /// The journal on the repository's branch: the message of each commit, oldest first.
    pub fn journal(&self) -> Vec<String> {
        let state = self.github.state();
        let tip = state.repository.reference("refs/heads/tidegate/shop/production").expect("a journal");
        let commits = state.repository.log(&tip, 10_000).unwrap();
        commits.into_iter().rev().map(|commit| commit.message).collect()
    }

    /// A step with `uses: …/tidegate/COMMAND@v1`.
    pub fn step(&self, command: &str) -> Step<'_> {
        self.uses(Action::of(command))
    }

    /// A step with a container action that runs something else.
    pub fn program(&self, entrypoint: &str, arguments: &[&str]) -> Step<'_> {
        self.uses(Action::own(entrypoint, arguments))
    }

    fn uses(&self, action: Action) -> Step<'_> {
        Step { job: self, action, given: BTreeMap::new(), env: BTreeMap::new() }
    }

    pub fn context(&self) -> Github {
        // The version of the binary that is on PATH: another one would be downloaded.
        let action_ref = concat!("v", env!("CARGO_PKG_VERSION")).into();
        Github { token: double::TOKEN.into(), action_ref }
    }

    /// Makes the files of one step.
    pub fn files(&self) -> Files<'_> {
        let files = Files { job: self, suffix: unique("step") };
        for prefix in ["set_output_", "set_env_", "add_path_", "save_state_", "step_summary_"] {
            fs::write(files.path(prefix), "").unwrap();
            self.give(&files.path(prefix));
        }
        files
    }

    /// The variables that every step has; folders as the machine has them.
    pub fn standard(&self, files: &Files) -> BTreeMap<String, String> {
        let path = |path: &Path| path.display().to_string();
        let (temp, workspace) = (self.temp(), path(&self.workspace()));
        let file = |prefix: &str| path(&files.path(prefix));
        let run = self.run.to_string();
        let fixed = [
            ("GITHUB_ACTION", "__shop_tidegate"),
            ("GITHUB_API_URL", self.github.url.as_str()),
            ("GITHUB_REPOSITORY", double::NAME),
            ("GITHUB_RUN_ID", run.as_str()),
            ("GITHUB_RUN_NUMBER", run.as_str()),
            ("GITHUB_ACTION_REF", "v1"),
            ("GITHUB_ACTION_REPOSITORY", "shop/tidegate"),
            ("GITHUB_ACTOR", "octocat"),
            ("GITHUB_ACTOR_ID", "583231"),
            ("GITHUB_BASE_REF", ""),
            ("GITHUB_EVENT_NAME", "workflow_dispatch"),
            ("GITHUB_GRAPHQL_URL", "https://api.github.com/graphql"),
            ("GITHUB_HEAD_REF", ""),
            ("GITHUB_JOB", "deploy"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_REF_NAME", "main"),
            ("GITHUB_REF_PROTECTED", "true"),
            ("GITHUB_REF_TYPE", "branch"),
            ("GITHUB_REPOSITORY_ID", "1"),
            ("GITHUB_REPOSITORY_OWNER", "shop"),
            ("GITHUB_REPOSITORY_OWNER_ID", "2"),
            ("GITHUB_RETENTION_DAYS", "90"),
            ("GITHUB_RUN_ATTEMPT", "1"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_SHA", "6dcb09b5b57875f334f61aebed695e2e4193db5e"),
            ("GITHUB_TRIGGERING_ACTOR", "octocat"),
            ("GITHUB_WORKFLOW", "deploy"),
            ("GITHUB_WORKFLOW_REF", "shop/shop/.github/workflows/deploy.yml@refs/heads/main"),
            ("GITHUB_WORKFLOW_SHA", "6dcb09b5b57875f334f61aebed695e2e4193db5e"),
            ("RUNNER_ARCH", "X64"),
            ("RUNNER_ENVIRONMENT", "github-hosted"),
            ("RUNNER_NAME", "GitHub Actions 1"),
            ("RUNNER_OS", "Linux"),
            ("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache"),
            ("ACTIONS_RUNTIME_URL", "https://pipelines.actions.githubusercontent.com/x/"),
            ("ACTIONS_RUNTIME_TOKEN", "a-runtime-token"),
            ("ACTIONS_RESULTS_URL", "https://results-receiver.actions.githubusercontent.com/"),
        ];
        let folders = [
            ("HOME", path(&temp.join("_github_home"))),
            ("GITHUB_WORKSPACE", workspace.clone()),
            ("RUNNER_WORKSPACE", path(self.workspace().parent().unwrap())),
            ("RUNNER_TEMP", path(&temp)),
            ("GITHUB_EVENT_PATH", path(&temp.join("_github_workflow/event.json"))),
            ("GITHUB_OUTPUT", file("set_output_")),
            ("GITHUB_ENV", file("set_env_")),
            ("GITHUB_PATH", file("add_path_")),
            ("GITHUB_STATE", file("save_state_")),
            ("GITHUB_STEP_SUMMARY", file("step_summary_")),
        ];
        let fixed = fixed.into_iter().map(|(name, value)| (name.to_string(), value.to_string()));
        fixed.chain(folders.map(|(name, value)| (name.to_string(), value))).collect()
    }

    /// Where the container has them, in the order in which the runner looks.
    fn mapped(&self) -> [(PathBuf, &'static str); 5] {
        let temp = self.temp();
        [
            (temp.join("_github_home"), "/github/home"),
            (temp.join("_github_workflow"), "/github/workflow"),
            (temp.join("_runner_file_commands"), "/github/file_commands"),
            (temp, "/github/runner_temp"),
            (self.workspace(), "/github/workspace"),
        ]
    }

    /// A value that is a path on the machine, or begins with one, becomes one in the container.
    fn translated(&self, value: &str) -> String {
        for (outside, inside) in self.mapped() {
            if let Some(rest) = value.strip_prefix(outside.to_str().unwrap())
                && (rest.is_empty() || rest.starts_with('/'))
            {
                return format!("{inside}{rest}");
            }
        }
        value.to_string()
    }
}

impl<'a> Step<'a> {
    /// One of `with:`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.given.insert(name.into(), value.into());
        self
    }

    /// One of `env:`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The action's inputs, as they are for this step.
    pub fn inputs(&self) -> BTreeMap<String, String> {
        self.action.inputs(&self.given, &self.job.context())
    }

    pub fn run(self) -> Ended {
        match &self.action.runs {
            Runs::Container { .. } => self.start().ended(),
            Runs::Composite(steps) => composite::run(&self, steps),
        }
    }

    /// Of an action that is a container.
    pub fn start(self) -> Running<'a> {
        let job = self.job;
        let Runs::Container { entrypoint, arguments } = &self.action.runs else {
            panic!("only a container can be cancelled here")
        };
        let files = job.files();
        let mut variables = job.standard(&files);
        variables.extend(job.environment.borrow().clone());
        variables.extend(self.env.clone());
        variables.extend(self.inputs().into_iter().map(|(name, value)| (variable(&name), value)));
        let container = Container(unique("tidegate-action"));
        let line = command_line(job, &container.0, &variables, entrypoint, arguments);
        let mut client = docker();
        client.args(arguments_of(&line));
        for (name, value) in &variables {
            client.env(name, job.translated(value));
        }
        Running { process: Captured::spawn(&mut client), container, files }
    }
}

/// The options of `docker`, in one text as the runner writes it.
fn command_line(
    job: &Job,
    name: &str,
    variables: &BTreeMap<String, String>,
    entrypoint: &str,
    arguments: &[String],
) -> String {
    let mut words = vec![format!("run --name {name} --label 1a2b3c --workdir /github/workspace --rm")];
    words.extend(variables.keys().map(|name| format!("-e \"{}\"", name.replace('"', "\\\""))));
    words.push("-e GITHUB_ACTIONS=true".into());
    if !variables.contains_key("CI") {
        words.push("-e CI=true".into());
    }
    words.push(format!("--entrypoint \"{entrypoint}\" --network host"));
    words.push(format!("-v \"{}\":\"/var/run/docker.sock\"", socket().display()));
    for (outside, inside) in job.mapped() {
        words.push(format!("-v \"{}\":\"{inside}\"", outside.display()));
    }
    words.push(image());
    words.push(flattened(arguments));
    words.join(" ")
}

impl Running<'_> {
    /// Waits until the step has printed this.
    pub fn until(&self, text: &str) {
        self.process.until(text);
    }

    pub fn ended(self) -> Ended {
        self.told(Vec::new())
    }

    /// What a click on "Cancel" does.
    pub fn cancel(self) -> Ended {
        let mut told = Vec::new();
        for (signal, patience) in PATIENCE {
            self.process.signal(signal);
            told.push(signal);
            if self.process.ends_within(patience) {
                return self.told(told);
            }
        }
        kill_process(self.process.pid(), Signal::KILL).unwrap();
        told.push(Signal::KILL);
        self.told(told)
    }

    fn told(self, told: Vec<Signal>) -> Ended {
        let (code, said) = self.process.ended();
        let (outputs, summary) = self.files.read();
        Ended { code, said, outputs, summary, told, orphaned: self.container.exists() }
    }
}

impl Files<'_> {
    fn path(&self, prefix: &str) -> PathBuf {
        self.job.temp().join("_runner_file_commands").join(format!("{prefix}{}", self.suffix))
    }

    /// Outputs and summary; what is for later steps is handed to the job.
    pub fn read(&self) -> (Vec<(String, String)>, Option<String>) {
        let read = |prefix: &str| fs::read(self.path(prefix)).unwrap();
        let later = runner_files::variables(&read("set_env_")).unwrap();
        self.job.environment.borrow_mut().extend(later);
        runner_files::pairs(&read("save_state_")).unwrap();
        assert!(read("add_path_").is_empty(), "nothing here has to be put on PATH");
        (
            runner_files::outputs(&read("set_output_")).unwrap(),
            runner_files::summary(&read("step_summary_")).unwrap(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_folders_are_translated() {
        let job = Job::new();
        let workspace = job.workspace().display().to_string();
        assert_eq!(job.translated(&format!("{workspace}/a b")), "/github/workspace/a b");
        assert_eq!(job.translated(&workspace), "/github/workspace");
        assert_eq!(job.translated(&format!("{workspace}er")), format!("{workspace}er"));
        assert_eq!(job.translated(&format!("x{workspace}")), format!("x{workspace}"));
    }
}
