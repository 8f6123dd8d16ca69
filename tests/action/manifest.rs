//! An action as its file in this repository says it, read as the runner reads it: actions/runner,
//! ActionManifestManager.cs. Only what our files use is known; anything else fails the test.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tidegate::document::node;

pub struct Action {
    /// Where its `action.yml` is.
    pub folder: PathBuf,
    /// Names, with what the runner fills in where a workflow says nothing.
    inputs: Vec<(String, String)>,
    /// Of a composite action: names, with the expression that gives the value.
    pub outputs: Vec<(String, String)>,
    pub runs: Runs,
}

pub enum Runs {
    Container { entrypoint: String, arguments: Vec<String> },
    Composite(Vec<Shell>),
}

/// A step of a composite action: `shell: bash`.
pub struct Shell {
    pub id: Option<String>,
    pub run: String,
    /// Names, with expressions.
    pub env: Vec<(String, String)>,
}

/// The repository, which is what `uses:` names.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Action {
    /// The action of a command, as `uses: …/tidegate/COMMAND@v1` has it; `.` is the root's.
    pub fn of(command: &str) -> Action {
        let folder = repository().join(command);
        let file = folder.join("action.yml");
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let action = node::parse(&text).unwrap().to_json();
        let inputs = pairs(&action["inputs"], |input| string(&input["default"]));
        let outputs = pairs(&action["outputs"], |output| string(&output["value"]));
        let runs = &action["runs"];
        let runs = match runs["using"].as_str().unwrap() {
            "docker" => {
                // The image under test is built from this file.
                let image = folder.join(runs["image"].as_str().unwrap()).canonicalize().unwrap();
                assert_eq!(image, repository().canonicalize().unwrap().join("Dockerfile"));
                let arguments = runs["args"].as_array().unwrap().iter().map(string).collect();
                Runs::Container { entrypoint: string(&runs["entrypoint"]), arguments }
            }
            "composite" => Runs::Composite(runs["steps"].as_array().unwrap().iter().map(shell).collect()),
            other => panic!("{}: using {other}", file.display()),
        };
        Action { folder, inputs, outputs, runs }
    }

    /// One that is not of this repository.
    pub fn own(entrypoint: &str, arguments: &[&str]) -> Action {
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        let runs = Runs::Container { entrypoint: entrypoint.into(), arguments };
        Action { folder: PathBuf::new(), inputs: Vec::new(), outputs: Vec::new(), runs }
    }

    /// What each input comes to. The runner only warns of an input that the action does not have; here that is a
    /// mistake of the test.
    pub fn inputs(&self, given: &BTreeMap<String, String>, github: &Github) -> BTreeMap<String, String> {
        for name in given.keys() {
            assert!(self.inputs.iter().any(|(known, _)| known == name), "unexpected input: {name}");
        }
        let value = |name: &str, usual: &str| {
            given.get(name).cloned().unwrap_or_else(|| filled(usual, &|words| github.value(words)))
        };
        self.inputs.iter().map(|(name, usual)| (name.clone(), value(name, usual))).collect()
    }
}

/// As much of the `github` context as the files ask for.
pub struct Github {
    pub token: String,
    pub action_ref: String,
}

impl Github {
    pub fn value(&self, words: &str) -> String {
        match words {
            "github.token" => self.token.clone(),
            "github.action_ref" => self.action_ref.clone(),
            _ => panic!("the runner of this test does not know ${{{{ {words} }}}}"),
        }
    }
}

/// A text with the value of each `${{ … }}` in its place.
pub fn filled(text: &str, value: &dyn Fn(&str) -> String) -> String {
    let Some((before, rest)) = text.split_once("${{") else { return text.into() };
    let (words, after) = rest.split_once("}}").expect("an expression that ends");
    format!("{before}{}{}", value(words.trim()), filled(after, value))
}

/// A name is upper-cased, blanks become `_`, hyphens stay.
pub fn variable(input: &str) -> String {
    format!("INPUT_{}", input.replace(' ', "_").to_uppercase())
}

fn shell(step: &Value) -> Shell {
    assert_eq!(step["shell"], "bash");
    Shell {
        id: step["id"].as_str().map(str::to_string),
        run: string(&step["run"]),
        env: pairs(&step["env"], string),
    }
}

fn pairs(of: &Value, value: impl Fn(&Value) -> String) -> Vec<(String, String)> {
    of.as_object().into_iter().flatten().map(|(name, about)| (name.clone(), value(about))).collect()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUB: fn() -> Github = || Github { token: "t".into(), action_ref: "v1".into() };

    #[test]
    fn an_input_that_is_not_given_has_its_default_or_nothing() {
        let given = BTreeMap::from([("rollout-percentage".to_string(), "10".to_string())]);
        let inputs = Action::of("rollout").inputs(&given, &GITHUB());
        assert_eq!(
            (&*inputs["rollout-percentage"], &*inputs["job-token"], &*inputs["config"]),
            ("10", "t", "")
        );
        assert_eq!(variable("rollout-percentage"), "INPUT_ROLLOUT-PERCENTAGE");
    }

    #[test]
    #[should_panic(expected = "unexpected input: to")]
    fn an_input_that_an_action_does_not_have_is_a_mistake() {
        Action::of("rollout").inputs(&BTreeMap::from([("to".into(), "10".into())]), &GITHUB());
    }

    #[test]
    fn expressions_are_filled_in() {
        assert_eq!(filled("${{ github.token }}", &|words| GITHUB().value(words)), "t");
        assert_eq!(filled("a ${{x}} b ${{ y }}", &|words| words.to_uppercase()), "a X b Y");
    }
}
