//! How GitLab, Jenkins and CircleCI start an image and run a step's script in it.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    docker::{Container, docker, image, run, unique},
    process::{good, told},
};

/// GitLab Runner, docker executor: the image's command is a search for a shell, which reads the job's script from
/// standard input. `entrypoint: [""]` empties the entrypoint.
pub fn gitlab(folder: &Path, script: &[String], variables: &[(&str, &str)]) -> (i32, String) {
    const DETECT: &str = "if [ -x /usr/local/bin/bash ]; then exec /usr/local/bin/bash; \
        elif [ -x /usr/bin/bash ]; then exec /usr/bin/bash; elif [ -x /bin/bash ]; then exec /bin/bash; \
        elif [ -x /usr/bin/sh ]; then exec /usr/bin/sh; else exec /bin/sh; fi";
    let container = Container(unique("tidegate-gitlab"));
    let mut command = docker();
    command.args([
        "run",
        "--rm",
        "-i",
        "--name",
        &container.0,
        "--network",
        "host",
        "--entrypoint",
        "",
        "-v",
    ]);
    command.arg(format!("{}:/builds/shop/shop", folder.display()));
    command.args(variables.iter().flat_map(|(name, value)| ["-e".to_string(), format!("{name}={value}")]));
    command.args([&image(), "sh", "-c", DETECT]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let text = format!("set -eo pipefail\nset +o noclobber\ncd /builds/shop/shop\n{}\n", script.join("\n"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), told(&output))
}

/// Jenkins, docker-workflow plugin: `docker run -t -d -u USER … IMAGE cat`, then each step by `docker exec`.
/// `args` are the options of the `docker` agent.
pub struct Jenkins<'a> {
    container: Container,
    folder: &'a Path,
}

impl<'a> Jenkins<'a> {
    pub fn start(folder: &'a Path, args: &str, user: u32, variables: &[(&str, &str)]) -> Jenkins<'a> {
        let mut options = vec!["-t".to_string(), "-u".into(), format!("{user}:{user}")];
        // A shell splits the options.
        let mut split = Command::new("sh");
        split.args(["-c", &format!("printf '%s\\n' {args}")]).stdout(Stdio::piped()).stderr(Stdio::piped());
        options.extend(good(&mut split).lines().map(str::to_string));
        let place = folder.display();
        options.extend(["-w".into(), place.to_string(), "-v".into(), format!("{place}:{place}:rw,z")]);
        options.extend(variables.iter().flat_map(|(name, value)| ["-e".into(), format!("{name}={value}")]));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let container = Container::start(&options, &["cat"]);
        // The plugin ends the build if `cat` is not what runs.
        let top = good(docker().args(["top", &container.0, "-eo", "pid,comm"]));
        assert!(top.contains("cat"), "{top}");
        Jenkins { container, folder }
    }

    /// `sh '…'`
    pub fn sh(&self, script: &str) -> (i32, String) {
        let text = format!("#!/bin/sh -xe\n{script}\n");
        let file = self.folder.join(".step.sh");
        std::fs::write(&file, text).unwrap();
        self.container.exec(&["--workdir", &self.folder.display().to_string()], &["sh", "-xe", ".step.sh"])
    }
}

/// CircleCI, docker executor: the entrypoint is dropped, a shell keeps the container up, and each step's command is a
/// script of its own shell.
pub struct CircleCi(Container);

impl CircleCi {
    pub fn start(folder: &Path, variables: &[(&str, &str)]) -> CircleCi {
        let mount = format!("{}:/root/project", folder.display());
        let mut options = vec!["-t", "--entrypoint", "/bin/sh", "-v", &mount];
        let variables: Vec<String> =
            variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        options.extend(variables.iter().flat_map(|variable| ["-e", variable.as_str()]));
        CircleCi(Container::start(&options, &[]))
    }

    pub fn run(&self, command: &str) -> (i32, String) {
        self.0.exec(&["--workdir", "/root/project"], &["/bin/bash", "-eo", "pipefail", "-c", command])
    }
}

#[test]
fn without_its_own_entrypoint_removed_gitlab_would_start_tidegate_with_a_shells_arguments() {
    let (code, text) = run(&[], &["sh", "-c", "true"]);
    assert_eq!(code, 2, "{text}");
}
