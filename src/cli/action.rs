//! `action`: from the inputs of a GitHub action to a command of ours, and the action files themselves.
//!
//! The runner hands inputs over as `INPUT_*` variables, hyphens included. Each becomes the variable of the
//! flag it stands for, so that an input beats the environment and the environment the file; an empty one is
//! absent. Then the process starts itself again, in place, as the command. Nothing from outside is ever an
//! argument. The action files are written from the same table, so that they cannot disagree with it.

use clap::{Arg, Command};
use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use crate::{
    error::Failure,
    port::secret::{TOKEN_GIVEN, TOKEN_OF_JOB},
};

/// The commands that are actions of their own.
const ACTIONS: [&str; 11] = [
    "preflight",
    "snapshot-db",
    "migrate",
    "deploy",
    "smoke-test",
    "shift-traffic",
    "verify-metrics",
    "rollback",
    "rollout",
    "finish",
    "status",
];

/// Those that write nothing into the journal.
const LOOK_ONLY: [&str; 2] = ["preflight", "status"];

/// What the root action runs where nothing is said.
const USUAL: &str = "rollout";

/// Flags whose input has another name: command (all if empty), flag, input.
const RENAMED: [(&str, &str, &str); 4] = [
    ("", "time-limit", "timeout"),
    ("", "hotfix", "hotfix-reason"),
    ("rollback", "if-needed", "if"),
    ("rollout", "to", "rollout-percentage"),
];

/// Commands whose steps need the job's own tools (npm, alembic, psql): they run on the runner itself.
const ON_RUNNER: [&str; 2] = ["migrate", "smoke-test"];

/// Flags that are of no use in an action.
const LEFT_OUT: [&str; 5] = ["output", "outputs", "report", "help", "version"];

/// Inputs that are secrets.
const TOKENS: [&str; 2] = ["github-token", "job-token"];

/// The variables that these inputs come in, as the runner and as a composite action write them.
pub(super) fn token_variables() -> impl Iterator<Item = String> {
    let names = TOKENS.iter().map(|input| format!("INPUT_{}", input.to_uppercase()));
    names.flat_map(|name| [name.replace('-', "_"), name])
}

/// One input of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Input {
    name: String,
    help: String,
    /// What the runner fills in where the workflow says nothing.
    default: Option<&'static str>,
    meaning: Meaning,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    /// The text is the value of this variable.
    Text(String),
    /// `true` sets this variable.
    Switch(String),
    /// `needed` sets this variable, `always` does not.
    IfNeeded(String),
    /// The folder to go to first.
    Folder,
    /// Which command, said to the root action.
    Command,
}

/// What the inputs ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    command: String,
    folder: Option<PathBuf>,
    variables: BTreeMap<String, String>,
    /// Variables of flags that an input switches off.
    unset: Vec<String>,
}

/// Becomes the command that the inputs ask for. Returns only if that failed.
pub(super) fn run(named: Option<&str>, commands: &Command) -> Failure {
    let given = std::env::vars().filter(|(_, text)| !text.trim().is_empty());
    let given: Vec<String> =
        given.filter_map(|(name, _)| name.strip_prefix("INPUT_").map(str::to_string)).collect();
    let asked = asked(named, commands, &|name| std::env::var(name).ok());
    let asked = match asked.and_then(|asked| strangers(&asked.command, commands, &given).map(|()| asked)) {
        Ok(asked) => asked,
        Err(failure) => return failure,
    };
    if let Some(folder) = &asked.folder
        && let Err(error) = std::env::set_current_dir(folder)
    {
        return Failure::usage(format!("input `working-directory`: {}: {error}", folder.display()));
    }
    let error = crate::platform::start_again(|again| {
        again.arg(&asked.command).envs(&asked.variables);
        // what is started from there would inherit them
        token_variables().chain(asked.unset).for_each(|name| _ = again.env_remove(name));
    });
    Failure::Bug(format!("it could not start itself again: {error}"))
}

/// Refuses an input that the command does not have: the runner only warns of it, and what it asked for would
/// not be done. `given` are the names of variables behind `INPUT_`.
fn strangers(command: &str, commands: &Command, given: &[String]) -> Result<(), Failure> {
    let known = inputs(commands, command);
    let names: Vec<&str> = known.iter().map(|input| input.name.as_str()).chain(["command"]).collect();
    for name in given {
        let plain = name.to_lowercase().replace('_', "-");
        if !names.contains(&plain.as_str()) {
            let hint = crate::document::nearest::suggestion(&plain, &names).unwrap_or_default();
            return Err(Failure::usage(format!("input `{plain}`: `{command}` has no such input; {hint}")));
        }
    }
    Ok(())
}

