//! A step that is a shell command.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

use crate::{
    adapter::process::{Job, Stopped, ending, killed, with_tail},
    domain::value::Kind,
    port::{
        Command, Context, Fault, Output, Progress, Task,
        adapter::{Adapter, CommandAdapter, Setting},
    },
};

/// Text for `sh -eu`, started in the folder of the file, with its context in `TIDEGATE_*` variables.
///
/// Exit code 0 is success; the last line printed is the answer where one is asked for. At its limit the
/// command is killed with everything it started, and what it had done by then is unknown. When it ends,
/// what it left running is killed too: a deploy script that starts a service must start it outside its
/// own process group (`setsid`, systemd, a container engine); `nohup … &` alone does not outlive it.
pub struct Run {
    command: String,
    folder: PathBuf,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The text. Values come as variables, quoted by the shell: `"$TIDEGATE_RELEASE"`.
    command: String,
}

impl Adapter for Run {
    const NAME: &'static str = "run";
    const SUMMARY: &'static str = "A shell command; exit code 0 is success";
    const SHORT: Option<&'static str> = Some("command");
    type Config = Config;
}

impl CommandAdapter for Run {
    const SECTIONS: &'static [&'static str] = &["migrations", "smoke", "hooks", "deploy"];

    fn connect(config: Config, setting: &Setting) -> Result<Box<dyn Command>, String> {
        check(&config.command)?;
        Ok(Box::new(Run { command: config.command, folder: setting.base.clone() }))
    }
}

#[async_trait]
impl Command for Run {
    async fn run(&self, cx: &Context, task: &Task, progress: &dyn Progress) -> Result<Output, Fault> {
        let job = Job::shell(&self.command, &self.folder).variables(&task.variables);
        let ended = job.run(cx, &mut |_, line| progress.output(&task.name, line)).await;
        let fault = |make: fn(&'static str, String, String, String) -> Fault, detail: String| {
            make("run", "finish the command".into(), task.name.clone(), detail)
        };
        match ended {
            Ok(ended) if ended.status.success() => Ok(Output {
                answer: ended.answer,
                summary: format!("exit 0 in {}", Kind::Time.show(ended.took.as_secs_f64())),
            }),
            Ok(ended) => Err(fault(Fault::permanent, with_tail(&ending(ended.status), &ended.tail))),
            Err(Stopped::NotStarted(why)) => {
                Err(fault(Fault::permanent, format!("it could not be started: {why}")))
            }
            Err(Stopped::TimedOut { limit, tail }) => {
                Err(fault(Fault::outcome_unknown, with_tail(&killed(limit), &tail))
                    .hint("look at what the command changes before it runs again, or raise `limit`"))
            }
            Err(Stopped::Lost(why)) => Err(fault(Fault::outcome_unknown, why)),
        }
    }
}

/// Refuses an empty command, and `{{release}}` and its like, which would go unquoted into the shell. Go
/// templates (`docker ps --format '{{.Names}}'`) are the command's own business.
pub fn check(command: &str) -> Result<(), String> {
    if command.trim().is_empty() {
        return Err("the command is empty".into());
    }
    for rest in command.split("{{").skip(1) {
        let Some((word, _)) = rest.split_once("}}") else { continue };
        let word = word.trim();
        let ours = word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        if ours {
            let name = word.trim_start_matches("env.").to_uppercase();
            let variable = if word.starts_with("env.") { name } else { format!("TIDEGATE_{name}") };
            return Err(format!(
                "{{{{{word}}}}} is not filled in inside a command; use the variable, quoted: \"${variable}\""
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_of_ours_are_refused_and_those_of_others_are_not() {
        let refused = check("deploy --tag {{ release }}").unwrap_err();
        assert!(refused.contains("\"$TIDEGATE_RELEASE\""), "{refused}");
        assert!(check("echo {{env.PATH}}").unwrap_err().contains("\"$PATH\""));
        assert!(check("docker ps --format '{{.Names}} {{json .}}'").is_ok());
        assert!(check(" \n").is_err());
    }
}
