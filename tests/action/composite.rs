//! A composite action: its steps run on the machine itself, as the user who runs jobs: actions/runner,
//! CompositeActionHandler.cs, ScriptHandler.cs. tidegate is on PATH, as `…/tidegate/setup` leaves it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    capture::{Captured, Said},
    manifest::{Shell, filled, repository},
    runner::{Ended, Job, RUNNER, Step},
    world::TIDEGATE,
};

pub fn run(step: &Step, shells: &[Shell]) -> Ended {
    let job = step.job;
    let folder = fetched(job, step.action.folder.strip_prefix(repository()).unwrap());
    let inputs = step.inputs();
    let one = |words: &str| match words.strip_prefix("inputs.") {
        Some(input) => inputs[input].clone(),
        None => job.context().value(words),
    };
    // `a || b` is the first that is not empty
    let value = |words: &str| words.split(" || ").map(one).find(|text| !text.is_empty()).unwrap_or_default();
    let mut all = Ended {
        code: 0,
        said: Said::default(),
        outputs: Vec::new(),
        summary: None,
        told: Vec::new(),
        orphaned: false,
    };
    let mut told = BTreeMap::new();
    for shell in shells {
        let files = job.files();
        let mut variables = job.standard(&files);
        variables.extend(job.environment.borrow().clone());
        variables.extend(step.env.clone());
        variables.extend(shell.env.iter().map(|(name, text)| (name.clone(), filled(text, &value))));
        let script = job.temp().join("step.sh");
        fs::write(&script, filled(&shell.run, &value)).unwrap();
        job.give(&script);
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-e", "-o", "pipefail"]).arg(&script);
        bash.current_dir(job.workspace()).stdin(Stdio::null()).env_clear().envs(variables);
        bash.env("HOME", job.home()).env("GITHUB_ACTION_PATH", &folder);
        bash.env("GITHUB_ACTIONS", "true").env("CI", "true");
        let path = std::env::var("PATH").unwrap();
        bash.env("PATH", format!("{}:{path}", job.actions().join("bin").display()));
        if rustix::process::geteuid().is_root() {
            bash.uid(RUNNER).gid(RUNNER);
        }
        let (code, said) = Captured::spawn(&mut bash).ended();
        let (outputs, summary) = files.read();
        all.said.out.extend(said.out);
        all.said.err.extend(said.err);
        all.summary = all.summary.into_iter().chain(summary).reduce(|all, more| all + &more);
        let id = shell.id.clone().unwrap_or_default();
        told.extend(outputs.into_iter().map(|(name, value)| (format!("steps.{id}.outputs.{name}"), value)));
        all.code = code;
        if code != 0 {
            break;
        }
    }
    let value = |words: &str| told.get(words).cloned().unwrap_or_default();
    let outputs = step.action.outputs.iter();
    all.outputs = outputs.map(|(name, text)| (name.clone(), filled(text, &value))).collect();
    all
}

/// The action on the runner's disk, with what it calls: the user who runs jobs may read it there.
fn fetched(job: &Job, action: &Path) -> PathBuf {
    let (place, bin) = (job.actions().join("v1"), job.actions().join("bin"));
    for folder in [Path::new("setup"), action] {
        fs::create_dir_all(place.join(folder)).unwrap();
        for file in fs::read_dir(repository().join(folder)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), place.join(folder).join(file.file_name())).unwrap();
        }
    }
    fs::create_dir_all(&bin).unwrap();
    let tidegate = bin.join("tidegate");
    if !tidegate.exists() && fs::hard_link(TIDEGATE, &tidegate).is_err() {
        fs::copy(TIDEGATE, &tidegate).unwrap();
    }
    place.join(action)
}