/// Reads the inputs of the named action, or of the root action, which says the command in an input.
fn asked(
    named: Option<&str>,
    commands: &Command,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Asked, Failure> {
    let read = |input: &str| {
        let name = format!("INPUT_{}", input.to_uppercase().replace(' ', "_"));
        // A shell, as in a composite action, hands on no name with a hyphen.
        let text = variable(&name).or_else(|| variable(&name.replace('-', "_")));
        text.map(|text| text.trim().to_string()).filter(|text| !text.is_empty())
    };
    let command = named.map(str::to_string).or_else(|| read("command")).unwrap_or_else(|| USUAL.into());
    if !ACTIONS.contains(&command.as_str()) {
        return Err(Failure::usage(format!(
            "input `command`: there is no `{command}`; known: {}",
            ACTIONS.join(", ")
        )));
    }
    let mut asked = Asked { command: command.clone(), ..Asked::default() };
    for input in inputs(commands, &command) {
        let Some(text) = read(&input.name) else { continue };
        let wrong = |known: &str| {
            Err(Failure::usage(format!("input `{}`: `{text}` is not one of {known}", input.name)))
        };
        let switch = match &input.meaning {
            Meaning::Command => continue,
            Meaning::Folder => {
                asked.folder = Some(PathBuf::from(text));
                continue;
            }
            Meaning::Text(variable) => {
                asked.variables.insert(variable.clone(), text);
                continue;
            }
            Meaning::Switch(variable) => match text.as_str() {
                "true" | "True" | "TRUE" => (variable, true),
                "false" | "False" | "FALSE" => (variable, false),
                _ => return wrong("true, false"),
            },
            Meaning::IfNeeded(variable) => match text.as_str() {
                "needed" => (variable, true),
                "always" => (variable, false),
                _ => return wrong("needed, always"),
            },
        };
        match switch {
            (variable, true) => {
                asked.variables.insert(variable.clone(), "true".into());
            }
            (variable, false) => asked.unset.push(variable.clone()),
        }
    }
    Ok(asked)
}

/// The inputs of one command: its flags, under the names that workflows use, and what is the action's own.
fn inputs(commands: &Command, command: &str) -> Vec<Input> {
    let own = commands.find_subcommand(command);
    let flags = commands.get_arguments().filter(|arg| arg.is_global_set());
    let flags =
        flags.chain(own.into_iter().flat_map(Command::get_arguments).filter(|arg| !arg.is_global_set()));
    let mut inputs: Vec<Input> = flags.filter_map(|arg| of_flag(command, arg)).collect();
    let extra = |name: &str, help: &str, meaning| Input {
        name: name.into(),
        help: help.into(),
        default: None,
        meaning,
    };
    inputs.push(extra("working-directory", "The folder to run in", Meaning::Folder));
    inputs.push(extra(
        "aws-role",
        "The role to take by the job's OIDC token (`id-token: write`), and anew before it expires: arn:aws:iam::ACCOUNT:role/NAME",
        Meaning::Text("TIDEGATE_AWS_ROLE".into()),
    ));
    inputs.push(extra("aws-region", "The AWS region", Meaning::Text("AWS_REGION".into())));
    inputs.push(Input {
        default: Some("${{ github.token }}"),
        ..extra(
            TOKENS[1],
            "The job's own token, for a step that has no other; leave it as it is",
            Meaning::Text(TOKEN_OF_JOB.into()),
        )
    });
    inputs.push(extra(
        TOKENS[0],
        "The token for the repository's API (default: GITHUB_TOKEN of the environment, else the job's own)",
        Meaning::Text(TOKEN_GIVEN.into()),
    ));
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    inputs
}

fn of_flag(command: &str, arg: &Arg) -> Option<Input> {
    let flag = arg.get_long().filter(|flag| !LEFT_OUT.contains(flag))?;
    let variable = arg.get_env()?.to_str()?.to_string();
    let renamed = RENAMED.iter().find(|(of, from, _)| (of.is_empty() || *of == command) && *from == flag);
    let name = renamed.map_or(flag, |(_, _, to)| to).to_string();
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let meaning = match (arg.get_action().takes_values(), name.as_str()) {
        (true, _) => Meaning::Text(variable),
        (false, "if") => {
            help = format!("`needed` or `always`. {help}");
            Meaning::IfNeeded(variable)
        }
        (false, _) => Meaning::Switch(variable),
    };
    help.push_str(&super::reference::values(arg));
    Some(Input { name, help, default: None, meaning })
}

/// The folders of all action files; the root's is `.`.
pub(super) fn folders() -> impl Iterator<Item = &'static str> {
    std::iter::once(".").chain(ACTIONS)
}

