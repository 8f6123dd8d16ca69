//! Kubernetes-mode runners: actions/runner-container-hooks, run-container-step.ts. The pod's container does
//! nothing (`tail -f /dev/null`); files are copied into it as a tar archive; `sh -e` runs a script there that
//! moves them to their places and becomes `env … ENTRYPOINT ARGS`.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio};

use super::{
    docker::{Container, docker},
    manifest::{Action, Github, Runs, variable},
    process::good,
    production::Production,
    world::{BLUE_HAS_ALL, GREEN_HAS_A_TENTH},
};

const CONFIG: &str =
    "stages: [10% for 1s, 100% for 1s]\nchecks:\n  healthy: {target: instances, fail: below 50%}\n";

struct Pod(Container);

impl Pod {
    fn start(options: &[&str]) -> Pod {
        let volumes =
            ["--entrypoint", "tail", "--workdir", "/__w", "-v", "/__w", "-v", "/__e", "-v", "/github"];
        Pod(Container::start(&[&volumes, options].concat(), &["-f", "/dev/null"]))
    }

    /// Copies a folder of the runner to `/__w`.
    fn copy(&self, from: &Path) {
        let mut archive = std::process::Command::new("tar");
        archive.args(["cf", "-", "-C"]).arg(from).arg(".").stdout(Stdio::piped());
        let mut archive = archive.spawn().unwrap();
        let mut unpack = docker();
        unpack.args(["exec", "-i", &self.0.0, "tar", "xf", "-", "-C", "/__w"]);
        good(unpack.stdin(archive.stdout.take().unwrap()));
        assert!(archive.wait().unwrap().success());
    }

    /// `uses: …/tidegate/COMMAND@v1`, `with:` and `env:`.
    fn step(&self, command: &str, given: &[(&str, &str)], env: &[(&str, &str)]) -> (i32, String) {
        let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let action = Action::of(command);
        let github = Github { token: String::new(), action_ref: "v1".into() };
        let inputs = action.inputs(&owned(given), &github);
        let mut variables = owned(env);
        variables.extend(inputs.into_iter().map(|(name, value)| (variable(&name), value)));
        let script = script(&action, &variables);
        let work = tempfile::tempdir().unwrap();
        for folder in
            ["_temp/_github_home", "_temp/_github_workflow", "_temp/_runner_file_commands", "shop/shop"]
        {
            fs::create_dir_all(work.path().join(folder)).unwrap();
        }
        fs::write(work.path().join("_temp/step.sh"), script).unwrap();
        self.copy(work.path());
        self.0.exec(&["--workdir", "/__w"], &["sh", "-e", "/__w/_temp/step.sh"])
    }
}

fn script(action: &Action, variables: &BTreeMap<String, String>) -> String {
    let Runs::Container { entrypoint, arguments } = &action.runs else { panic!("not a container") };
    let quoted = |value: &str| {
        ['\\', '"', '$', '`'].iter().fold(value.to_string(), |v, c| v.replace(*c, &format!("\\{c}")))
    };
    let variables: String =
        variables.iter().map(|(name, value)| format!("\"{name}={}\" ", quoted(value))).collect();
    let arguments: String = arguments.iter().map(|argument| format!(" \"{}\"", quoted(argument))).collect();
    format!(
        "#!/bin/sh -l\nrm \"$0\" # remove script after running\nmv /__w/_temp/_github_home /github/home && \
         mv /__w/_temp/_github_workflow /github/workflow && \
         mv /__w/_temp/_runner_file_commands /github/file_commands || true && \
         mv /__w/shop/shop/ /github/workspace && cd /github/workspace && \
         exec env {variables} {entrypoint}{arguments}\n"
    )
}

#[test]
fn a_step_runs_in_a_pod_and_the_next_one_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let production = Production::start(folder.path(), None);
    // No workspace is shared: config and journal are on a volume of the pods.
    fs::write(folder.path().join("tidegate.yml"), production.config(CONFIG)).unwrap();
    let mount = format!("{}:/production", folder.path().display());
    let variables = [
        ("GITHUB_ACTIONS", "true"),
        ("CI", "true"),
        ("HOME", "/github/home"),
        ("GITHUB_RUN_ID", "1"),
        ("WITH_SIGNS", "a \"b\" $c `d` \\e 'f'"),
    ];
    let config = ("config", "/production/tidegate.yml");
    let with = [config, ("rollout-percentage", "10"), ("release", "v2")];
    let (code, text) = Pod::start(&["-v", &mount]).step("rollout", &with, &variables);
    assert_eq!(code, 0, "{text}");
    assert_eq!(production.world.weights(), GREEN_HAS_A_TENTH);
    let (code, text) = Pod::start(&["-v", &mount]).step("rollback", &[config], &variables);
    assert_eq!(code, 0, "{text}");
    assert_eq!(production.world.weights(), BLUE_HAS_ALL);
}

#[test]
fn a_failed_step_has_its_exit_code() {
    let (code, text) = Pod::start(&[]).step("preflight", &[], &[("CI", "true")]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("tidegate.yml"), "{text}");
}
