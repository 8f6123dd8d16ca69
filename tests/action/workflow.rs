//! A workflow file of this repository, run as GitHub runs it: GitHub's own parser and evaluator (workflow.mjs) say
//! which steps run and with what, the runner (runner.rs) runs them.

use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use super::{
    manifest::repository,
    runner::{Ended, Job, Step},
};

/// What starts a workflow.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    Dispatch,
    Call,
    Schedule,
}

pub struct Workflow {
    path: String,
    text: String,
}

/// Where a job runs, and what is the test's own there.
pub struct Machine<'a> {
    pub job: &'a Job,
    /// `actions/checkout`, with its `ref`.
    pub check_out: &'a dyn Fn(&Job, &str),
    /// How the step of a command is run; `None` where the job is cancelled in it.
    pub run: &'a dyn Fn(&str, Step) -> Option<Ended>,
}

/// How a job's steps came out.
pub struct Ran {
    /// The steps with actions of ours that ran to their end: the command, and how it ended.
    pub steps: Vec<(String, Ended)>,
    /// The job's; of a called workflow, what it hands to its caller.
    pub outputs: BTreeMap<String, String>,
    pub failed: bool,
}

impl Ran {
    #[track_caller]
    pub fn step(&self, command: &str) -> &Ended {
        let found = self.steps.iter().find(|(name, _)| name == command);
        &found.unwrap_or_else(|| panic!("{command} did not run: {:?}", self.commands())).1
    }

    pub fn commands(&self) -> Vec<&str> {
        self.steps.iter().map(|(name, _)| &**name).collect()
    }
}

impl Workflow {
    /// By its path in the repository.
    pub fn of(path: &str) -> Workflow {
        let text = fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        Workflow { path: path.into(), text }
    }

    /// With other words in one place.
    pub fn edited(mut self, from: &str, to: &str) -> Workflow {
        assert_eq!(self.text.matches(from).count(), 1, "{from} in {}", self.path);
        self.text = self.text.replace(from, to);
        self
    }

    /// Fails where GitHub would not take the file.
    pub fn parse(&self) {
        self.ask("inputs", json!({"event": "none", "given": {}}));
    }

    /// Its only job, on this machine.
    pub fn run(&self, event: Event, given: &[(&str, &str)], machine: &Machine) -> Ran {
        self.run_with(event, given, machine, None)
    }

    /// `granted`: the permissions of the job that calls it, which GitHub lets no called job go beyond.
    fn run_with(
        &self,
        event: Event,
        given: &[(&str, &str)],
        machine: &Machine,
        granted: Option<&BTreeMap<String, String>>,
    ) -> Ran {
        let given: Map<String, Value> =
            given.iter().map(|(name, text)| (name.to_string(), json!(text))).collect();
        let event_name = match event {
            Event::Dispatch => "workflow_dispatch",
            Event::Call => "workflow_call",
            Event::Schedule => "schedule",
        };
        let inputs = self.ask("inputs", json!({"event": event_name, "given": given}));
        let mut asked = json!({"status": "success", "contexts": {
            "github": github(machine.job), "vars": {}, "inputs": inputs, "steps": {},
        }});
        let job = self.ask("job", asked.clone());
        assert_eq!(job["runs"], true, "{job}");
        let permissions = texts(&job["permissions"]);
        if let Some(granted) = granted {
            for wanted in &permissions {
                assert!(granted.iter().any(|one| one == wanted), "{wanted:?} is not among {granted:?}");
            }
        }
        if let Some(called) = job["calls"].as_str() {
            let path = called.strip_prefix("tidegate/tidegate/").and_then(|path| path.strip_suffix("@v1"));
            let inputs = texts(&job["inputs"]);
            let inputs: Vec<_> = inputs.iter().map(|(name, text)| (&**name, &**text)).collect();
            let workflow = Workflow::of(path.expect("a workflow of ours"));
            return workflow.run_with(Event::Call, &inputs, machine, Some(&permissions));
        }
        let mut ran = Ran { steps: Vec::new(), outputs: BTreeMap::new(), failed: false };
        for number in 0..job["steps"].as_u64().unwrap() {
            asked["step"] = json!(number);
            let step = self.ask("step", asked.clone());
            if step["runs"] != true {
                continue;
            }
            let with = texts(&step["with"]);
            let (action, version) = step["uses"].as_str().unwrap().split_once('@').unwrap();
            if action == "actions/checkout" {
                (machine.check_out)(machine.job, &with.get("ref").cloned().unwrap_or_default());
                continue;
            }
            let command = action.strip_prefix("tidegate/tidegate/").expect("an action of ours");
            assert_eq!(version, concat!("v", env!("CARGO_PKG_VERSION")), "that of the workflow itself");
            let used =
                with.iter().fold(machine.job.step(command), |step, (name, text)| step.with(name, text));
            let Some(ended) = (machine.run)(command, used) else {
                ran.failed = true;
                asked["status"] = json!("cancelled");
                continue;
            };
            if ended.code != 0 {
                ran.failed = true;
                asked["status"] = json!("failure");
            }
            let outputs: BTreeMap<_, _> = ended.outputs.iter().cloned().collect();
            asked["contexts"]["steps"][step["id"].as_str().unwrap()] = json!({"outputs": outputs});
            ran.steps.push((command.into(), ended));
        }
        let outputs = self.ask("outputs", asked.clone());
        asked["contexts"]["jobs"] = json!({job["id"].as_str().unwrap(): {"outputs": outputs}});
        ran.outputs = match event {
            Event::Call => texts(&self.ask("told", asked)),
            Event::Dispatch | Event::Schedule => texts(&outputs),
        };
        ran
    }

    fn ask(&self, what: &str, mut question: Value) -> Value {
        for (name, value) in [("ask", what), ("path", &*self.path), ("text", &*self.text)] {
            question[name] = json!(value);
        }
        std::env::var("TIDEGATE_TEST_WORKFLOWS")
            .expect("TIDEGATE_TEST_WORKFLOWS names GitHub's parser of workflows: run scripts/test");
        let mut node = Command::new("node");
        node.arg(repository().join("tests/action/workflow.mjs"));
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut node = node.spawn().unwrap();
        node.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
        let answer = node.wait_with_output().unwrap();
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        serde_json::from_slice(&answer.stdout).unwrap()
    }
}

/// The `github` context, as the variables of its steps have it.
fn github(job: &Job) -> Value {
    let variables = job.standard(&job.files());
    let named = variables.iter().filter_map(|(name, text)| Some((name.strip_prefix("GITHUB_")?, text)));
    Value::Object(named.map(|(name, text)| (name.to_lowercase(), json!(text))).collect())
}

fn texts(of: &Value) -> BTreeMap<String, String> {
    let entries = of.as_object().unwrap().iter();
    entries.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_string())).collect()
}