/// A message about flags in the words of the workflow, whose author knows inputs.
pub(super) fn as_inputs(message: &str, command: &str, commands: &Command) -> String {
    let own = commands.find_subcommand(command).into_iter().flat_map(Command::get_arguments);
    let flags = commands.get_arguments().chain(own);
    let mut told = message.to_string();
    for arg in flags {
        let Some((flag, input)) = arg.get_long().zip(of_flag(command, arg)) else { continue };
        let value = arg.get_value_names().and_then(|names| names.first());
        let value = value.map_or(String::new(), |value| format!(" <{value}>"));
        told = told.replace(&format!("'--{flag}{value}'"), &format!("input `{}`", input.name));
        told = told.replace(&format!("--{flag}{value}"), &format!("input `{}`", input.name));
    }
    told
}

/// Writes the `action.yml` of one folder.
pub(super) fn file(folder: &str, commands: &Command) -> Option<String> {
    let action = ACTIONS.into_iter().find(|action| *action == folder);
    if action.is_none() && folder != "." {
        return None;
    }
    let about = action.map_or(Some(commands), |action| commands.find_subcommand(action));
    let description = about.and_then(Command::get_about).map(ToString::to_string).unwrap_or_default();
    let name = action.map_or("tidegate".into(), |action| format!("tidegate {action}"));
    let journal = match LOOK_ONLY.contains(&folder) {
        true => "contents: read, to read the journal where it is in the repository",
        false => "contents: write, where the journal is in the repository",
    };
    let mut text = format!(
        "# Generated by scripts/generate.\n# Permissions of the job, as far as it uses them:\n#   {journal}\n#   deployments: write, with `deployment`\n#   issues: write, where `notify` opens issues\n#   actions: read, to name who approved the run\n#   id-token: write, with `aws-role`\n"
    );
    let _ = writeln!(text, "name: {}", quoted(&name));
    let _ = writeln!(text, "description: {}", quoted(&description));
    text.push_str("author: tidegate\nbranding: {icon: anchor, color: blue}\ninputs:\n");
    let all = match action {
        Some(action) => inputs(commands, action),
        None => of_root(commands),
    };
    for input in all {
        let _ = writeln!(text, "  {}:\n    description: {}", input.name, quoted(&input.help));
        if let Some(default) = input.default {
            let _ = writeln!(text, "    default: {default}");
        }
    }
    text.push_str("outputs:\n");
    let on_runner = action.filter(|action| ON_RUNNER.contains(action));
    for output in &crate::report::outputs::OUTPUTS {
        let _ = writeln!(text, "  {}:\n    description: {}", output.name, quoted(output.help));
        if on_runner.is_some() {
            let _ = writeln!(text, "    value: ${{{{ steps.run.outputs.{} }}}}", output.name);
        }
    }
    if let Some(action) = on_runner {
        text.push_str(&composite(action, &inputs(commands, action)));
        return Some(text);
    }
    text.push_str("runs:\n  using: docker\n");
    let (image, arguments) = match action {
        Some(action) => ("../Dockerfile", format!("[action, {action}]")),
        None => ("Dockerfile", "[action]".into()),
    };
    let _ = writeln!(text, "  image: {image}\n  entrypoint: /usr/local/bin/tidegate\n  args: {arguments}");
    Some(text)
}

/// The steps of an action that runs on the runner itself: the binary of its own version, then the command.
fn composite(command: &str, inputs: &[Input]) -> String {
    let mut text = String::from("runs:\n  using: composite\n  steps:\n    - shell: bash\n      env:\n");
    text.push_str(
        "        GH_TOKEN: ${{ inputs.github-token || inputs.job-token }}\n        VERSION: ${{ github.action_ref }}\n",
    );
    text.push_str("      run: '\"$GITHUB_ACTION_PATH/../setup/install\"'\n    - id: run\n      shell: bash\n      env:\n");
    for input in inputs {
        let variable = input.name.to_uppercase().replace('-', "_");
        let _ = writeln!(text, "        INPUT_{variable}: ${{{{ inputs.{} }}}}", input.name);
    }
    let _ = writeln!(text, "      run: tidegate action {command}");
    text
}

/// The root action takes the inputs of every command.
fn of_root(commands: &Command) -> Vec<Input> {
    let mut all: BTreeMap<String, (Input, Vec<&str>)> = BTreeMap::new();
    for action in ACTIONS {
        for input in inputs(commands, action) {
            match all.get_mut(&input.name) {
                None => {
                    all.insert(input.name.clone(), (input, vec![action]));
                }
                Some((known, of)) => {
                    if known.help != input.help && !known.help.contains(&input.help) {
                        known.help = format!("{}; {}: {}", known.help, action, input.help);
                    }
                    of.push(action);
                }
            }
        }
    }
    let command = Input {
        name: "command".into(),
        help: format!("One of {} (default: {USUAL})", ACTIONS.join(", ")),
        default: None,
        meaning: Meaning::Command,
    };
    let told = all.into_values().map(|(input, of)| match of.len() == ACTIONS.len() {
        true => input,
        false => Input { help: format!("{}: {}", of.join(", "), input.help), ..input },
    });
    std::iter::once(command).chain(told).collect()
}

/// A text as YAML takes it, whatever is in it.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn asked_with(named: Option<&str>, inputs: &[(&str, &str)]) -> Result<Asked, String> {
        let commands = super::super::Cli::command();
        let variable =
            |name: &str| inputs.iter().find(|(input, _)| *input == name).map(|(_, text)| (*text).to_string());
        asked(named, &commands, &variable).map_err(|failure| failure.to_string())
    }

    fn variables(asked: &Asked) -> Vec<String> {
        asked.variables.iter().map(|(name, text)| format!("{name}={text}")).collect()
    }

    #[test]
    fn inputs_become_the_variables_of_the_flags_they_stand_for() {
        let inputs = [
            ("INPUT_COMMAND", ""),
            ("INPUT_ROLLOUT-PERCENTAGE", " 10 "),
            ("INPUT_TIMEOUT", "5h"),
            ("INPUT_DRY-RUN", "false"),
            ("INPUT_SKIP-CANARY", "true"),
            ("INPUT_HOTFIX-REASON", "a \"leak\"; $(rm -rf /)"),
            ("INPUT_ENVIRONMENT", ""),
            ("INPUT_AWS-REGION", "eu-west-1"),
            ("INPUT_WORKING-DIRECTORY", "deploy"),
            ("INPUT_TO", "50"),
        ];
        let asked = asked_with(None, &inputs).unwrap();
        assert_eq!(asked.command, "rollout");
        assert_eq!(asked.folder, Some("deploy".into()));
        assert_eq!(asked.unset, ["TIDEGATE_DRY_RUN"]);
        assert_eq!(
            variables(&asked),
            [
                "AWS_REGION=eu-west-1",
                "TIDEGATE_HOTFIX=a \"leak\"; $(rm -rf /)",
                "TIDEGATE_SKIP_CANARY=true",
                "TIDEGATE_TIME_LIMIT=5h",
                "TIDEGATE_TO=10",
            ]
        );
    }

    #[test]
    fn the_same_input_means_what_its_command_means_by_it() {
        let to = [("INPUT_TO", "v1")];
        assert_eq!(variables(&asked_with(Some("rollback"), &to).unwrap()), ["TIDEGATE_TO_VERSION=v1"]);
        assert_eq!(variables(&asked_with(Some("shift-traffic"), &to).unwrap()), ["TIDEGATE_TO=v1"]);
        let needed = |text| asked_with(Some("rollback"), &[("INPUT_IF", text)]);
        assert_eq!(variables(&needed("needed").unwrap()), ["TIDEGATE_IF_NEEDED=true"]);
        assert_eq!(needed("always").unwrap().unset, ["TIDEGATE_IF_NEEDED"]);
    }

    #[test]
    fn a_wrong_input_is_named() {
        let wrong = |named, inputs: &[(&str, &str)]| asked_with(named, inputs).unwrap_err();
        assert!(wrong(None, &[("INPUT_COMMAND", "demo")]).starts_with("input `command`: there is no `demo`"));
        assert!(wrong(None, &[("INPUT_DRY-RUN", "yes")]).contains("input `dry-run`: `yes` is not one of"));
        assert!(wrong(Some("rollback"), &[("INPUT_IF", "never")]).contains("input `if`"));
    }

    #[test]
    fn every_action_file_is_yaml_with_the_command_as_its_only_argument() {
        let commands = super::super::Cli::command();
        for folder in folders() {
            let text = file(folder, &commands).unwrap();
            let read = crate::document::node::parse(&text).unwrap();
            let words = match folder {
                "." => "args: [action]\n".to_string(),
                folder if ON_RUNNER.contains(&folder) => format!("run: tidegate action {folder}\n"),
                folder => format!("args: [action, {folder}]\n"),
            };
            assert!(text.ends_with(&words), "{text}");
            assert!(read.get("inputs").is_some(), "{folder}");
        }
    }
}
